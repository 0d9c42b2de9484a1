"""Sentence or token vectors for a text file, one text a line.

The result is a .npy array, [lines, hidden size] float32. With --pooling tokens it holds the vectors of all tokens,
[CLS] and [SEP] included, and FILE.offsets.npy tells where each line's begin.

example: ernie encode --init output/demo --input texts.txt --output vectors.npy --pooling mean
"""
from __future__ import annotations

import argparse
import os
import sys

from ernie.utils.arguments import within
from ernie.utils.limits import Count, Natural
from reader.utils.errors import InputError
from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--init", "--model", required=True, metavar="PATH",
                        help="checkpoint of any family, run or archive; package:NAME/PATH: one "
                        "that an installed package ships")
    parser.add_argument("--input", metavar="FILE", required=True, help="UTF-8 text, one text a line")
    parser.add_argument("--output", metavar="FILE", required=True, help=".npy file to write")
    parser.add_argument("--pooling", choices=("mean", "cls", "first", "tokens"), default="mean",
                        help="mean of the tokens (default); cls, the pooled output; first, the state of [CLS]; tokens")
    parser.add_argument("--max-length", metavar="N", type=within(Count), default=512,
                        help="tokens of a text, special ones included (512)")
    parser.add_argument("--batch-tokens", metavar="N", type=within(Count), default=4096,
                        help="places of a padded batch (4096)")
    parser.add_argument("--task-id", metavar="N", type=within(Natural),
                        help="which task embedding to add, where the model has them (a fine-tuned model's own, or 0)")
    parser.add_argument("--no-export", action="store_true", help="run the model as it is; from 2 MB of text on, a "
                        "static graph of it is made, kept and run, which is faster and gives the same to 1e-5")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    import time

    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.serving.cache import fastest
    from ernie.serving.vectors import Vectors, encode_file
    if not os.path.exists(args.input) or os.path.isdir(args.input):  # known before the model is loaded; pipes will do
        raise InputError("no such text file", args.input)
    init = args.init if args.no_export else fastest(args.init, args.input, scores=False)
    vectors = Vectors(init, args.max_length, args.task_id)
    print(vectors.report)
    begun = time.perf_counter()

    def progress(done: int) -> None:
        speed = done / (time.perf_counter() - begun)
        print(f"  {counted(done, 'line')}, {speed:.0f} a second", file=sys.stderr, flush=True)

    count = encode_file(vectors, args.input, args.output, args.pooling, args.batch_tokens, progress)
    print(f"{counted(count, 'line')} -> {args.output}")
