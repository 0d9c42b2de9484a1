"""The fine-tuning programs of Baidu's 2019 release over today's trainer.

``run_classifier.py``, ``run_sequence_labeling.py`` and ``run_mrc.py`` beside this room call ``main``; scripts that were
written for the release run as they are. Every call trains in a directory of its own below ``--checkpoints``.
"""
from __future__ import annotations

import json
import os
import secrets
import sys
from argparse import Namespace
from pathlib import Path

from ernie.release2019 import words
from ernie.release2019.flags import (
    REGRESSION,
    TEXT,
    WITHOUT_MEANING,
    cards,
    files_named,
    number_in,
    parse,
    recipe_of,
    tests_saved,
)
from ernie.utils.console import LOG, show_log
from reader.utils.errors import InputError

SEED = "ERNIE_2019_SEED"  # environment variable: repeat a run


def output_for(args: Namespace, argv: list) -> Path:
    """Return where this call trains: a run that was started by the same call and not finished, or a new one."""
    directory = Path(args.checkpoints)
    numbers = [int(path.name[4:]) for path in directory.glob("run-*") if path.name[4:].isdigit()]
    last = directory / f"run-{max(numbers, default=0)}"
    if numbers and not (last / "result.json").exists() and started_by(last) == argv:
        return last
    return directory / f"run-{max(numbers, default=0) + 1}"


def started_by(run: Path) -> list | None:
    """Return the flags that a run was started by; None where they are not known."""
    try:
        return json.loads((run / "flags.json").read_text("utf-8"))["argv"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def seed_for(run: Path, args: Namespace) -> int:
    """Return the seed of a run: that of its last start, or one from ``ERNIE_2019_SEED``, or a new one.

    In 2019 --random_seed set the order of the rows only; the new layer and dropout differed from run to run, and five
    runs of a script were five runs. Here one seed stands for all of it, so it is drawn.
    """
    if started_by(run) is not None:
        return int(json.loads((run / "flags.json").read_text("utf-8"))["seed"])
    if os.environ.get(SEED):
        try:
            return int(os.environ[SEED])
        except ValueError:
            raise InputError(f"{SEED}={os.environ[SEED]!r} is not a whole number") from None
    return secrets.randbelow(2**31 - 1) + 1


def newest_run(path: str | Path) -> Path:
    """Return the last finished training below a directory that was given as --checkpoints; any other path as it is."""
    from ernie.finetuning.predictor import find_model
    done = [run.parent for run in Path(path).glob("run-*/result.json") if run.parent.name[4:].isdigit()]
    newest = sorted(done, key=lambda run: -int(run.name[4:]))
    # a call that only tests is finished too, and leaves no model
    return next((run for run in newest if find_model(run)), Path(path))


def main(program: str, argv: list | None = None) -> int:
    """Run one of the programs of 2019. Returns the exit code."""
    show_log()
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv, program)
    try:
        return _run(args, program, argv)
    except InputError as error:
        LOG.error("%s", error)
        return 2


def _run(args: Namespace, program: str, argv: list) -> int:
    ranks = number_in(os.environ, "PADDLE_TRAINERS_NUM")
    rank = number_in(os.environ, "PADDLE_TRAINER_ID", 0)
    say = print if rank == 0 else (lambda text: None)
    from ernie.utils.paddle_setup import import_paddle
    paddle = import_paddle()
    gpus = paddle.device.cuda.device_count() if paddle.device.get_device().startswith("gpu") else 0
    count, why = cards(args, os.environ, lambda: gpus)
    recipe = recipe_of(args, program, count)
    saved = tests_saved(args)  # a mistake in them must not wait for the end of training
    if not (args.do_train or args.do_val or args.do_test):
        raise InputError("--do_train, --do_val and --do_test are all false: nothing to do")
    from ernie.finetuning.answers import answer_with
    from ernie.finetuning.run import FinetuningRun
    from ernie.release2019.watcher import Files, Watcher2019
    from ernie.training import distributed
    from ernie.training.run import Run
    from reader.utils.files import write_json
    words.to_console(rank)
    given = [name for name in WITHOUT_MEANING if getattr(args, name) is not None]
    if given:
        say(f"without meaning today, passed over: {', '.join('--' + name for name in given)}")
    if recipe.kind == "regression" and args.metric not in (TEXT["metric"], REGRESSION):
        say(f"--metric {args.metric}: a regression is measured by {REGRESSION}")
    if args.use_cuda and not gpus:
        say("--use_cuda true: no GPU here, trains on the CPU")
    if not args.use_cuda:
        paddle.set_device("cpu")
    if count > ranks:
        say(f"batch_size {args.batch_size} x {count} ({why}) = {recipe.batch_size:,} {recipe.batch_unit} a step; "
            f"{ranks} process{'es take' if ranks > 1 else ' takes'} them, in several goes where they do not fit")
    watcher = Watcher2019(args, count, Files(files_named(args), saved), say)
    init = args.init_checkpoint or args.init_pretraining_params
    if not args.do_train:
        if not init:
            raise InputError("--do_train false needs --init_checkpoint: the output of a training run")
        return answer_with(newest_run(init), recipe, ".", output_for(args, argv),
                           recipe.splits("dev") + recipe.splits("test"), say=say, answered=watcher.answered)
    if not args.train_set or not Path(args.train_set).is_file():
        raise InputError(f"--train_set: no such file {args.train_set}" if args.train_set else "--train_set is missing")
    with Run(lambda: output_for(args, argv), start_timeout=recipe.start_timeout, step_timeout=recipe.step_timeout,
             marks=Path(args.checkpoints) / "alive", gradient_bucket_mb=recipe.gradient_bucket_mb) as run:
        recipe.seed = distributed.gather(run.world, seed_for(run.directory, args) if run.world.main else 0)[0]
        if run.world.main:
            write_json(run.directory / "flags.json", {"argv": argv, "seed": recipe.seed})
        run.say(f"seed {recipe.seed} in {run.directory}; the same again: {SEED}={recipe.seed}")
        return FinetuningRun(run, recipe, ".", watcher=watcher, init=init, model=args.ernie_config_path,
                             vocab=args.vocab_path).seeds(1)
