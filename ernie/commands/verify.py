"""Verify that a store, run, checkpoint or exported model is whole and is what its manifest says.

Every directory below PATH that has a manifest is read wholly: arrays against checksums and fingerprint, files against
size and SHA-256. Of a run, the records and the stores that it was trained on are looked at too. A released checkpoint
without a manifest, an archive and the path of weights are read as `ernie convert` would. Exits with 2 when something is
damaged.

example: ernie verify output/demo_en
         ernie verify store/wiki/train
"""
from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("paths", nargs="+", metavar="PATH",
                        help="stores, runs, checkpoints, archives or exported models")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code."""
    from ernie.checkpoints.verify import verify

    damaged = 0
    for path in args.paths:
        for finding in verify(path):
            print(finding, flush=True)
            damaged += finding.damaged
    if damaged:
        print(f"{damaged} damaged")
    return 2 if damaged else 0
