"""Learn a WordPiece vocabulary from raw text.

    ernie build-vocab --input texts/ --language en --size 30000 --output vocab.txt

Input as for `ernie build-corpus`. The vocabulary is uncased unless --cased is given; for zh every CJK character is a
token. The same input gives the same file.
"""
from __future__ import annotations

import argparse

from ernie.utils.arguments import within
from ernie.utils.limits import Count, Positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--input", nargs="+", action="extend", required=True, metavar="PATH", help="files and folders")
    parser.add_argument("--language", required=True, choices=("en", "zh"), help="of the texts")
    parser.add_argument("--size", type=within(Count), required=True, metavar="N",
                        help="tokens, the five special ones included")
    parser.add_argument("--output", required=True, metavar="FILE", help="vocab.txt to write")
    parser.add_argument("--layout", default="file", choices=("file", "lines"), help="of .txt files (default: file)")
    parser.add_argument("--sample", type=within(Positive), default=1000, metavar="M",
                        help="million characters to look at, drawn evenly from a larger input (1000)")
    parser.add_argument("--text-field", default="text", metavar="NAME", help="of .jsonl and parquet (default: text)")
    parser.add_argument("--title-field", default="title", metavar="NAME", help="of .jsonl and parquet (default: title)")
    parser.add_argument("--convert", metavar="NAME", help="zh: an OpenCC configuration, t2s for simplified characters")
    parser.add_argument("--cased", action="store_true", help="keep case and accents")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from reader.text.vocabulary import build_vocab
    vocab, rejected = build_vocab(args.input, args.language, args.size, args.output, layout=args.layout,
                                  text_field=args.text_field, title_field=args.title_field, convert=args.convert,
                                  sample=int(args.sample * 1e6), lower_case=not args.cased)
    short = f" (fewer than {args.size}: the text holds no more)" if len(vocab) < args.size else ""
    print(f"{args.output}: {len(vocab):,} tokens{short}")
    if rejected.total:
        print(rejected)
