"""The pre-training program of the 2019 release: ERNIE 1.0's masked LM and sentence labels on Baidu's text format.

Its flags become a curriculum, its file lists become stores, both below ``--checkpoints``; then ``run_pretrain.sh``
trains, goes on where it stopped, and starts again after a failure.
"""
from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ernie.release2019.flags import CARDS, NEVER, SCHEDULES, epilog, number_in, truth, whole
from ernie.release2019.launch import PLACES
from ernie.utils import launchers
from ernie.utils.arguments import Parser, within
from ernie.utils.console import LOG, show_log
from ernie.utils.limits import NotNegative
from reader.utils.errors import InputError
from reader.utils.files import atomic_write, write_json
from reader.utils.text import counted

TEXT = {"vocab_path": None, "train_filelist": None, "valid_filelist": None, "test_filelist": None,
        "ernie_config_path": None, "init_checkpoint": None, "checkpoints": "checkpoints",
        "lr_scheduler": "linear_warmup_decay"}
WHOLE = {"batch_size": 8192, "max_seq_len": 512, "num_train_steps": 1000000, "warmup_steps": 5000, "epoch": 100,
         "validation_steps": 1000, "save_steps": 10000, "skip_steps": 10, "incr_every_n_steps": 100,
         "decr_every_n_nan_or_inf": 2, "random_seed": 1}
NUMBER = {"learning_rate": 1e-4, "weight_decay": 0.01, "init_loss_scaling": 102400.0, "incr_ratio": 2.0,
          "decr_ratio": 0.8}
SWITCH = {"in_tokens": True, "use_fp16": False, "do_test": False, "generate_neg_sample": False}
WITHOUT_MEANING = ("use_cuda", "is_distributed", "use_fast_executor", "weight_sharing", "use_dynamic_loss_scaling",
                   "verbose", "num_iteration_per_drop_scope", "hack_old_data")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the flags of 2019 with the defaults of 2019."""
    return parser_of().parse_args(argv)


def parser_of() -> Parser:
    """Return the parser of ``train.py``."""
    parser = Parser(prog="train.py", usage="%(prog)s [-h] [flags]", description=f"""{__doc__}
example: python ernie/pretrain_launch.py --nproc_per_node 8 ernie/train.py \
--train_filelist train_filelist --vocab_path vocab.txt --ernie_config_path ernie_config.json \
--checkpoints output/2019""", epilog=epilog(WITHOUT_MEANING))
    for names, reads in (TEXT, str), (NUMBER, within(NotNegative)), (SWITCH, truth):
        for name, default in names.items():
            parser.add_argument(f"--{name}", type=reads, default=default, help=f"default {default}")
    for name, default in WHOLE.items():
        parser.add_argument(f"--{name}", type=whole(name), default=default, help=f"default {default}")
    for name in WITHOUT_MEANING:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser


def curriculum_of(args: argparse.Namespace, cards: int, tokens: int, stores: Mapping[str, str]) -> dict[str, Any]:
    """Return the curriculum that the flags ask for, as plain containers.

    Args:
        cards: batch_size counts the tokens (or rows) of one of them. tokens: of the training data, for --epoch.
        stores: "path" and, with --valid_filelist, "dev".
    """
    if args.lr_scheduler not in SCHEDULES:
        raise InputError(f"--lr_scheduler {args.lr_scheduler!r} is not one of {', '.join(SCHEDULES)}")
    batch_tokens = cards * args.batch_size * (1 if args.in_tokens else args.max_seq_len)
    steps = max(1, min(args.num_train_steps, math.ceil(args.epoch * tokens / batch_tokens)))
    # every step learns both; a task takes part in a stage when at least one step is charged to it
    stage: dict = {"tasks": {"knowledge_masking": 1, "given_label": max(1, steps - 1)}}
    if "dev" in stores:
        stage["until_converged"] = {"evaluate_every": min(args.validation_steps, NEVER), "patience": NEVER}
    return {
        "name": "release2019", "method": "explicit", "stages": [stage], "tasks": ["knowledge_masking", "given_label"],
        "corpora": {"baidu": dict(stores)}, "model": args.ernie_config_path, "max_length": args.max_seq_len,
        "batch_tokens": batch_tokens, "micro_batch_tokens": min(8192, batch_tokens), "init": args.init_checkpoint,
        "optimizer": {"learning_rate": args.learning_rate, "beta1": 0.9, "beta2": 0.999,
                      "weight_decay": args.weight_decay, "warmup_steps": args.warmup_steps,
                      # without warm-up the release kept the learning rate constant, whatever the schedule was called
                      "schedule": SCHEDULES[args.lr_scheduler] if args.warmup_steps > 0 else "constant"},
        "precision": "fp16" if args.use_fp16 else "fp32", "seed": args.random_seed,
        "loss_scaling": {"initial": args.init_loss_scaling, "increase_every": args.incr_every_n_steps,
                         "increase_ratio": args.incr_ratio, "decrease_every": args.decr_every_n_nan_or_inf,
                         "decrease_ratio": args.decr_ratio},
        "log_every": min(args.skip_steps, NEVER), "checkpoint_every": min(args.save_steps, NEVER)}


def store(filelist: str, vocabulary: str, output: Path) -> dict[str, Any]:
    """Build the store of a file list, unless it is there, and return its manifest.

    Raises:
        InputError: the store that is there was made of other files.
    """
    from reader.store.baidu import build_from_baidu
    from reader.store.store import read_manifest
    listed, content = output.with_name(f"{output.name}.files"), Path(filelist).read_bytes()
    made = (output / "manifest.json").is_file()
    if made and listed.is_file() and listed.read_bytes() != content:
        raise InputError(f"was made of other files than {filelist} names; use another --checkpoints", output)
    if not made:
        shutil.rmtree(output, ignore_errors=True)
        manifest, rejected = build_from_baidu([filelist], vocabulary, output)
        print(f"{output}: {counted(manifest['documents'], 'instance')}, {manifest['tokens']:,} tokens", flush=True)
        if rejected.total:
            print(rejected, flush=True)
        with atomic_write(listed, "wb") as file:
            file.write(content)
    return read_manifest(output)


def prepare(args: argparse.Namespace, cards: int) -> Path:
    """Make stores and curriculum below --checkpoints. Returns the curriculum's file."""
    for name in "vocab_path", "train_filelist", "ernie_config_path":
        given = getattr(args, name)
        if not given or not Path(given).is_file():
            raise InputError(f"--{name}: no such file {given}" if given else f"--{name} is missing")
    if args.do_test:
        raise InputError("--do_test: give the files as --valid_filelist, which is measured every --validation_steps")
    output = Path(args.checkpoints)
    train = store(args.train_filelist, args.vocab_path, output / "store" / "train")
    if args.generate_neg_sample:
        print("--generate_neg_sample true: no pairs are made up; the labels of the files are learnt", flush=True)
    stores = {"path": str(output / "store" / "train")}
    if args.valid_filelist:
        store(args.valid_filelist, args.vocab_path, output / "store" / "dev")
        stores["dev"] = str(output / "store" / "dev")
    curriculum = curriculum_of(args, cards, train["tokens"], stores)
    steps = sum(curriculum["stages"][0]["tasks"].values())
    print(f"{counted(steps, 'step')} of {curriculum['batch_tokens']:,} tokens (batch_size {args.batch_size:,} x "
          f"{counted(cards, 'card')}{'' if args.in_tokens else ' x max_seq_len'}); the smaller of --num_train_steps "
          "and --epoch", flush=True)
    write_json(output / "curriculum.json", curriculum)
    return output / "curriculum.json"


def main(argv: list[str] | None = None) -> int:
    """Prepare, then run run_pretrain.sh in place of this process. Returns the exit code when that is not reached."""
    show_log()
    args = parse(sys.argv[1:] if argv is None else argv)
    places = shlex.split(os.environ.get(PLACES, ""))
    visible = [card for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card.strip()]
    given = [name for name in WITHOUT_MEANING if getattr(args, name) is not None]
    if given:
        print(f"without meaning today, passed over: {', '.join('--' + name for name in given)}", flush=True)
    try:
        file = prepare(args, number_in(os.environ, CARDS, max(1, len(visible))))
    except InputError as error:
        LOG.error("%s", error)
        return 2
    command = launchers.command("pretrain", ["--config", str(file), "--output", str(args.checkpoints), *places])
    sys.stdout.flush()
    os.execvpe(command[0], command, launchers.environment())
    return 1  # not reached
