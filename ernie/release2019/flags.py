"""The flags of the 2019 fine-tuning programs, and the recipe that they ask for. No paddle."""
from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from ernie.finetuning import recipe as recipes
from ernie.utils.arguments import Parser, within
from ernie.utils.limits import NotNegative, Range
from ernie.utils.resources import ROOT
from reader.utils.errors import InputError
from reader.utils.text import counted

CARDS = "ERNIE_2019_CARDS"  # set by finetune_launch.py where one process stands for several cards
NEVER = 10**9  # scripts write more
METRICS = {"simple_accuracy": ["accuracy"], "acc_and_f1": ["accuracy", "f1"], "matthews_corrcoef": ["matthews"],
           "acc_and_f1_and_mrr": ["accuracy", "f1", "mrr"], "pearson_and_spearman": ["pearson", "spearman"]}
REGRESSION = "pearson_and_spearman"  # its only measure, in 2019 too; --metric has accuracy as its default
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
          "use_cuda": True, "do_train": True, "do_val": True, "do_test": True, "for_cn": True, "enable_ce": False}
MAY_BE_ZERO = ("task_id", "random_seed", "warmup_steps")
WITHOUT_MEANING = ("use_dynamic_loss_scaling", "verbose", "tokenizer", "predict_batch_size", "chunk_scheme",
                   "is_distributed", "use_fast_executor", "num_iteration_per_drop_scope", "use_multi_gpu_test",
                   "metrics", "shuffle")
PROGRAMS = {"classifier": "classification, regression and ranking", "sequence_labeling": "tagging",
            "mrc": "reading comprehension"}
OWN = {  # flag -> programs that read it; the others accept it
    **dict.fromkeys(("max_query_length", "max_answer_length", "doc_stride", "n_best_size"), ("mrc",)),
    **dict.fromkeys(("is_classify", "is_regression", "metric", "num_labels", "diagnostic", "diagnostic_save"),
                    ("classifier",)),
    "label_map_config": ("classifier", "sequence_labeling")}


def parse(argv: list, program: str = "classifier") -> argparse.Namespace:
    """Parse the flags of 2019 with the defaults of 2019; ``program`` is one of ``PROGRAMS``, for its help."""
    parser = parser_of(program)
    return parser.parse_args(argv)


def parser_of(program: str) -> Parser:
    """Return the parser of a program; it takes the flags of all three, its help shows its own."""
    parser = Parser(prog=f"run_{program}.py", usage="%(prog)s [-h] [flags]", description=f"""\
Fine-tune for {PROGRAMS[program]} with the flags of Baidu's 2019 release.

example: python ernie/run_{program}.py --do_train true --train_set train.tsv \
--dev_set dev.tsv --vocab_path vocab.txt --ernie_config_path ernie_config.json \
--init_pretraining_params params --checkpoints output/2019""", epilog=epilog())
    for names, reads in (TEXT, str), (NUMBER, within(NotNegative)), (SWITCH, truth):
        for name, default in names.items():
            parser.add_argument(f"--{name}", type=reads, default=default, help=_help(program, name, default))
    for name, default in WHOLE.items():
        parser.add_argument(f"--{name}", type=whole(name), default=default, help=_help(program, name, default))
    for name in WITHOUT_MEANING:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser


def epilog(names: tuple[str, ...] = WITHOUT_MEANING) -> str:
    """Return the end of a program's help: what it accepts without using it, and where the documentation is."""
    return (f"accepted, without meaning today: {', '.join(names)}\n\n"
            f"documentation: {ROOT / 'docs' / 'finetuning.md'}")


def _help(program: str, name: str, default: object) -> str:
    return f"default {default}" if program in OWN.get(name, PROGRAMS) else argparse.SUPPRESS


def whole(name: str) -> Callable[[str], int]:
    """Return the argparse ``type`` of a flag that counts; scripts write more than any limit of today."""
    return within(Annotated[int, Range(0 if name in MAY_BE_ZERO else 1, 10 ** 18)])


def truth(text: str) -> bool:
    """Parse a switch as the scripts write it: true, false, t, f, 1 or 0."""
    if text.lower() not in ("true", "false", "t", "f", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "t", "1")


def recipe_of(args: argparse.Namespace, program: str, cards: int) -> recipes.Recipe:
    """Build the recipe that the flags of a program ("classifier", "sequence_labeling" or "mrc") ask for.

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
        kind, metrics = "regression", METRICS[REGRESSION]
    elif "mrr" in metrics:
        kind = "ranking"
    classes, aliases = _classes(args, kind)
    reader: dict = {"layout": layout, "files": _files(args), "classes": classes, "aliases": aliases}
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
        "evaluate_every": min(args.validation_steps, NEVER), "checkpoint_every": min(args.save_steps, NEVER),
        "log_every": min(args.skip_steps, NEVER)},
        program)


def _files(args: argparse.Namespace) -> dict[str, list[str]]:
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


def _classes(args: argparse.Namespace, kind: str) -> tuple[list, dict]:
    """(names of the classes, other spellings of them) from --label_map_config, or numbers."""
    if kind in ("regression", "reading_comprehension"):
        return [], {}
    if args.label_map_config:
        from reader.finetune.tagged import label_map
        classes = label_map(args.label_map_config, tags=kind == "sequence_labelling")
        return list(classes.names), classes.aliases
    if kind == "sequence_labelling":
        raise InputError("--label_map_config is missing: the json file with the number of every label")
    return [str(number) for number in range(args.num_labels)], {}


def tests_saved(args: argparse.Namespace) -> dict[str, str]:
    """Return {split: where the flags want its predictions}; --test_save names a file for each --test_set."""
    wanted = {}
    if args.test_set and args.do_test:
        sets, names = args.test_set.split(","), args.test_save.split(",")
        if len(sets) != len(names):
            raise InputError(f"--test_save names {counted(len(names), 'file')}, --test_set {len(sets)}")
        wanted = {"test" + (f".{number + 1}" if number else ""): name for number, name in enumerate(names)}
    if args.diagnostic and args.diagnostic_save:
        wanted["test.diagnostic"] = args.diagnostic_save
    return wanted


def files_named(args: argparse.Namespace) -> dict[str, str]:
    """Return {split: its file as the flags write it}, for the log."""
    named = {"test.diagnostic": args.diagnostic} if args.diagnostic else {}
    for prefix, names in ("dev", args.dev_set), ("test", args.test_set):
        for number, name in enumerate(names.split(",") if names else []):
            named[prefix + (f".{number + 1}" if number else "")] = name
    return named


def number_in(environment: Mapping[str, str], name: str, default: int = 1) -> int:
    """Return a whole number that a variable of the environment states; InputError where it states something else."""
    text = environment.get(name) or str(default)
    if not text.strip().isdecimal():
        raise InputError(f"{name}={text!r} is not a whole number")
    return int(text)


def cards(args: argparse.Namespace, environment: Mapping[str, str], gpus: Callable[[], int]) -> tuple[int, str]:
    """Return (how many cards batch_size is for, why): the processes of the launcher, or without it the visible cards.

    In 2019 one process without the launcher drove all of them.

    Args:
        gpus: counts those that are there.
    """
    if CARDS in environment:
        return number_in(environment, CARDS), "cards of the launcher"
    ranks = number_in(environment, "PADDLE_TRAINERS_NUM")
    if ranks > 1 or "PADDLE_TRAINER_ID" in environment:
        return ranks, "processes"
    if not args.use_cuda:
        return max(1, number_in(environment, "CPU_NUM")), "CPU_NUM"
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return max(1, gpus()), "cards of this machine"
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if "-1" in names:
        names = names[:names.index("-1")]
    return max(1, len(names)), f"cards of CUDA_VISIBLE_DEVICES={visible}"
