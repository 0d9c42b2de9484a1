"""Print real decoded examples of a task with their labels, to check the weak supervision by eye.

    ernie inspect --corpus store/wiki --task sentence_reordering -n 5
    ernie inspect --pairs pairs/discovery/train --task discourse_relation
    ernie inspect --corpus store/wiki --task my_task --tasks-from my_task.py

Chosen units of knowledge masking are shown as {kind: original > what the model reads}; a word that a token-level task
gives another class than the first carries its number, as in word/1. Segments are numbered by their sentence id.
"""
from __future__ import annotations

import sys


def add_arguments(parser) -> None:
    parser.add_argument("--task", required=True, metavar="NAME", help="a task, for example knowledge_masking")
    parser.add_argument("--corpus", nargs="+", default=[], metavar="DIR", help="stores of ernie build-corpus")
    parser.add_argument("--pairs", nargs="+", default=[], metavar="DIR", help="pair stores of ernie build-pairs")
    parser.add_argument("-n", type=int, default=5, metavar="N", help="examples (default: 5)")
    parser.add_argument("--seed", type=int, default=1, help="another seed shows other examples (default: 1)")
    parser.add_argument("--max-length", type=int, default=128, metavar="N", help="tokens of the longest example (128)")
    parser.add_argument("--option", nargs="*", default=[], metavar="KEY=VALUE", help="options of the task")
    parser.add_argument("--tasks-from", nargs="*", default=[], metavar="FILE", help="Python files with tasks of yours")


def run(args) -> None:
    from ernie.inspection import draw, pages
    from reader.corpus import Corpus
    from reader.errors import InputError
    from tasks import load
    if bool(args.corpus) == bool(args.pairs):
        raise InputError("give either --corpus or --pairs")
    if args.n < 1 or args.max_length < 8:
        raise InputError(f"-n {args.n}: at least 1; --max-length {args.max_length}: at least 8")
    task = load(args.task, parse_options(args.option), args.tasks_from)
    corpus = Corpus(args.pairs or args.corpus, max_length=args.max_length)
    for page in pages(task, corpus, draw(task, corpus, args.n, args.seed), args.seed, sys.stdout.isatty()):
        print(page)


def parse_options(pairs: list[str]) -> dict:
    """["m=3"] as {"m": 3}; values as yaml reads them."""
    import yaml

    from reader.errors import InputError
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--option {pair!r} is not KEY=VALUE")
    return {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)}
