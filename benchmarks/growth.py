"""What grows with the size of the text: seconds and memory of building a store; and with the tasks: seconds of a batch.

    python benchmarks/growth.py --input texts/ --language en --sizes 1,4,16,64     # texts/: .txt files, a document each
    python benchmarks/growth.py --tasks output/bench/corpus/train

The text of a size is the files of --input one after another, again from the first when they are used up. Each size is
built in a process of its own, learning of phrases included; memory is that of the largest process.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
DOCUMENT = 50_000  # bytes

TASKS = ("knowledge_masking", "capitalization", "token_document", "sentence_reordering", "sentence_distance")


def write_text(source: Path, size: int, folder: Path) -> None:
    """Documents of about 50 KB, ``size`` bytes in all."""
    folder.mkdir()
    files = sorted(path for path in source.rglob("*.txt") if path.is_file())
    written = number = 0
    for file in cycle(files):
        text = file.read_bytes()
        for start in range(0, len(text), DOCUMENT):
            part = text[start:start + DOCUMENT].decode("utf-8", "ignore")
            (folder / f"{number:06}.txt").write_text(part, "utf-8")
            written, number = written + len(part.encode()), number + 1
            if written >= size:
                return


def build(text: Path, language: str, vocab: Path, output: Path, workers: int) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, MB of the largest process) of ``ernie build-corpus``."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ernie", "build-corpus", "--input", str(text), "--language",
                                language, "--vocab", str(vocab), "--output", str(output), "--workers", str(workers)],
                               cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("building failed")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def by_size(args: argparse.Namespace) -> None:
    from reader.text.vocabulary import build_vocab
    print(f"{'MB':>6}{'workers':>9}{'wall s':>9}{'cpu s':>9}{'MB/CPU s':>10}{'memory MB':>11}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in args.sizes:
            text = folder / f"text-{size}"
            write_text(args.input, int(size * 1e6), text)
            if not (folder / "vocab.txt").exists():
                build_vocab(text, args.language, 8000, folder / "vocab.txt")
            for workers in args.workers:
                wall, cpu, memory = build(text, args.language, folder / "vocab.txt", folder / f"store-{size}-{workers}",
                                          workers)
                print(f"{size:6g}{workers:9}{wall:9.1f}{cpu:9.1f}{size / cpu:10.2f}{memory:11.0f}", flush=True)


def by_tasks(args: argparse.Namespace) -> None:
    """Labels of one task, of two, ..., made in the same batches of 8,192 tokens."""
    import tasks
    from reader.batches.batches import Batches
    from reader.batches.corpus import Corpus
    corpus = Corpus([args.tasks], max_length=512)
    print(f"{'tasks':>6}{'cpu ms a batch':>16}")
    for count in range(1, len(TASKS) + 1):
        loaded = [tasks.load(name) for name in TASKS[:count]]
        made = [Batches(drawn, [task for task in loaded if task.level == "token"], corpus, seed=1, task_id=0,
                        batch_tokens=8192, slices=1) for drawn in loaded]
        for batches in made:
            batches.at(0, [0])
        begun = time.process_time()
        for n in range(60):  # drawn in turn, as a stage draws them
            made[n % count].at(1 + n // count, [0])
        print(f"{count:6}{1000 * (time.process_time() - begun) / 60:16.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of .txt files")
    parser.add_argument("--language", default="en", choices=("en", "zh"))
    parser.add_argument("--sizes", type=lambda text: [float(part) for part in text.split(",")], default=[1, 4, 16],
                        metavar="MB,MB,...")
    parser.add_argument("--workers", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--tasks", metavar="STORE", help="measure batches by the number of tasks instead")
    args = parser.parse_args()
    if args.tasks:
        return by_tasks(args)
    if not args.input:
        parser.error("--input or --tasks")
    return by_size(args)


if __name__ == "__main__":
    main()
