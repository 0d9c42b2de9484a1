"""Convert a checkpoint between families.

SRC is recognised from its content: the 2019 static params directory, a dygraph saved_weights.pdparams, a PaddleNLP or
Hugging Face directory (ERNIE or BERT), a checkpoint, stage or run of this project, or a .tar.gz of any of these.

example: ernie convert ernie_base_en.tar.gz ernie-base-hf --to huggingface
"""
from __future__ import annotations

import argparse

from reader.utils.text import counted

FAMILIES = ("own", "static", "dygraph", "paddlenlp", "huggingface")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("source", metavar="SRC", help="checkpoint of any family")
    parser.add_argument("target", metavar="DST", help="directory to write; must not exist or be empty")
    parser.add_argument("--to", required=True, choices=FAMILIES, help="family to write")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.checkpoints.formats import write
    from ernie.checkpoints.warm_start import read_pretrained
    from ernie.finetuning.predictor import adopt, find_weights
    from ernie.serving.card import copy_card
    source = find_weights(args.source)
    found = read_pretrained(source)
    notes = adopt(found) if args.to == "own" else []
    notes += write(found, args.target, args.to)
    print(f"{args.source} ({found.family}): {counted(len(found.arrays), 'array')} -> {args.target} ({args.to})")
    copy_card(source, args.target, args.to)
    for name in found.unexpected:
        print(f"  {name} has no place here: not written")
    for note in [*found.notes, *notes]:
        print(f"  {note}")
