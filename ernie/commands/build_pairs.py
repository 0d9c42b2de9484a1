"""Build the pair stores of the two semantic tasks.

    ernie build-pairs discourse --input store/wiki --output pairs/discourse
    ernie build-pairs discourse --input discovery/ --like store/wiki --output pairs/discovery
    ernie build-pairs discourse --input texts/ --language en --vocab vocab.txt --output pairs/discourse
    ernie build-pairs ir --input log.tsv.gz --like store/zhwiki --output pairs/ir
    ernie build-pairs baidu --input train_filelist --vocab vocab.txt --language zh --output pairs/baidu

discourse mines adjacent sentences, the second opening with a marker (which is removed and becomes the label), from
corpus stores or raw text, or reads the Discovery distribution (tsv: sentence1, sentence2, label) as published. ir reads
search logs: query<TAB>title<TAB>clicked lines, clicked 1 or 0. --like names the corpus store whose vocabulary,
annotator and mined phrases are used. Makes DIR/train and DIR/dev, split by document or query, or as --dev-input says.
baidu reads Baidu's own pre-training text (token_ids;sentence_type_ids;position_ids;seg_labels;label in .gz files), or
lists of such files (path<TAB>mask_word_prob), and makes one store at DIR, for knowledge_masking and given_label.
"""
from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from ernie.utils.arguments import within
from ernie.utils.limits import Count, HalfShare, Natural, Positive, Processes
from reader.utils.errors import InputError
from reader.utils.files import place_of
from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("task", choices=("discourse", "ir", "baidu"), help="what the pairs are, see above")
    parser.add_argument("--input", nargs="+", action="extend", required=True, metavar="PATH",
                        help="stores, texts, Discovery, logs")
    parser.add_argument("--dev-input", nargs="+", action="extend", default=[], metavar="PATH",
                        help="make dev of these, do not split")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the stores are made")
    parser.add_argument("--like", metavar="STORE", help="corpus store to encode new text like")
    parser.add_argument("--dev", type=within(HalfShare), default=0.1, metavar="SHARE",
                        help="of the documents (default: 0.1)")
    parser.add_argument("--labels", metavar="FILE", help="Discovery: class names, one a line (default: the data's)")
    parser.add_argument("--markers", metavar="FILE", help="mining: the markers, one a line (default: the language's)")
    parser.add_argument("--cap", type=within(Count), default=10_000, metavar="N",
                        help="mining: most pairs of a marker (10000)")
    parser.add_argument("--balance", type=within(Positive), default=4.0, metavar="X",
                        help="mining: no marker has more than X times the median marker's pairs (4)")
    parser.add_argument("--least", type=within(Natural), default=20, metavar="N",
                        help="mining: drop markers with fewer pairs (20)")
    parser.add_argument("--across-paragraphs", action="store_true",
                        help="mining: adjacent paragraphs will do as well (corpora with a sentence a line)")
    parser.add_argument("--language", choices=("en", "zh"), help="raw text: its language")
    parser.add_argument("--vocab", metavar="FILE", help="raw text: the vocabulary")
    parser.add_argument("--layout", default="file", choices=("file", "lines"), help="raw text: of .txt files")
    parser.add_argument("--workers", type=within(Processes), default=1, metavar="N", help="raw text: processes")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from reader.store import discourse, relevance
    if args.task == "baidu":
        build_baidu(args)
        return
    rejected, split = None, {"dev": args.dev, "dev_files": args.dev_input}
    if args.task == "ir":
        report, rejected = relevance.build_relevance(args.input, needed(args, "like"), args.output, **split)
    elif is_discovery(args.input):
        report, rejected = discourse.build_discovery(args.input, needed(args, "like"), args.output, labels=args.labels,
                                                     **split)
    else:
        with corpora(args) as stores:
            report = discourse.mine_discourse(stores, args.output, markers=args.markers, cap=args.cap,
                                              balance=args.balance, least=args.least, across=args.across_paragraphs,
                                              dev=args.dev, dev_stores=args.dev_input)
    print_report(report, args.output)
    if rejected is not None and rejected.total:
        print(rejected)


def build_baidu(args: argparse.Namespace) -> None:
    """Build one store from what Baidu's file lists name."""
    from reader.store.baidu import build_from_baidu
    manifest, rejected = build_from_baidu(args.input, needed(args, "vocab"), args.output, args.language or "zh")
    print(f"{args.output}: {counted(manifest['documents'], 'instance')}, {manifest['tokens']:,} tokens, "
          f"{counted(len(manifest['classes']), 'class')}")
    if rejected.total:
        print(rejected)


def needed(args: argparse.Namespace, name: str) -> Any:
    """Return the value of an option that this kind of input cannot do without; InputError when it is missing."""
    value = getattr(args, name)
    if not value:
        raise InputError(f"this input needs --{name}")
    return value


def is_discovery(inputs: list[str]) -> bool:
    """Tell whether the input is Discovery's tsv files, or a folder of them."""
    return all(name.endswith((".tsv", ".tsv.gz")) or any(Path(name).glob("train.tsv*")) for name in inputs)


class corpora:
    """The stores to mine: those given, or one that is built of raw text beside the output and removed afterwards."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.made: Path | None = None

    def __enter__(self) -> list[str]:
        args = self.args
        if all((Path(name) / "manifest.json").exists() for name in args.input):
            return args.input
        from reader.store.build import build_corpus
        self.made = Path(f"{place_of(args.output)}.corpus")
        build_corpus(args.input, needed(args, "language"), needed(args, "vocab"), self.made, layout=args.layout,
                     workers=args.workers, like=args.like, progress=sys.stderr)
        return [str(self.made)]

    def __exit__(self, *error) -> None:
        if self.made is not None:
            shutil.rmtree(self.made, ignore_errors=True)


def print_report(report: dict[str, dict[str, int]], output: str) -> None:
    """Print the pairs per class in train and dev."""
    for part, counts in report.items():
        print(f"{output}/{part}: {counted(sum(counts.values()), 'pair')}, {counted(len(counts), 'class')}")
    train, dev = report.get("train", {}), report.get("dev", {})
    for name, count in sorted(train.items(), key=lambda item: -item[1]):
        print(f"  {name:24} {count:8,} {dev.get(name, 0):8,}")
