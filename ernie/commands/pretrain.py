"""Train one stage of a curriculum: one process of what run_pretrain.sh launches.

example: ernie pretrain --config configs/curriculum/demo_en.yaml --output output/demo_en --stage 1
"""
from __future__ import annotations

import argparse

from ernie.commands import common
from ernie.utils.arguments import within
from ernie.utils.limits import Count, Seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    common.add_run_arguments(parser)
    parser.add_argument("--stage", metavar="N", type=within(Count), required=True, help="number of the stage, from 1")
    parser.add_argument("--step-timeout", type=within(Seconds), metavar="SECONDS",
                        help="end the job when a step takes longer (default: the curriculum's)")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle

    import_paddle()
    from ernie.pretraining.stage import train_stage

    return train_stage(common.read_curriculum(args), args.stage, args.output, args.step_timeout)
