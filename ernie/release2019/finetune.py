"""The fine-tuning scripts of Baidu's 2019 release: their flags, translated into a recipe for today's trainer.

``run_classifier.py``, ``run_sequence_labeling.py`` and ``run_mrc.py`` beside this file call ``main``; scripts that were
written for the release run as they are. Every call trains in a directory of its own below ``--checkpoints``.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from ernie.finetuning import recipe as recipes
from ernie.utils.arguments import Parser
from reader.utils.errors import InputError

CARDS = "ERNIE_2019_CARDS"  # set by finetune_launch.py where one process stands for several cards
METRICS = {"simple_accuracy": ["accuracy"], "acc_and_f1": ["accuracy", "f1"], "matthews_corrcoef": ["matthews"],
           "acc_and_f1_and_mrr": ["accuracy", "f1", "mrr"], "pearson_and_spearman": ["pearson", "spearman"]}
SCHEDULES = {"linear_warmup_decay": "linear", "noam_decay": "noam"}
TEXT = {"ernie_config_path": None, "init_checkpoint": None, "init_pretraining_params": None,
        "checkpoints": "checkpoints", "lr_scheduler": "linear_warmup_decay", "test_save": "checkpoints/test_result",
        "metric": "simple_accuracy", "train_set": None, "test_set": None, "dev_set": None, "vocab_path": None,
        "label_map_config": None, "diagnostic": None, "diagnostic_save": None}
WHOLE = {"task_id": 0, "epoch": 3, "save_steps": 10000, "validation_steps": 1000, "incr_every_n_steps": 100,
         "decr_every_n_nan_or_inf": 2, "skip_steps": 10, "max_seq_len": 512, "batch_size": 32, "random_seed": 1,
         "num_labels": 2, "max_query_length": 64, "max_answer_length": 100, "doc_stride": 128, "n_best_size": 20}
NUMBER = {"learning_rate": 5e-5, "weight_decay": 0.01, "warmup_proportion": 0.1, "init_loss_scaling": 102400.0,
          "incr_ratio": 2.0, "decr_ratio": 0.8}
SWITCH = {"is_classify": True, "is_regression": False, "use_fp16": False, "in_tokens": False, "do_lower_case": True,
          "use_cuda": True, "do_train": True, "do_val": True, "do_test": True, "for_cn": True}
WITHOUT_MEANING = ("use_dynamic_loss_scaling", "verbose", "tokenizer", "predict_batch_size", "chunk_scheme",
                   "is_distributed", "use_fast_executor", "num_iteration_per_drop_scope", "use_multi_gpu_test",
                   "metrics", "shuffle")


def parse(argv: list) -> argparse.Namespace:
    """The flags of 2019 with the defaults of 2019."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for names, reads in (TEXT, str), (WHOLE, int), (NUMBER, float), (SWITCH, _truth):
        for name, default in names.items():
            parser.add_argument(f"--{name}", type=reads, default=default, help=f"default {default}")
    for name in WITHOUT_MEANING:
        parser.add_argument(f"--{name}", help="accepted, without meaning today")
    return parser.parse_args(argv)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "t", "f", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "t", "1")


def recipe_of(args: argparse.Namespace, program: str, cards: int) -> recipes.Recipe:
    """The recipe that the flags of a program ("classifier", "sequence_labeling" or "mrc") ask for.

    Args:
        cards: batch_size counted the rows (or tokens) of one of them.
    """
    if args.metric not in METRICS:
        raise InputError(f"--metric {args.metric!r} is not one of {', '.join(METRICS)}")
    if args.lr_scheduler not in SCHEDULES:
        raise InputError(f"--lr_scheduler {args.lr_scheduler!r} is not one of {', '.join(SCHEDULES)}")
    kind, metrics, layout = "classification", METRICS[args.metric], "table"
    if program == "sequence_labeling":
        kind, metrics, layout = "sequence_labelling", ["entity_f1", "entity_precision", "entity_recall"], "tagged"
    elif program == "mrc":
        kind, metrics, layout = "reading_comprehension", ["em", "f1"], "questions"
    elif args.is_regression:
        kind, metrics = "regression", METRICS["pearson_and_spearman"]
    elif "mrr" in metrics:
        kind = "ranking"
    reader = {"layout": layout, "files": _files(args), "classes": _classes(args, kind)}
    if layout == "table":
        reader["columns"] = [{"text": ["text_a", "text_b"], "group": "qid"}, {"text": ["text_a"], "group": "qid"}]
        reader["remove_spaces"] = args.for_cn
    options = {}
    if kind == "reading_comprehension":
        options = {"max_query_length": args.max_query_length, "max_answer_length": args.max_answer_length,
                   "doc_stride": args.doc_stride, "n_best": args.n_best_size}
    scaling = {"initial": args.init_loss_scaling, "increase_every": args.incr_every_n_steps,
               "increase_ratio": args.incr_ratio, "decrease_every": args.decr_every_n_nan_or_inf,
               "decrease_ratio": args.decr_ratio}
    return recipes.from_dict({
        "task": program, "suite": "chinese" if args.for_cn else "glue", "kind": kind, "reader": reader,
        "metrics": metrics, "max_length": args.max_seq_len, "options": options, "over_runs": "mean",
        # without warm-up the release kept the learning rate constant, whatever the schedule was called
        "schedule": SCHEDULES[args.lr_scheduler] if args.warmup_proportion > 0 else "constant",
        "warmup_proportion": args.warmup_proportion, "weight_decay": args.weight_decay,
        "learning_rate": args.learning_rate, "batch_size": args.batch_size * cards, "epochs": args.epoch,
        "batch_unit": "tokens" if args.in_tokens else "examples", "task_id": args.task_id, "seed": args.random_seed,
        "lower_case": args.do_lower_case, "precision": "fp16" if args.use_fp16 else "fp32", "loss_scaling": scaling,
        "evaluate_every": args.validation_steps, "checkpoint_every": args.save_steps, "log_every": args.skip_steps},
        program)


def _files(args) -> dict:
    """split -> [absolute path] of every file that the flags name; several of a kind are numbered."""
    files = {"train": [str(Path(args.train_set).resolve())] if args.train_set else []}
    for prefix, names, wanted in ("dev", args.dev_set, args.do_val), ("test", args.test_set, args.do_test):
        for number, name in enumerate(names.split(",") if names and wanted else []):
            if not Path(name).is_file():
                raise InputError(f"--{prefix}_set: no such file", name)
            files[prefix + (f".{number + 1}" if number else "")] = [str(Path(name).resolve())]
        files.setdefault(prefix, [os.devnull + "/none"])  # not found, rather than looked for
    if args.diagnostic:
        if not Path(args.diagnostic).is_file():
            raise InputError("--diagnostic: no such file", args.diagnostic)
        files["test.diagnostic"] = [str(Path(args.diagnostic).resolve())]
    return files


def _classes(args, kind: str) -> list:
    if kind in ("regression", "reading_comprehension"):
        return []
    if args.label_map_config:
        from reader.finetune.tagged import label_map
        return list(label_map(args.label_map_config, tags=kind == "sequence_labelling").names)
    if kind == "sequence_labelling":
        raise InputError("--label_map_config is missing: the json file with the number of every label")
    return [str(number) for number in range(args.num_labels)]


def output_for(args, argv: list) -> Path:
    """Where this call trains: a run that was started by the same call and not finished, or a new one."""
    directory = Path(args.checkpoints)
    numbers = [int(path.name[4:]) for path in directory.glob("run-*") if path.name[4:].isdigit()]
    last = directory / f"run-{max(numbers, default=0)}"
    if numbers and not (last / "result.json").exists() and (last / "flags.json").is_file() \
            and json.loads((last / "flags.json").read_text("utf-8")) == argv:
        return last
    return directory / f"run-{max(numbers, default=0) + 1}"


def newest_run(path) -> Path:
    """The last finished run below a directory that was given as --checkpoints; any other path as it is."""
    done = [run.parent for run in Path(path).glob("run-*/result.json") if run.parent.name[4:].isdigit()]
    return max(done, key=lambda run: int(run.name[4:]), default=Path(path))


def tests_saved(args) -> list:
    """(split, file) of the predictions that the flags want; --test_save names a file for each --test_set."""
    wanted = []
    if args.test_set and args.do_test:
        sets, names = args.test_set.split(","), args.test_save.split(",")
        if len(sets) != len(names):
            raise InputError(f"--test_save names {len(names)} files, --test_set {len(sets)}")
        wanted = [("test" + (f".{number + 1}" if number else ""), name) for number, name in enumerate(names)]
    if args.diagnostic and args.diagnostic_save:
        wanted.append(("test.diagnostic", args.diagnostic_save))
    return wanted


def save_tests(args, output: Path, seed: int) -> None:
    """Test predictions where the flags want them."""
    for split, name in tests_saved(args):
        source = output / f"seed-{seed}" / f"{split}.tsv"
        if source.is_file():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, name)
            print(f"{split} predictions: {name}")


def main(program: str, argv: list | None = None) -> int:
    """Run one of the programs of 2019. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    try:
        return _run(args, program, argv)
    except InputError as error:
        print(f"ernie: {error}", file=sys.stderr)
        return 2


def _run(args, program: str, argv: list) -> int:
    ranks = int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
    recipe = recipe_of(args, program, int(os.environ.get(CARDS, ranks)))
    tests_saved(args)  # a mistake in them must not wait for the end of training
    if not (args.do_train or args.do_val or args.do_test):
        raise InputError("--do_train, --do_val and --do_test are all false: nothing to do")
    from ernie.utils.paddle_setup import import_paddle
    paddle = import_paddle()
    from ernie.finetuning import run as finetuning
    from ernie.training.run import Run
    from reader.utils.files import write_json
    given = [name for name in WITHOUT_MEANING if getattr(args, name) is not None]
    if given and rank == 0:
        print(f"without meaning today, passed over: {', '.join('--' + name for name in given)}")
    if args.use_cuda and not paddle.device.get_device().startswith("gpu") and rank == 0:
        print("--use_cuda true: no GPU here, trains on the CPU")
    if not args.use_cuda:
        paddle.set_device("cpu")
    init = args.init_checkpoint or args.init_pretraining_params
    if not args.do_train:
        if not init:
            raise InputError("--do_train false needs --init_checkpoint: the output of a training run")
        output = output_for(args, argv)
        splits = recipe.splits("dev") + recipe.splits("test")
        code = finetuning.answer_with(newest_run(init), recipe, ".", output, splits)
        save_tests(args, output, 0)
        return code
    if not args.train_set or not Path(args.train_set).is_file():
        raise InputError(f"--train_set: no such file {args.train_set}" if args.train_set else "--train_set is missing")
    with Run(lambda: output_for(args, argv), start_timeout=recipe.start_timeout, step_timeout=recipe.step_timeout,
             marks=Path(args.checkpoints) / "alive") as run:
        if run.world.main:
            write_json(run.directory / "flags.json", argv)
        code = finetuning.FinetuningRun(run, recipe, ".", init=init, model=args.ernie_config_path,
                                        vocab=args.vocab_path).seeds(1)
        if run.world.main and not code:
            save_tests(args, run.directory, recipe.seed)
    return code
