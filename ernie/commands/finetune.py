"""Fine-tune on one task: one process of what run_finetune.sh launches.

example: ernie finetune --task mrpc --data glue/MRPC --init checkpoints/ernie_base_en --output output/mrpc --runs 5
         ernie finetune --task mine.yaml --data mine --init checkpoints/ernie_base_en --check
         ernie finetune --together mnli,rte --data glue --init checkpoints/ernie_base_en --output output/together
         ernie finetune --summary output
"""
from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ernie.utils.arguments import within
from ernie.utils.console import LOG
from ernie.utils.limits import Count, Natural

if TYPE_CHECKING:
    from ernie.finetuning.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--task", metavar="NAME", help="one of the recipes in configs/finetune, or the path of a yaml")
    parser.add_argument("--data", metavar="DIR", help="the task's files as published, a folder of several tasks, "
                        "or the training file alone")
    parser.add_argument("--init", metavar="CHECKPOINT", help="weights to start from, of any family; "
                        "package:NAME/PATH: in an installed package; default: random")
    parser.add_argument("--output", metavar="DIR", help="models, predictions and figures")
    parser.add_argument("--size", default="base", choices=("base", "large"), help="which of the paper's settings")
    parser.add_argument("--runs", type=within(Count), default=1, metavar="N", help="with N different seeds")
    parser.add_argument("--folds", type=within(Natural), default=0, metavar="K",
                        help="cross-validate instead: K trainings, each "
                        "without a fold of the training rows, which is its dev data")
    parser.add_argument("--sweep", action="append", default=[], metavar="KEY=V1,V2", help="train with every value (of "
                        "several sweeps: every combination) in an output of its own; prints the table of dev figures")
    parser.add_argument("--together", action="append", default=[], metavar="TASK[=DIR]", help="instead of --task: "
                        "train one encoder on several tasks, a head each; DIR where it is not below --data; a "
                        "later --init takes the output")
    parser.add_argument("--mixing", default="1", metavar="ALPHA", help="with --together: steps of a task are "
                        "proportional to its batches to this power (default 1: every row once an epoch), or weights: "
                        "mnli=3,rte=1")
    parser.add_argument("--model", metavar="FILE", help="without --init: configuration of the random model")
    parser.add_argument("--vocab", metavar="FILE", help="a vocabulary other than the checkpoint's; without --init and "
                                                        "without this, one is learnt from the training texts")
    parser.add_argument("--check", action="store_true", help="read all files, say what is in them, train nothing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of the recipe; dotted, repeatable: --set epochs=1 --set task_id=2")
    parser.add_argument("--summary", metavar="DIR", help="instead: the table of all finished runs below DIR, with the "
                                                         "GLUE score and the submission zip")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.finetuning import recipe as recipes
    from reader.utils.errors import InputError

    if args.summary:
        from ernie.finetuning.summary import summarise
        summarise(args.summary)
        return 0
    if args.together:
        return together(args)
    if args.mixing != "1":
        raise InputError(f"--mixing {args.mixing} is for --together")
    for name in ("task", "data") if args.check else ("task", "data", "output"):
        if not getattr(args, name):
            raise InputError(f"--{name} is missing (see --help)")
    if args.folds and (args.folds < 2 or args.runs > 1):
        raise InputError(f"--folds {args.folds}: expected at least 2" + (", and no --runs" if args.runs > 1 else ""))
    recipe = recipes.load(args.task, args.size, args.assignments)
    tell_idle([recipe], args.assignments)
    if args.check:
        from ernie.finetuning.check import check
        check(recipe, args.data, args.init, args.vocab)
        return 0
    if recipe.predicted_with:
        tell_untrained(args, recipe)
    if recipe.predicted_with and not args.init:
        raise InputError(f"{recipe.task} has no training data: give --init the output of a {recipe.predicted_with} run")

    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.finetuning import run as finetuning

    if recipe.predicted_with:
        from ernie.finetuning.answers import answer_with
        recipe.reader.find(args.data, "test")
        return answer_with(args.init, recipe, args.data, args.output, recipe.splits("test"), args.size)
    start = {"init": args.init, "size": args.size, "model": args.model, "vocab": args.vocab,
             "cross_validation": args.folds}
    if args.sweep:
        from ernie.finetuning.sweep import sweep
        return min(1, sweep(args.task, args.size, args.assignments, args.sweep, args.data, args.output, args.runs,
                            start))
    code = finetuning.train(recipe, args.data, args.output, args.runs, **start)
    if code == 0 and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        from ernie.serving.card import write_card
        write_card(args.output)
    return code if "ERNIE_LAUNCHER" in os.environ else min(code, 1)  # the launcher tells a stop from a failure


def tell_idle(recipes: list[Recipe], assignments: list[str]) -> None:
    """Say once which assignments change nothing in training by any of the recipes; the first rank does."""
    from ernie.finetuning.recipe import idle_overrides
    if os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        for line in idle_overrides(recipes[0], assignments):
            if all(line in idle_overrides(recipe, assignments) for recipe in recipes):
                LOG.info("note: %s", line)


def tell_untrained(args: argparse.Namespace, recipe: Recipe) -> None:
    """Say once which flags have no effect where a model of another task answers; refuse those that ask for training."""
    from reader.utils.errors import InputError
    why = f"a model of {recipe.predicted_with} answers {recipe.task}, nothing is trained"
    for name, unwanted in ("folds", args.folds), ("sweep", args.sweep):
        if unwanted:
            raise InputError(f"--{name}: {why}")
    for name, given in ("runs", args.runs > 1), ("model", args.model), ("vocab", args.vocab):
        if given and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
            LOG.info("note: --%s has no effect: %s", name, why)


def together(args: argparse.Namespace) -> int:
    """Train on the tasks of ``--together``, or check their files. Returns the exit code."""
    from ernie.finetuning.recipe import declared, joined
    from reader.utils.errors import InputError
    for name, unwanted in (("task", args.task), ("folds", args.folds), ("sweep", args.sweep)):
        if unwanted:
            raise InputError(f"--together and --{name} exclude each other")
    recipes = joined(declared(args.together, args.data), args.size, args.assignments)
    tell_idle([recipe for recipe, _ in recipes], args.assignments)
    if args.check:
        from ernie.finetuning.check import check
        for recipe, directory in recipes:
            check(recipe, directory, args.init, args.vocab)
        return 0
    if not args.output:
        raise InputError("--output is missing (see --help)")
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.finetuning.together import train
    code = train(recipes, args.mixing, args.output, args.runs, init=args.init, size=args.size, model=args.model,
                 vocab=args.vocab)
    return code if "ERNIE_LAUNCHER" in os.environ else min(code, 1)
