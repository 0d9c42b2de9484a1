"""Print real decoded examples of a task with their labels, to check the weak supervision by eye.

    ernie inspect --corpus store/wiki --task sentence_reordering -n 5
    ernie inspect --pairs pairs/discovery/train --task discourse_relation
    ernie inspect --corpus store/wiki --task my_task --tasks-from my_task.py
    ernie inspect --run output/demo_en --stage 2 --step 137

Chosen units of knowledge masking are shown as {kind: original > what the model reads}; a word that a token-level task
gives another class than the first carries its number, as in word/1. Segments are numbered by their sentence id. With
--run, the examples that a step of that run trains on, as the task drawn for it sees them, or as --task does.
"""
from __future__ import annotations

import argparse
import sys

from ernie.utils.arguments import within
from ernie.utils.limits import Count, Length, Seed
from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--task", metavar="NAME", help="a task, for example knowledge_masking")
    parser.add_argument("--corpus", nargs="+", action="extend", default=[], metavar="DIR",
                        help="stores of ernie build-corpus")
    parser.add_argument("--pairs", nargs="+", action="extend", default=[], metavar="DIR",
                        help="pair stores of ernie build-pairs")
    parser.add_argument("-n", type=within(Count), default=5, metavar="N", help="examples (default: 5)")
    parser.add_argument("--seed", metavar="N", type=within(Seed), default=1,
                        help="another seed shows other examples (default: 1)")
    parser.add_argument("--max-length", type=within(Length), default=128, metavar="N",
                        help="tokens of the longest example (128)")
    parser.add_argument("--option", nargs="*", action="extend", default=[], metavar="KEY=VALUE",
                        help="options of the task")
    parser.add_argument("--tasks-from", nargs="*", action="extend", default=[], metavar="FILE",
                        help="Python files with tasks of yours")
    parser.add_argument("--run", metavar="DIR", help="show what a pre-training run reads")
    parser.add_argument("--stage", metavar="N", type=within(Count), default=1,
                        help="with --run: the stage, from 1 (default: 1)")
    parser.add_argument("--step", metavar="N", type=within(Count), default=1,
                        help="with --run: the step of that stage, from 1 (default: 1)")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from reader.utils.errors import InputError
    if bool(args.corpus) + bool(args.pairs) + bool(args.run) != 1:
        raise InputError("give one of --corpus, --pairs and --run")
    show_step(args) if args.run else show_store(args)


def show_store(args: argparse.Namespace) -> None:
    """Print examples of one task, drawn from stores."""
    import numpy as np

    from ernie.pretraining.inspection import draw, pages
    from reader.batches.corpus import Corpus
    from reader.utils.errors import InputError
    from tasks import load
    if not args.task:
        raise InputError("--task is missing")
    task = load(args.task, parse_options(args.option), args.tasks_from)
    corpus = Corpus(args.pairs or args.corpus, max_length=args.max_length)
    for page in pages(task, corpus, draw(task, corpus, args.n, args.seed), np.arange(args.n), sys.stdout.isatty()):
        print(page)


def show_step(args: argparse.Namespace) -> None:
    """Print the examples that a step of a run trains on."""
    from ernie.pretraining.inspection import pages, step_of_run
    from reader.utils.errors import InputError
    batches, number, tasks = step_of_run(args.run, args.stage, args.step)
    shown = {batches.task.name: batches.task, **{task.name: task for task in tasks}}
    name = args.task or batches.task.name
    if name not in shown:
        raise InputError(f"task {name!r} labels nothing in this step; these do: {', '.join(shown)}", args.run)
    window, rows = batches.rows(number)
    print(f"stage {args.stage} step {args.step}: batch {number} of {batches.task.name}, "
          f"{counted(len(rows), 'example')}\n")
    for page in pages(shown[name], batches.corpus, window, rows[:args.n], sys.stdout.isatty()):
        print(page)


def parse_options(pairs: list[str]) -> dict:
    """Parse ["m=3"] as {"m": 3}; values as yaml reads them."""
    import yaml

    from reader.utils.errors import InputError
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--option {pair!r} is not KEY=VALUE")
    return {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)}
