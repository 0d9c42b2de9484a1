"""How training scales with batch workers and with ranks: tokens a second of the same curriculum on the same text.

    python benchmarks/scaling.py --corpus output/demo_en/corpus [--workers 0,1,2] [--ranks 1,2,4] [--turns 3]

Every cell is a run of the launcher of its own, of ``--steps`` steps of knowledge masking and capitalization; they take
turns. A figure is the median of the log lines after the first, over the turns, with the least and the most, and beside
it the ratio to the first cell of its row. Ranks share the cores of the machine: beyond their number they gain nothing.
The last column holds every cell to the same batches: the hash of all rows that were read.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(corpus: str, config: str, steps: int, workers: int, ranks: int) -> tuple[float, str]:
    """(tokens a second, hash of the rows read) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([
            sys.executable, "-m", "ernie", "launch", "pretrain", "--config", config, "--corpus", corpus, "--output",
            folder,
            "--devices", ",".join(map(str, range(ranks))), "--set", "log_every=10", "--set", f"workers={workers}",
            "--set", f"stages=[{{tasks: {{knowledge_masking: {steps // 2}, capitalization: {steps // 2}}}}}]",
            "--set", "tasks=[knowledge_masking, capitalization]", "--set", "method=explicit",
            "--set", "checkpoint_every=100000"], cwd=ROOT, check=True, capture_output=True)
        stage = Path(folder, "stage-1")
        lines = [json.loads(line) for line in (stage / "log.jsonl").read_text("utf-8").splitlines()]
        done = json.loads((stage / "done.json").read_text("utf-8"))
        state = json.loads((stage / done["checkpoint"] / "state.json").read_text("utf-8"))
    return statistics.median(line["tokens_per_second"] for line in lines[1:]), str(state["data_hash"])[:8]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="directory with the stores train and dev")
    parser.add_argument("--config", default="configs/curriculum/demo_en.yaml")
    parser.add_argument("--workers", default="0,1,2")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    cells = [(workers, 1) for workers in map(int, args.workers.split(","))]
    cells += [(1, ranks) for ranks in map(int, args.ranks.split(",")) if (1, ranks) not in cells]
    found: dict[tuple[int, int], list] = {cell: [] for cell in cells}
    for _ in range(args.turns):
        for cell in cells:
            found[cell].append(run(args.corpus, args.config, args.steps, *cell))
    first = statistics.median(speed for speed, _ in found[cells[0]])
    print(f"{'workers':>7} {'ranks':>5} {'tokens/s':>9} {'least':>9} {'most':>9} {'ratio':>6}  rows read")
    for (workers, ranks), measured in found.items():
        speeds = [speed for speed, _ in measured]
        middle = statistics.median(speeds)
        print(f"{workers:7} {ranks:5} {middle:9,.0f} {min(speeds):9,.0f} {max(speeds):9,.0f} {middle / first:6.2f}  "
              f"{' '.join(sorted({rows for _, rows in measured}))}")


if __name__ == "__main__":
    main()
