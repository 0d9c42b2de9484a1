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

# Flags with their defaults, and which of them say something about a kind of input.
DEFAULTS: dict[str, Any] = {
    "dev_input": [], "like": None, "dev": 0.1, "labels": None, "markers": None, "cap": 10_000, "balance": 4.0,
    "least": 20, "across_paragraphs": False, "language": None, "vocab": None, "layout": "file", "workers": 1}
MINING = ("dev_input", "dev", "markers", "cap", "balance", "least", "across_paragraphs")
FLAGS = {"search logs": ("dev_input", "like", "dev"), "Discovery": ("dev_input", "like", "dev", "labels"),
         "corpus stores": MINING, "raw text": (*MINING, "like", "language", "vocab", "layout", "workers"),
         "Baidu's files": ("language", "vocab")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("task", choices=("discourse", "ir", "baidu"), help="what the pairs are, see above")
    parser.add_argument("--input", nargs="+", action="extend", required=True, metavar="PATH",
                        help="stores, texts, Discovery, logs")
    parser.add_argument("--dev-input", nargs="+", action="extend", metavar="PATH",
                        help="make dev of these (of the same kinds), do not split")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the stores are made")
    parser.add_argument("--like", metavar="STORE", help="corpus store to encode new text like")
    parser.add_argument("--dev", type=within(HalfShare), metavar="SHARE",
                        help="of the documents (default: 0.1)")
    parser.add_argument("--labels", metavar="FILE", help="Discovery: class names, one a line (default: the data's)")
    parser.add_argument("--markers", metavar="FILE", help="mining: the markers, one a line (default: the language's)")
    parser.add_argument("--cap", type=within(Count), metavar="N",
                        help="mining: most pairs of a marker (10000)")
    parser.add_argument("--balance", type=within(Positive), metavar="X",
                        help="mining: no marker has more than X times the median marker's pairs (4)")
    parser.add_argument("--least", type=within(Natural), metavar="N",
                        help="mining: drop markers with fewer pairs (20)")
    parser.add_argument("--across-paragraphs", action="store_true",
                        help="mining: adjacent paragraphs will do as well (corpora with a sentence a line)")
    parser.add_argument("--language", choices=("en", "zh"), help="raw text: its language")
    parser.add_argument("--vocab", metavar="FILE", help="raw text: the vocabulary")
    parser.add_argument("--layout", choices=("file", "lines"), help="raw text: of .txt files")
    parser.add_argument("--workers", type=within(Processes), metavar="N", help="raw text: processes")
    parser.set_defaults(**DEFAULTS)


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from reader.store import discourse, relevance
    refuse_idle(args)
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
        with corpora(args) as (stores, dev_stores):
            report = discourse.mine_discourse(stores, args.output, markers=args.markers, cap=args.cap,
                                              balance=args.balance, least=args.least, across=args.across_paragraphs,
                                              dev=args.dev, dev_stores=dev_stores)
    print_report(report, args.output)
    if rejected is not None and rejected.total:
        print(rejected)


def refuse_idle(args: argparse.Namespace) -> None:
    """Raise InputError for a flag that says nothing about this kind of input."""
    kind = {"baidu": "Baidu's files", "ir": "search logs"}.get(args.task) or (
        "Discovery" if is_discovery(args.input) else "corpus stores" if are_stores(args.input) else "raw text")
    if kind == "corpus stores" and not are_stores(args.dev_input):
        kind = "raw text"  # dev is
    for name, default in DEFAULTS.items():
        if name not in FLAGS[kind] and getattr(args, name) != default:
            raise InputError(f"--{name.replace('_', '-')} does nothing for {kind}")


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


def are_stores(inputs: list[str]) -> bool:
    """Tell whether every input is a corpus store."""
    return all((Path(name) / "manifest.json").exists() for name in inputs)


class corpora:
    """The stores to mine, for train and for dev: those given, or built of raw text beside the output and removed then.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.made: list[Path] = []

    def __enter__(self) -> tuple[list[str], list[str]]:
        from reader.text.documents import find_inputs
        for given in (self.args.input, self.args.dev_input):
            if not are_stores(given):
                find_inputs(given)  # what is not there is said before anything is built
        train = self._stores(self.args.input, "corpus", self.args.like)
        return train, self._stores(self.args.dev_input, "dev-corpus", self.args.like or train[0])

    def _stores(self, given: list[str], name: str, like: str | None) -> list[str]:
        args = self.args
        if are_stores(given):
            return given
        from reader.store.build import build_corpus
        self.made.append(Path(f"{place_of(args.output)}.{name}"))
        build_corpus(given, needed(args, "language"), needed(args, "vocab"), self.made[-1], layout=args.layout,
                     workers=args.workers, like=like, progress=sys.stderr)
        return [str(self.made[-1])]

    def __exit__(self, *error) -> None:
        for path in self.made:
            shutil.rmtree(path, ignore_errors=True)


def print_report(report: dict[str, dict[str, int]], output: str) -> None:
    """Print the pairs per class in train and dev."""
    for part, counts in report.items():
        print(f"{output}/{part}: {counted(sum(counts.values()), 'pair')}, {counted(len(counts), 'class')}")
    train, dev = report.get("train", {}), report.get("dev", {})
    for name, count in sorted(train.items(), key=lambda item: -item[1]):
        print(f"  {name:24} {count:8,} {dev.get(name, 0):8,}")
