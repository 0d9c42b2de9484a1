"""Build a memory-mapped corpus store from raw text.

    ernie build-corpus --input texts/ more.jsonl.gz --language en --vocab vocab.txt --output store/wiki --workers 8

Files or folders of .txt, .jsonl and .json (also .gz, .bz2, .xz, .zst), Wikipedia dumps (*-pages-articles*.xml.bz2,
multistream or not), .parquet and Hugging Face data sets on disk; files of a folder that are not read are named. Layout
`file` (the default): a .txt file is a document, blank lines part paragraphs, wrapped lines are joined. Layout `lines`:
blank lines part documents, a line is a paragraph. In a .jsonl file a line is a document: {"text":
"paragraph\\nparagraph", "title": "optional"}, or a dialogue: {"turns": [...]}; a .json file may be one array of these.
docs/corpora.md has commands for public corpora. Documents that cannot be used are counted by reason and the first ones
named with file and line. A build that was stopped goes on when it is started again.

With --dev-share 0.005 the output gets two stores, train and dev, split by document, with one set of mined phrases and
names; --deduplicate leaves out exact and near copies of earlier documents, also across the two.

On n machines, run the same command with --shard 0/n ... n-1/n and an --output of its own each; or, under a scheduler
(paddle.distributed.launch, SLURM, Open MPI), with --shard auto, which writes <output>/shard-<i>. `ernie join-corpus`
makes one store of them; a curriculum can also name them all.
"""
from __future__ import annotations

import argparse
import os
import sys

from ernie.utils.arguments import within
from ernie.utils.console import LOG
from ernie.utils.limits import BelowOne, Count, Processes
from reader.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--input", nargs="+", action="extend", required=True, metavar="PATH", help="files and folders")
    parser.add_argument("--language", required=True, choices=("en", "zh"), help="of the texts")
    parser.add_argument("--vocab", required=True, metavar="FILE", help="WordPiece vocabulary (ernie build-vocab)")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the store is made")
    parser.add_argument("--layout", default="file", choices=("file", "lines"), help="of .txt files (default: file)")
    parser.add_argument("--annotator", metavar="NAME", help="english, chinese, spacy, lac or package.module:Class")
    parser.add_argument("--option", nargs="*", action="extend", default=[], metavar="KEY=VALUE",
                        help="options of the annotator")
    parser.add_argument("--like", metavar="STORE", help="use the phrases and names mined for another store")
    parser.add_argument("--workers", type=within(Processes), default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--shard", default="0/1", metavar="I/N",
                        help="take the I-th of N shards of the input, from 0; auto: as the scheduler says")
    parser.add_argument("--dev-share", type=within(BelowOne), default=0.0, metavar="SHARE",
                        help="make DIR/train and DIR/dev, the latter of this share of the documents (0: one store)")
    parser.add_argument("--deduplicate", action="store_true", help="leave out exact and near copies of documents")
    parser.add_argument("--text-field", default="text", metavar="NAME", help="of .jsonl and parquet (default: text)")
    parser.add_argument("--title-field", default="title", metavar="NAME", help="of .jsonl and parquet (default: title)")
    parser.add_argument("--convert", metavar="NAME", help="zh: an OpenCC configuration, t2s for simplified characters")
    parser.add_argument("--document-tokens", type=within(Count), metavar="N",
                        help="cut documents longer than N tokens between paragraphs, as a book into chapters")
    parser.add_argument("--replace", action="store_true", help="give up a store at --output built from something else")
    parser.add_argument("--cased", action="store_true", help="keep case and accents (a cased vocabulary)")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from reader.store.build import build_corpus
    from reader.store.report import print_report
    from reader.store.store import read_manifest
    for pair in args.option:
        if "=" not in pair:
            raise InputError(f"--option {pair!r} is not KEY=VALUE")
    options = dict(pair.partition("=")[::2] for pair in args.option)
    if args.convert:
        options["convert"] = args.convert
    shard = scheduled_shard() if args.shard == "auto" else parse_shard(args.shard)
    if args.shard == "auto":
        args.output = f"{args.output}/shard-{shard[0]}"
    try:
        manifest = build_corpus(args.input, args.language, args.vocab, args.output, layout=args.layout,
                                annotator=args.annotator, workers=args.workers, shard=shard,
                                options=options, like=args.like, lower_case=not args.cased,
                                document_tokens=args.document_tokens, text_field=args.text_field,
                                title_field=args.title_field, dev_share=args.dev_share, deduplicate=args.deduplicate,
                                replace_old=args.replace, progress=sys.stderr)
    except KeyboardInterrupt:
        LOG.warning("stopped; finished parts are kept, the same command goes on from there")
        return 130
    if args.dev_share:
        print_report(manifest, f"{args.output}/train")
        print_report(read_manifest(f"{args.output}/dev"), f"{args.output}/dev")
    else:
        print_report(manifest, args.output)
    return 0


def scheduled_shard() -> tuple[int, int]:
    """Return (rank, size) of this process as its scheduler tells it. Raises InputError when none does."""
    for rank, size in (("PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM"), ("SLURM_PROCID", "SLURM_NTASKS"),
                       ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
        if rank in os.environ and size in os.environ:
            return parse_shard(f"{os.environ[rank]}/{os.environ[size]}")
    raise InputError("--shard auto: no scheduler has set PADDLE_TRAINER_ID, SLURM_PROCID or OMPI_COMM_WORLD_RANK")


def parse_shard(text: str) -> tuple[int, int]:
    """Parse "i/n" as (i, n), 0 <= i < n."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise InputError(f"--shard {text!r} is not I/N with 0 <= I < N")
    return int(index), int(count)
