"""Time several implementations in turn: each in a process of its own, in its own environment, one turn after the other.

A comparison is a script with a function for each library that returns a callable, one turn; ``main`` starts a process
for each side, lets them take turns (A B C A B C ...) and prints medians and ratios turn by turn, so that what else the
machine does meanwhile is the same for all. A side is written LIBRARY[:OPTION...], as "transformers:bf16:masked".
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = Path(os.environ.get("ERNIE_PEERS", ROOT / "output" / "bench"))  # see environments.sh
WAIT = 0.25  # seconds between turns: the threads of OpenMP spin that long after their work
SIZES = {"base": (30522, 768, 12, 12, 3072), "minilm": (30522, 384, 6, 12, 1536)}  # vocabulary, hidden, layers ...


class Shape(NamedTuple):
    """A batch: rows of ``width`` tokens, or of 8 to ``width`` where ``mixed``, and the sizes of the model."""

    rows: int
    width: int
    mixed: bool
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    feed_forward: int

    @property
    def config(self) -> dict[str, int]:
        """Return the sizes under the names that all three libraries use."""
        return {"vocab_size": self.vocabulary, "hidden_size": self.hidden, "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads, "intermediate_size": self.feed_forward}


Build = Callable[[set[str], Shape], Callable[[], object]]


def shape(text: str) -> Shape:
    """Read "base:8x128" or "minilm:32x128m" (m: mixed lengths)."""
    size, _, rows = text.rpartition(":")
    count, _, width = rows.rstrip("m").partition("x")
    return Shape(int(count), int(width), rows.endswith("m"), *SIZES[size])


def python_of(library: str) -> Path:
    """Return the interpreter that has the library: this one for our own, of ``environments.sh`` for peers."""
    return Path(sys.executable) if library == "ours" else ENVIRONMENTS / library / "bin" / "python"


def serve(turn: Callable[[], object], answers: IO[str]) -> None:
    """Take a turn for each line that comes in; answer with its seconds of wall and of processor time."""
    for _ in range(2):
        turn()
    answers.write("ready\n")
    answers.flush()
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        turn()
        answers.write(json.dumps([time.perf_counter() - wall, time.process_time() - processor]) + "\n")
        answers.flush()


def start(script: str, side: str, form: str, threads: int) -> subprocess.Popen:
    """Start the process of a side; its errors go to the console."""
    library, *options = side.split(":")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "GLOG_minloglevel": "3",
                   "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": str(threads)}
    if library == "paddlenlp" and "tuned" in options and "AuthenticAMD" in Path("/proc/cpuinfo").read_text("utf-8"):
        environment["MKL_DEBUG_CPU_TYPE"] = "7"  # what ernie.utils.paddle_setup sets for ours
    return subprocess.Popen([str(python_of(library)), script, "--serve", side, "--shape", form], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def take_turns(script: str, sides: list[str], form: str, args: argparse.Namespace
               ) -> dict[str, list[list[float]]]:
    """Return, for each side, [wall, processor] seconds of every turn. Sides without an environment are left out."""
    there = [side for side in sides if python_of(side.split(":")[0]).exists()]
    for side in sorted(set(sides) - set(there)):
        print(f"{side}: not installed (bash benchmarks/peers/environments.sh)")
    begun, running = time.monotonic(), {side: start(script, side, form, args.threads) for side in there}
    seconds: dict[str, list[list[float]]] = {side: [] for side in there}

    def answer(side: str) -> str:
        line = running[side].stdout.readline()  # type: ignore[union-attr]  # a pipe
        return line if line else sys.exit(f"{side} failed")

    try:
        for side in there:
            answer(side)  # that it is ready
        for number in range(args.turns):
            if number and time.monotonic() - begun > args.seconds:
                break
            for side, process in running.items():
                time.sleep(WAIT)
                print(file=process.stdin, flush=True)
                seconds[side].append(json.loads(answer(side)))
    finally:
        for process in running.values():
            process.communicate()
    return seconds


def table(title: str, seconds: dict[str, list[list[float]]]) -> None:
    """Print a row for each side; ratios are its seconds over those of the first side, turn by turn."""
    first = next(iter(seconds.values()))
    print(f"\n{title}\n{'':32}{'wall ms':>9}{'cpu ms':>9}{'wall ratio':>12}{'cpu ratio (least to most)':>28}")
    for side, taken in seconds.items():
        wall, cpu = ([a[k] / b[k] for a, b in zip(taken, first)] for k in (0, 1))
        print(f"{side:32}{1000 * median(t[0] for t in taken):9.1f}{1000 * median(t[1] for t in taken):9.1f}"
              f"{median(wall):12.2f}{median(cpu):12.2f} ({min(cpu):.2f} to {max(cpu):.2f})", flush=True)


def main(document: str, builders: dict[str, Build], sides: list[str], shapes: list[str]) -> None:
    """Run a comparison from the command line, or serve one of its sides."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", default=sides, metavar="LIBRARY[:OPTION...]", help="the first is 1.00")
    parser.add_argument("--shape", nargs="+", default=shapes, metavar="SIZE:ROWSxWIDTH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=270, help="no turns of a shape begin after so many")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print is not an answer
        library, *options = args.serve.split(":")
        return serve(builders[library](set(options), shape(args.shape[0])), answers)
    for form in args.shape:
        seconds = take_turns(sys.argv[0], args.sides, form, args)
        turns = len(next(iter(seconds.values())))
        table(f"{form}, {args.threads} thread(s), {turns} turns; a ratio above 1 is slower than the first", seconds)
    return None
