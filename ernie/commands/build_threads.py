"""Bring the comments of a forum together to dialogues.

    ernie build-threads --input RC_2019-01.zst --output threads.jsonl.gz

Input: JSON lines, compressed or not, in any order: Reddit's archives (comments RC_*, submissions RS_*) or ConvoKit's
utterances. Every chain of answers becomes a line {"turns": [{"speaker": ..., "text": ...}]}, which `ernie build-corpus`
reads as a document with a paragraph for each turn. Memory does not grow with the archive.
"""
from __future__ import annotations

import argparse

from ernie.utils.arguments import within
from ernie.utils.limits import Count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--input", nargs="+", action="extend", required=True, metavar="PATH", help="files and folders")
    parser.add_argument("--output", required=True, metavar="FILE", help="a .jsonl or .jsonl.gz file")
    parser.add_argument("--least", type=within(Count), default=2, metavar="N",
                        help="turns of the shortest dialogue (2)")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from reader.text.threads import build_threads
    counts, rejected = build_threads(args.input, args.output, least=args.least)
    print(f"{args.output}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if rejected.total:
        print(rejected)
