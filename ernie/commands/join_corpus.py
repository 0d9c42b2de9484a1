"""Make one store of several: the shards that many machines built, appended without copying through memory.

    ernie join-corpus store/wiki/shard-* --output store/wiki/train
"""
from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("stores", nargs="+", metavar="STORE", help="stores of one vocabulary, in the order to join")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the joined store is made")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from reader.store.build import join_stores
    from reader.store.report import print_report

    print_report(join_stores(args.stores, args.output), args.output)
