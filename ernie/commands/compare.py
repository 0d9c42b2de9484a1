"""Run curricula on one corpus at equal budgets, over several seeds, and put them side by side on one page.

Totals of steps, tokens and updates of every task must agree, or those that --equal names: the paper's three methods
spend equal steps and tokens, but a token-level task is updated in every step of its stages. Killed or stopped, the same
command goes on where it was. Writes <output>/<curriculum>/seed-<n> (run directories), compare.html and results.jsonl.

    ernie compare continual.yaml multitask.yaml sequential.yaml --corpus store/mine --output output/methods \\
        --equal steps
    ernie compare full.yaml masking_only.yaml --corpus store/mine --output output/value --equal steps --seeds 5 \\
        --finetune rte=glue/RTE,mrpc=glue/MRPC --finetune-seeds 3
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ernie.commands import common
from ernie.utils.arguments import within
from ernie.utils.limits import Count
from ernie.utils.overrides import given
from reader.utils.errors import InputError

if TYPE_CHECKING:
    from ernie.comparison.budgets import Budget
    from ernie.comparison.plan import ComparisonPlan, FineTuning
    from ernie.comparison.results import Group
    from ernie.finetuning.recipe import Recipe
    from ernie.pretraining.curriculum import Curriculum
    from ernie.report.runs import RunRecord

TOTALS = ("steps", "tokens", "updates")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("configs", nargs="+", metavar="CURRICULUM", help="yaml files, each of another name")
    parser.add_argument("--corpus", required=True, metavar="DIR", help="a directory with the stores train and dev, and "
                                                                       "pair stores under pairs/<task>")
    parser.add_argument("--output", required=True, metavar="DIR", help="of all runs and the page")
    parser.add_argument("--seeds", type=within(Count), default=3, metavar="N",
                        help="runs of each curriculum, seeds 1 to N (3)")
    parser.add_argument("--equal", nargs="+", choices=TOTALS, default=list(TOTALS), metavar="TOTAL",
                        help="totals that must agree: steps, tokens, updates (default: all three)")
    parser.add_argument("--finetune", action="append", default=[], metavar="TASK=DIR,...",
                        help="fine-tune every run on these tasks; repeatable")
    parser.add_argument("--finetune-seeds", type=within(Count), default=1, metavar="N",
                        help="runs of each fine-tuning (1)")
    parser.add_argument("--untouched", metavar="PATH", help="fine-tune this checkpoint too, as it is: the one that the "
                                                            "curricula begin from")
    parser.add_argument("--finetune-set", action="append", default=[], metavar="KEY=VALUE",
                        help="override a key of the fine-tuning recipes; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of every curriculum; dotted, repeatable")
    parser.add_argument("--tasks-from", action="append", default=[], metavar="FILE",
                        help="a Python file with tasks of your own; repeatable")
    parser.add_argument("--devices", metavar="0,1", help="as in run_pretrain.sh")
    parser.add_argument("--jobs", type=within(Count), default=1, metavar="N",
                        help="runs at the same time, each on an equal share of the cards or cores (1)")
    parser.add_argument("--report-only", action="store_true", help="run nothing, write the page of what is there")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns its exit code, None for 0."""
    from ernie.comparison.begun import check_begun
    plan, budgets, curricula, recipes = make_plan(args)
    check_begun(plan, curricula, recipes)
    code = 0
    if not args.report_only:
        from ernie.comparison.driver import Driver
        from ernie.comparison.inputs import check_inputs
        from ernie.comparison.shares import divide
        from ernie.utils.files import lock
        shares = divide(args.jobs, args.devices)
        check_inputs(plan, curricula, recipes)
        with lock(plan.output, say=lambda text: print(f"ernie: {text}")):
            code = Driver(plan, shares, say=lambda text: print(text, flush=True)).run()
    write_results(plan, budgets, args.equal)
    return code


def make_plan(args: argparse.Namespace) -> tuple[ComparisonPlan, dict[str, Budget], dict[str, Curriculum],
                                                 dict[str, Recipe]]:
    """Check the arguments and say what is to be run, with the curricula and the recipes by name.

    Raises InputError on bad arguments, curricula or budgets.
    """
    from ernie.comparison.budgets import Budget, check_equal
    from ernie.comparison.plan import UNTOUCHED, ComparisonPlan, Contestant
    from ernie.utils.resources import locate_checkpoint
    contestants, budgets, curricula = [], {}, {}
    if text := given(args.assignments, "seed"):
        raise InputError(f"--set {text}: the runs of a comparison have the seeds 1 to {args.seeds} (--seeds)")
    if text := given(args.finetune_set, "seed"):
        raise InputError(f"--finetune-set {text}: the fine-tunings of a run have seeds of its own (--finetune-seeds)")
    for config in args.configs:
        name = Path(config).stem
        if name in budgets:
            raise InputError(f"two curricula are called {name!r}: the file names tell them apart", config)
        curricula[name] = common.read_curriculum(argparse.Namespace(
            config=config, assignments=[*args.assignments, "seed=1"], tasks_from=args.tasks_from, corpus=args.corpus,
            output=Path(args.output) / name / "seed-1"))
        if name == UNTOUCHED and args.untouched:
            raise InputError("is the name of what --untouched fine-tunes: rename the file", config)
        contestants.append(Contestant(name, config, curricula[name].copy_checkpoints_to))
        budgets[name] = Budget.of(curricula[name])
    check_equal(budgets, args.equal)
    finetune, recipes = read_finetunings(args)
    options = [part for value in args.assignments for part in ("--set", value)]
    options += [part for file in args.tasks_from for part in ("--tasks-from", file)]
    finetune_options = [part for value in args.finetune_set for part in ("--set", value)]
    for flag, unwanted in (("--finetune-set", args.finetune_set), ("--finetune-seeds", args.finetune_seeds > 1)):
        if unwanted and not finetune:
            raise InputError(f"{flag} is for --finetune: nothing is fine-tuned without it")
    if args.untouched and not finetune:
        raise InputError("--untouched is for --finetune: nothing else is done with it", args.untouched)
    untouched = str(locate_checkpoint(args.untouched)) if args.untouched else None
    return ComparisonPlan(
        Path(args.output), args.corpus, contestants, list(range(1, args.seeds + 1)), finetune, options,
        finetune_options, args.finetune_seeds, untouched), budgets, curricula, recipes


def read_finetunings(args: argparse.Namespace) -> tuple[dict[str, FineTuning], dict[str, Recipe]]:
    """Return what ``--finetune`` names, and the recipes, by the name of the task. Raises InputError on a bad argument.
    """
    from ernie.comparison.plan import FineTuning
    from ernie.finetuning.recipe import load
    finetune, recipes = {}, {}
    for pair in (part for text in args.finetune for part in text.split(",") if part):
        name, sign, data = pair.partition("=")
        if not sign or not Path(data).is_dir():
            raise InputError(f"--finetune {pair!r}: expected TASK=DIR with a directory that exists")
        recipe = load(name, assignments=args.finetune_set)
        if recipe.task in finetune:
            raise InputError(f"--finetune {recipe.task} stands twice")
        finetune[recipe.task] = FineTuning(name, data, recipe.copy_checkpoints_to)
        recipes[recipe.task] = recipe
    return finetune, recipes


def write_results(plan: ComparisonPlan, budgets: dict[str, Budget], equal: list[str]) -> None:
    """Write compare.html and results.jsonl of what has been run so far, and print the tables."""
    from ernie.comparison.results import compare_downstream, compare_tasks, table
    from ernie.report.comparison import render_comparison
    from reader.utils.files import atomic_write
    runs, groups, unfinished = read_results(plan)
    with atomic_write(plan.output / "results.jsonl") as file:
        file.writelines(json.dumps(line) + "\n" for group in groups for line in group.lines())
    page = plan.output / "compare.html"
    with atomic_write(page) as file:
        file.write(render_comparison(" and ".join(runs) if len(runs) < 3 else f"{len(runs)} curricula", runs, groups,
                                     budgets, equal))
    if any(group.dev for group in groups):
        print("\n" + table(compare_tasks(groups), groups, ["baseline", "majority"]))
    if any(group.downstream for group in groups):
        print("\n" + table(compare_downstream(groups), groups, []))
    if unfinished:
        print(f"not finished, and so in no figure: {'; '.join(unfinished)}")
    print("mean ± standard deviation over seeds; a difference ± its 95 % interval, * where that leaves 0 out")
    print(page)


def read_results(plan: ComparisonPlan) -> tuple[dict[str, dict[int, RunRecord]], list[Group], list[str]]:
    """Return (curriculum -> seed -> its run as far as it went, figures of what is finished, names of what is not).

    Raises:
        InputError: no run has begun.
    """
    from ernie.comparison.plan import UNTOUCHED, finetuned
    from ernie.comparison.results import downstream_figure
    from ernie.report.comparison import group_of
    from ernie.report.runs import read_run
    runs, groups, unfinished = {}, [], []
    for name in plan.names:
        runs[name] = {seed: read_run(path) for seed in plan.seeds
                      if name != UNTOUCHED and ((path := plan.run_path(name, seed)) / "run.json").exists()}
        unfinished += [f"{name}, seed {seed}" for seed, each in runs[name].items() if each.current]
        downstream: dict[str, dict[int, float]] = {}
        for task in plan.finetune:
            for seed in plan.seeds:
                path = plan.finetune_path(name, seed, task)
                if (value := downstream_figure(path, plan.finetune_seeds)) is not None:
                    downstream.setdefault(task, {})[seed] = value
                elif done := finetuned(path):
                    unfinished.append(f"{name}, seed {seed}, {task}: {done} of {plan.finetune_seeds} fine-tuning seeds")
        groups.append(group_of(name, {seed: each for seed, each in runs[name].items() if not each.current}, downstream))
    if not any(runs.values()):
        raise InputError("no run has begun", plan.output)
    return runs, groups, unfinished
