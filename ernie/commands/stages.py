"""The stages of a curriculum and how far a run has come.

Prints the numbers of the stages that are left to train, one a line; --table prints the dev metrics of every stage.
Checks data, model and curriculum first, so that a mistake is one line here and not a failed process group later.

example: ernie stages --config configs/curriculum/demo_en.yaml --output output/demo_en
"""
from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from ernie.commands import common
from ernie.utils.console import LOG

if TYPE_CHECKING:
    from ernie.pretraining.run_directory import RunDirectory
    from ernie.pretraining.stages import Stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    common.add_run_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="check and list, prepare nothing")
    parser.add_argument("--table", action="store_true", help="print stage x task instead")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle

    import_paddle()
    from ernie.planning.forecast import forecast
    from ernie.planning.plan import Plan
    from ernie.pretraining.curriculum import idle_overrides
    from ernie.pretraining.data import PretrainingData
    from ernie.pretraining.model_config import model_config
    from ernie.pretraining.run_directory import RunDirectory
    from ernie.utils.files import lock

    curriculum = common.read_curriculum(args)
    run = RunDirectory(args.output, curriculum.copy_checkpoints_to)
    stages = run.stages(curriculum)
    if args.table:
        show_table(run, stages, PretrainingData(curriculum).tokenizer.size)
        return 0
    for line in idle_overrides(curriculum, args.assignments, args.corpus):
        LOG.info("note: %s", line)
    if args.dry_run and curriculum.demo and not (run.path / "corpus").exists():
        LOG.info("the demo's corpus would be made in %s", run.path / "corpus")
        print("\n".join(str(stage.number) for stage in stages))
        return 0
    if not args.dry_run:
        with lock(run.path, say=LOG.info):  # nobody else is at work here
            common.prepare_demo(curriculum, run.path)
    data = PretrainingData(curriculum)
    config = model_config(curriculum, data.tokenizer.size)
    facts = data.facts(config)
    run.check(curriculum, stages, facts)  # the stage that is trained next records it
    if not run.recorded():
        planned = dataclasses.replace(Plan.of(curriculum, 1), config=config)
        for line in forecast(planned, timed=not args.dry_run).lines():
            LOG.info("%s", line)
    finished = run.finished(stages, LOG.info)
    if finished:
        LOG.info("finished before: stage %s of %d", ", ".join(map(str, finished)), len(stages))
    print("\n".join(str(stage.number) for stage in stages if stage.number not in finished))
    return 0


def show_table(run: RunDirectory, stages: list[Stage], vocabulary: int) -> None:
    """Print the stage x task table of a run, and what can be done with its last checkpoint; write its model card."""
    from ernie.pretraining.forgetting import ForgettingMatrix, stage_metrics
    from ernie.serving.card import write_card

    measured = stage_metrics(run, stages)
    print(f"\n{ForgettingMatrix(measured, vocabulary).table()}\n" if measured else "no stage has been measured")
    ends = [(stage.number, done) for stage in stages if (done := run.done(stage.number))]
    if not ends:
        return
    last, done = ends[-1]
    print(f"checkpoint: {run.stage_path(last) / done['checkpoint']}    report: ernie report {run.path}")
    if card := write_card(run.path):
        print(f"model card: {card}    next: ernie launch finetune TASK --data DIR --init {run.path} --output DIR")
