"""Pre-train a curriculum in float32 and in bfloat16, seed by seed in turn, and compare losses, dev figures and speed.

    python benchmarks/precision.py --config configs/evidence/base_size.yaml --corpus output/demo_en/corpus \\
        --output output/precision-base
    python benchmarks/precision.py --config configs/curriculum/demo_en.yaml --corpus output/demo_en/corpus \\
        --output output/precision-demo

Two runs of one seed see the same batches and the same dropout, so that what differs is the arithmetic. Runs are in
OUTPUT/PRECISION-SEED; started again, the command goes on where it was and prints the table of what is finished.
"""
from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from ernie.report.runs import RunRecord, read_run

ROOT = Path(__file__).resolve().parents[1]
SMOOTH = 5  # log lines of a moving average


def train(args: argparse.Namespace, precision: str, seed: int) -> RunRecord:
    """Run the launcher, which leaves a finished run as it is."""
    output = Path(args.output).resolve() / f"{precision}-{seed}"
    subprocess.run([sys.executable, "-m", "ernie", "launch", "pretrain", "--config", args.config, "--corpus",
                    str(Path(args.corpus).resolve()), "--output", str(output), "--set", f"seed={seed}", "--set",
                    f"precision={precision}"], cwd=ROOT, check=True, stdout=sys.stderr)
    return read_run(output)


def curve(run: RunRecord) -> np.ndarray:
    """Return the masked-LM loss of the log lines, averaged over ``SMOOTH`` neighbours."""
    losses = [line.tasks["knowledge_masking"].loss for _, line in run.lines if "knowledge_masking" in line.tasks]
    width = min(SMOOTH, len(losses))
    return np.convolve(losses, np.ones(width) / width, mode="valid")


def show(pairs: list[tuple[int, RunRecord, RunRecord]]) -> None:
    """Print the training losses and speed of each seed, then the dev figures of every task over the seeds."""
    print(f"{'seed':>4}  {'last loss, fp32':>15}  {'bf16':>7}  {'difference':>10}  {'largest on the way':>18}  "
          f"{'tokens/s, fp32':>14}  {'bf16':>7}  {'ratio':>5}")
    for seed, exact, half in pairs:
        first, second = curve(exact), curve(half)
        speeds = [sum(stage.tokens for stage in run.stages) / sum(stage.seconds for stage in run.stages)
                  for run in (exact, half)]
        both = min(len(first), len(second))  # a resumed run has a line more
        print(f"{seed:4}  {first[-1]:15.4f}  {second[-1]:7.4f}  {second[-1] - first[-1]:+10.4f}  "
              f"{np.abs(second[:both] - first[:both]).max():18.4f}  {speeds[0]:14,.0f}  {speeds[1]:7,.0f}  "
              f"{speeds[1] / speeds[0]:5.2f}")
    print(f"\n{'dev, at the end':32}  {'fp32':>18}  {'bf16':>18}  {'bf16 - fp32, seed by seed':>26}")
    for task in pairs[0][1].tasks:
        for name in "loss", "accuracy":
            columns = [[getattr(run.dev(task)[-1][1], name) for run in runs] for runs in list(zip(*pairs))[1:]]
            differences = " ".join(f"{b - a:+.4f}" for a, b in zip(*columns))
            print(f"{task + ', ' + name:32}  " + "  ".join(f"{spread(column):>18}" for column in columns)
                  + f"  {differences:>26}")


def spread(values: list[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0.0:.4f}"


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--corpus", required=True, help="directory with the stores train and dev")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    pairs = []
    for seed in range(1, args.seeds + 1):
        pairs.append((seed, train(args, "fp32", seed), train(args, "bf16", seed)))
        show(pairs)


if __name__ == "__main__":
    main()
