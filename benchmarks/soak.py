"""An hour of training with a checkpoint every few steps, watched from outside: what grows, and what should not.

    python benchmarks/soak.py --minutes 60 --output output/soak           # trains, and samples /proc every ten seconds
    python benchmarks/soak.py --output output/soak --plot docs/images/soak.svg    # draws and judges what was sampled

A small pre-training run (the embedded English demo, two batch workers, a checkpoint every five steps) is started
through run_pretrain.sh. Sampled over all its processes: resident memory, open files, threads; beside them shared
memory, and the bytes of logs a step.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
EVERY = 10.0  # seconds
SETTINGS = ["workers=2", "checkpoint_every=5", "log_every=1", "iterations_per_task=100000", "batch_tokens=1024",
            "micro_batch_tokens=512"]
FIGURES = {"memory_mib": "resident memory, MiB", "files": "open files", "threads": "threads",
           "shared_mib": "shared memory, MiB", "log_bytes_per_step": "bytes of log a step"}


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that descend from it."""
    return [process, *process.children(recursive=True)]


def sample(shell: psutil.Process, output: Path, begun: float) -> dict:
    """One line of figures."""
    memory = files = threads = 0
    for process in family(shell):
        try:
            memory += process.memory_info().rss
            files += process.num_fds()
            threads += process.num_threads()
        except psutil.Error:  # it has just ended
            continue
    logs = list(output.glob("stage-*/log.jsonl")) + list(output.glob("stage-*/logs*/*"))
    steps = sum(file.read_bytes().count(b"\n") for file in output.glob("stage-*/log.jsonl"))
    return {"seconds": time.time() - begun, "steps": steps, "memory_mib": memory / 2 ** 20, "files": files,
            "threads": threads, "shared_mib": psutil.disk_usage("/dev/shm").used / 2 ** 20,
            "log_bytes_per_step": sum(file.stat().st_size for file in logs) / max(1, steps),
            "checkpoints": len(list(output.glob("stage-*/step-*")))}


def soak(output: Path, minutes: float) -> None:
    """Train and sample; the lines go to soak.jsonl beside the run."""
    output.mkdir(parents=True, exist_ok=True)
    command = ["bash", str(ROOT / "run_pretrain.sh"), "--output", str(output / "run")]
    for setting in SETTINGS:
        command += ["--set", setting]
    begun = time.time()
    with open(output / "console.log", "ab") as console, open(output / "soak.jsonl", "w", encoding="utf-8") as lines:
        shell = subprocess.Popen(command, cwd=ROOT, stdout=console, stderr=console, env={**os.environ, "PYTHON":
                                 sys.executable}, start_new_session=True)
        try:
            while time.time() - begun < 60 * minutes and shell.poll() is None:
                time.sleep(EVERY)
                lines.write(json.dumps(sample(psutil.Process(shell.pid), output / "run", begun)) + "\n")
                lines.flush()
        finally:
            shell.send_signal(signal.SIGTERM)
            shell.wait(120)


def read(output: Path) -> Iterator[dict]:
    """The lines that were sampled while the run trained."""
    for line in (output / "soak.jsonl").read_text("utf-8").splitlines():
        found = json.loads(line)
        if found["steps"]:
            yield found


def slopes(lines: list[dict]) -> dict[str, float]:
    """Growth of each figure an hour, by the median slope between lines of the second and third quarters of the run."""
    quarter = len(lines) // 4
    first, last = lines[quarter:2 * quarter], lines[3 * quarter:]
    hours = (np.median([line["seconds"] for line in last]) - np.median([line["seconds"] for line in first])) / 3600
    return {name: float((np.median([line[name] for line in last]) - np.median([line[name] for line in first])) / hours)
            for name in FIGURES}


def plot(lines: list[dict], file: Path) -> None:
    """Each figure over the minutes."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(len(FIGURES), 1, figsize=(7, 8), sharex=True)
    minutes = [line["seconds"] / 60 for line in lines]
    for axis, (name, title) in zip(axes, FIGURES.items()):
        axis.plot(minutes, [line[name] for line in lines], linewidth=1)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """See the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("output/soak"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what was sampled instead of training")
    args = parser.parse_args()
    if not args.plot:
        soak(args.output, args.minutes)
    lines = list(read(args.output))
    end = lines[-1]
    print(f"{end['seconds'] / 60:.0f} minutes, {end['steps']:,} steps, {end['steps'] // 5:,} checkpoints written, "
          f"{end['checkpoints']} kept")
    for name, slope in slopes(lines).items():
        print(f"{FIGURES[name]:24} at the end {end[name]:10,.1f}, growth an hour {slope:+8.2f}")
    if args.plot:
        plot(lines, args.plot)


if __name__ == "__main__":
    main()
