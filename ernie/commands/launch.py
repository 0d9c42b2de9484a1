"""Run a launcher: all stages of a curriculum, or fine-tuning, on the devices and nodes that take part.

`ernie launch pretrain ...` is `bash run_pretrain.sh ...` and `ernie launch finetune ...` is `bash run_finetune.sh ...`,
for an installed package as well. Everything after the first word goes to the launcher; its own options:

    ernie launch pretrain --help
    ernie launch finetune --help

example: ernie launch pretrain --config demo_en --output output/demo
         ernie launch finetune rte --data glue/RTE --init output/demo --output output/rte
"""
from __future__ import annotations

import argparse
import os
import sys

from ernie.utils import launchers
from ernie.utils.paddle_setup import require_paddle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("launcher", choices=("pretrain", "finetune"), help="which")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="flags of the launcher")


def run(args: argparse.Namespace) -> int:
    """Replace this process with the launcher."""
    require_paddle()
    sys.stdout.flush()
    os.execvpe("bash", launchers.command(args.launcher, args.arguments), launchers.environment())
