"""Audit tasks: fit small classifiers on features that a model should not need, and print their dev accuracy.

Number and length of segments, differences of length, overlap of words and characters, place in the document,
punctuation and capitals at the edges of segments, bags of words; for token-level tasks the token and its neighbours.
What exceeds the majority class by more than the noise is given away without reading the text: a leak in how examples
are drawn, or the least that a model must beat.

    ernie audit --corpus output/demo_zh/corpus    # all that can draw from it
    ernie audit --corpus store/mine --task my_task --tasks-from my_task.py
    ernie audit --pairs pairs/discovery --task discourse_relation --json
"""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ernie.utils.arguments import within
from ernie.utils.limits import Count, Length, Seed

if TYPE_CHECKING:
    from ernie.baselines.audit import TaskAudit
    from reader.batches.corpus import Corpus

MOST_SHOWN = 12  # feature sets of a task, in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--corpus", metavar="DIR", help="a store of ernie build-corpus, or a directory with the stores "
                                                        "train and dev, and pair stores under pairs/<task>")
    parser.add_argument("--pairs", nargs="+", action="extend", default=[], metavar="DIR",
                        help="pair stores, or directories with train and dev of them, named after their tasks")
    parser.add_argument("--task", nargs="+", action="extend", default=[], metavar="NAME",
                        help="default: every task that can draw from the stores")
    parser.add_argument("--tasks-from", nargs="*", action="extend", default=[], metavar="FILE",
                        help="Python files with tasks of yours")
    parser.add_argument("--option", nargs="*", action="extend", default=[], metavar="KEY=VALUE",
                        help="options of the one --task")
    parser.add_argument("--max-length", type=within(Length), default=128, metavar="N",
                        help="tokens of the longest example (128)")
    parser.add_argument("--examples", type=within(Count), default=10_000, metavar="N",
                        help="training examples; half as many dev examples (default: 10000)")
    parser.add_argument("--seed", metavar="N", type=within(Seed), default=1, help="of the examples (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object a task and line, with every figure")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from ernie.baselines.audit import audit
    from reader.utils.errors import InputError
    if not args.corpus and not args.pairs:
        raise InputError("give --corpus, --pairs or both")
    if args.option and len(args.task) != 1:
        raise InputError("--option belongs to exactly one --task")
    if args.examples < 100:
        raise InputError(f"--examples {args.examples}: at least 100")
    for task, (train, dev) in chosen_tasks(args):
        found = audit(task, train, dev, args.examples, args.examples // 2, args.seed)
        print(json.dumps(asdict(found)) if args.json else "\n".join(table(found, train is dev)), flush=True)


def chosen_tasks(args: argparse.Namespace) -> list[tuple[Any, tuple[Corpus, Corpus]]]:
    """Return (task, (train, dev) corpora) of every task to audit. Raises InputError for a task that finds no store."""
    from ernie.commands.inspect import parse_options
    from reader.utils.errors import InputError
    from tasks import TASKS, load
    folders = {Path(folder).name: Path(folder) for folder in args.pairs}
    if args.corpus and (Path(args.corpus) / "pairs").is_dir():
        folders = {**{folder.name: folder for folder in sorted((Path(args.corpus) / "pairs").iterdir())}, **folders}
    pairs = {name: open_corpora(folder, args.max_length) for name, folder in folders.items()}
    documents = open_corpora(Path(args.corpus), args.max_length) if args.corpus else None
    found = []
    for name in args.task or TASKS:
        task = load(name, parse_options(args.option), args.tasks_from)
        only = next(iter(pairs.values())) if len(pairs) == 1 and len(args.task) == 1 and not documents else None
        corpora = pairs.get(name) or only or documents
        fits = corpora is not None and corpora[0].kind in task.sources
        if not args.task and not fits:
            continue
        if corpora is None:
            raise InputError(f"task {name} finds no store: give --corpus, or --pairs with a directory named {name}")
        task.bind(corpora[0])
        found.append((task, corpora))
    if not found:
        raise InputError("no task can draw from these stores", args.corpus or args.pairs[0])
    return found


def open_corpora(folder: Path, max_length: int) -> tuple[Corpus, Corpus]:
    """Open the training and the dev corpus in a directory; the same one twice where it is a single store."""
    from reader.batches.corpus import Corpus
    if not (folder / "train").is_dir():
        one = Corpus([folder], max_length=max_length)
        return one, one
    train = Corpus([folder / "train"], max_length=max_length)
    return train, Corpus([folder / "dev"], max_length=max_length) if (folder / "dev").is_dir() else train


def table(found: TaskAudit, same: bool) -> list[str]:
    """Return the audit as lines to read. same: whether dev examples come from the training texts."""
    from ernie.pretraining.forgetting import percent
    kind = "examples" if found.level == "sequence" else "tokens"
    lines = [f"{found.task}: {found.classes:,} classes, {found.train_targets:,} training and {found.dev_targets:,} dev "
             f"{kind}{' of the same texts' if same else ''}; noise +-{100 * found.noise:.1f}",
             f"  {'majority class':46}{percent(found.majority):>7}"]
    for baseline in found.baselines[:MOST_SHOWN]:
        loss = f"  loss {baseline.loss:.3f}" if baseline.by_loss else ""
        lines.append(f"  {baseline.name:46}{percent(baseline.accuracy):>7}"
                     f"  {100 * (baseline.accuracy - found.majority):+.1f}{loss}")
    return [*lines, ""]
