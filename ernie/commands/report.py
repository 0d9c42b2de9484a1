"""One self-contained HTML page about a pre-training run, also while it is still going.

Curves of every task over all stages, what each stage did to each task, learning rate, speed, gradients, waste,
skipped steps and resumes. The page loads nothing from elsewhere and follows light and dark.

example: ernie report output/demo_en
"""
from __future__ import annotations

import argparse
from pathlib import Path

from reader.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("run", metavar="RUN_DIR", help="the --output of run_pretrain.sh")
    parser.add_argument("--output", metavar="FILE", help="default: report.html in the run directory")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from ernie.report.page import render
    from ernie.report.runs import read_run

    record = read_run(args.run)
    file = Path(args.output) if args.output else record.path / "report.html"
    try:
        file.write_text(render(record), "utf-8")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file) from None
    print(file)
