"""One self-contained HTML page about a pre-training or fine-tuning run, also while it is still going.

Curves of every task over all stages, what each stage did to each task, learning rate, speed, gradients, waste, skipped
steps and resumes, examples of its batches, corpora, versions and machine. The page loads nothing from elsewhere and
follows light and dark. Of fine-tuning: curves of every seed, dev figures by epoch and the chosen one, confusion, and
the table beside the paper.

example: ernie report output/demo_en
         ernie report output/demo_en --watch --serve   # fresh until it ends
         ernie report output/first output/second       # over each other
         ernie report output/mrpc                      # of fine-tuning
         ernie report output                           # all fine-tuning below
"""
from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated

from ernie.utils.arguments import within
from ernie.utils.limits import Range
from reader.utils.errors import InputError
from reader.utils.text import counted

Seconds = Annotated[float, Range(above=0, most=86_400)]
Port = Annotated[int, Range(0, 65_535)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("run", nargs="+", metavar="RUN_DIR", help="the --output of run_pretrain.sh; several are shown "
                                                                  "over each other")
    parser.add_argument("--output", metavar="FILE",
                        help="default: report.html in the run directory; of several runs, runs.html in the first")
    parser.add_argument("--no-examples", action="store_true", help="leave out the examples of the run's batches")
    parser.add_argument("--watch", action="store_true",
                        help="write the page again whenever the run logs something, until it is finished or Ctrl-C; "
                             "a browser loads it again by itself")
    parser.add_argument("--every", type=within(Seconds), default=5.0, metavar="SECONDS",
                        help="with --watch: how often to look (default: 5)")
    parser.add_argument("--serve", action="store_true",
                        help="serve the page, and nothing else, on 127.0.0.1 until Ctrl-C")
    parser.add_argument("--port", type=within(Port), default=0, metavar="N", help="with --serve (default: a free one)")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from ernie.report.watch import HOST, serve, watch, write_page

    if not 0.1 <= args.every <= 3600:
        raise InputError(f"--every {args.every:g}: between 0.1 and 3600 seconds")
    if not 0 <= args.port < 65536:
        raise InputError(f"--port {args.port}: between 0 and 65535")
    names = names_of(args.run)
    several = len(names) > 1
    draw = partial(_draw, names, args.every, not args.no_examples)
    page, finished = draw(args.watch)
    file = Path(args.output) if args.output else Path(args.run[0]) / ("runs.html" if several else "report.html")
    write_page(file, page)
    print(file, flush=True)
    if args.serve:
        print(f"http://{HOST}:{serve(file, args.port).server_port}/    Ctrl-C ends", flush=True)
    try:
        if args.watch and not finished:
            watch(map(Path, args.run), file, draw, args.every)
            print("every run is finished" if several else "the run is finished", flush=True)
        while args.serve:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()


def _draw(names: dict[str, str], every: float, with_examples: bool, refresh: bool) -> tuple[str, bool]:
    """Return the page, and whether every run is finished. A page of a finished run does not refresh itself."""
    from ernie.report.finetuning_runs import is_output, read_outputs
    from ernie.report.runs import read_run
    paths = [Path(path) for path in names.values()]
    if len(paths) == 1 and is_output(paths[0]):
        from ernie.report.finetuning import render_finetuning
        outputs = read_outputs(paths[0])
        finished = all(output.summary for output in outputs)
        seconds = max(1, round(every)) if refresh and not finished else None
        return render_finetuning(paths[0], outputs, refresh=seconds), finished
    for path in paths if len(paths) > 1 else ():
        if is_output(path):
            raise InputError("holds fine-tuning: several of its outputs are shown by naming the one folder that holds "
                             "them", path)
    records = {name: read_run(path) for name, path in names.items()}
    finished = all(record.current is None for record in records.values())
    seconds = max(1, round(every)) if refresh and not finished else None
    if len(records) == 1:
        from ernie.report.examples import examples
        from ernie.report.page import render
        record = next(iter(records.values()))
        return render(record, shown=examples(record) if with_examples else (), refresh=seconds), finished
    from ernie.report.comparison import group_of, render_comparison
    runs = {name: {0: record} for name, record in records.items()}
    groups = [group_of(name, by_seed) for name, by_seed in runs.items()]
    return render_comparison(counted(len(runs), "run"), runs, groups, refresh=seconds), finished


def names_of(paths: list[str]) -> dict[str, str]:
    """Return short names that tell run directories apart: as many of the last parts of their paths as it takes."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]  # "." has none of its own
    for count in range(1, 1 + max(map(len, parts))):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(paths):
            return dict(zip(names, paths))
    raise InputError("the same run directory is named twice", paths[0])
