"""One self-contained HTML page about a pre-training run, also while it is still going.

Curves of every task over all stages, what each stage did to each task, learning rate, speed, gradients, waste,
skipped steps and resumes. The page loads nothing from elsewhere and follows light and dark.

example: ernie report output/demo_en
         ernie report output/first output/second        several runs over each other
"""
from __future__ import annotations

import argparse
from pathlib import Path

from reader.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("run", nargs="+", metavar="RUN_DIR", help="the --output of run_pretrain.sh; several are shown "
                                                                  "over each other")
    parser.add_argument("--output", metavar="FILE",
                        help="default: report.html in the run directory; of several runs, runs.html in the first")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from ernie.report.page import render
    from ernie.report.runs import read_run

    records = {name: read_run(path) for name, path in names_of(args.run).items()}
    first = next(iter(records.values()))
    if len(records) == 1:
        page = render(first)
    else:
        from ernie.report.comparison import group_of, render_comparison
        runs = {name: {0: record} for name, record in records.items()}
        page = render_comparison(f"{len(runs)} runs", runs, [group_of(name, by_seed) for name, by_seed in runs.items()])
    file = Path(args.output) if args.output else first.path / ("report.html" if len(records) == 1 else "runs.html")
    try:
        file.write_text(page, "utf-8")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file) from None
    print(file)


def names_of(paths: list[str]) -> dict[str, str]:
    """Short names that tell run directories apart: as many of the last parts of their paths as it takes."""
    for count in range(1, 1 + max(len(Path(path).parts) for path in paths)):
        names = ["/".join(Path(path).parts[-count:]) for path in paths]
        if len(set(names)) == len(paths):
            return dict(zip(names, paths))
    raise InputError("the same run directory is named twice", paths[0])
