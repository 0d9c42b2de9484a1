"""The stages of a curriculum: which tasks train in which stage, for how many iterations, in which order.

Paper section 3.2 and the table of methods in its AAAI-2020 version. No paddle, no concrete task.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ernie.pretraining.curriculum import Convergence, Curriculum
from reader.utils.errors import InputError


@dataclass
class Stage:
    """One launch: iterations of every task that trains in it."""

    number: int  # 1-based
    budgets: dict  # task name -> iterations, in order of introduction; all > 0
    new: list  # names of the tasks that enter here
    until_converged: Optional[Convergence] = None

    @property
    def steps(self) -> int:
        """Optimiser steps of the stage: each is charged to one task."""
        return sum(self.budgets.values())

    def draws(self, seed: int) -> np.ndarray:
        """Return [steps] index into budgets of the task each step trains: a function of (seed, stage).

        Drawing the next task in proportion to what each has left is drawing a uniform random order of the whole
        budget, so all budgets reach zero together.
        """
        order = np.repeat(np.arange(len(self.budgets)), list(self.budgets.values()))
        return np.random.Generator(np.random.Philox(key=[seed, 0x57A6E + self.number])).permutation(order)


def stages_of(curriculum: Curriculum) -> list[Stage]:
    """Return the stages that a curriculum declares."""
    if curriculum.method == "explicit":
        return _explicit(curriculum)
    names = [task.name for task in curriculum.tasks]
    totals = [task.iterations or curriculum.iterations_per_task for task in curriculum.tasks]
    if curriculum.method == "multitask":
        return [Stage(1, dict(zip(names, totals)), names, curriculum.until_converged)]
    if curriculum.method == "sequential":
        return [Stage(k, {name: total}, [name], curriculum.until_converged)
                for k, (name, total) in enumerate(zip(names, totals), 1)]
    return [Stage(number, {name: share for name, share in zip(names, column) if share}, [names[number - 1]],
                  curriculum.until_converged) for number, column in enumerate(allocate(totals).T.tolist(), 1)]


def allocate(totals: list[int]) -> np.ndarray:
    """Return [n tasks, n stages] iterations of continual multi-task learning.

    With u = N // (n + 1), task j gets u in every stage after its own and all that is left of its N, which is
    (j + 1) * u when n + 1 divides N, in stage j, where it enters.
    """
    n = len(totals)
    table = np.zeros((n, n), dtype=np.int64)
    for j, total in enumerate(totals):
        share = total // (n + 1)
        table[j, j + 1:] = share
        table[j, j] = total - share * (n - 1 - j)
    return table


def extend(done: list[Stage], curriculum: Curriculum, known: list[str] | None = None) -> list[Stage]:
    """Return the stages of a run recorded with ``done``, whose curriculum may have got tasks at its end since.

    What was recorded stays as it is. Every further task gets a stage of its own: its full number of iterations,
    together with all tasks before it, each with its rehearsal budget (declared, or N / (n + 1)). Stages that are
    written out are taken as written.

    Args:
        known: names of the tasks that were recorded; those of ``done`` by default.
    """
    known = list(dict.fromkeys(name for stage in done for name in stage.budgets)) if known is None else known
    names = [task.name for task in curriculum.tasks]
    if names[:len(known)] != known:
        raise InputError(f"the run was trained on {', '.join(known)}; a curriculum that extends it must begin with "
                         f"these tasks in this order, found {', '.join(names)}")
    if curriculum.method == "explicit":
        return stages_of(curriculum)
    stages = list(done)
    for position in range(len(known), len(names)):
        entry = curriculum.tasks[position]
        budgets = {}
        for old in curriculum.tasks[:position]:
            total = old.iterations or curriculum.iterations_per_task
            budgets[old.name] = max(1, total // (position + 2)) if old.rehearsal is None else old.rehearsal
        budgets = {name: count for name, count in budgets.items() if count}
        budgets[entry.name] = entry.iterations or curriculum.iterations_per_task
        stages.append(Stage(len(stages) + 1, budgets, [entry.name], curriculum.until_converged))
    return stages


def _explicit(curriculum: Curriculum) -> list[Stage]:
    names = [task.name for task in curriculum.tasks]
    seen: set[str] = set()
    stages: list[Stage] = []
    for number, entry in enumerate(curriculum.stages or [], 1):
        for name, count in entry.tasks.items():
            if name not in names:
                raise InputError(f"stage {number}: task {name!r} is not one of {', '.join(names)}")
            if not isinstance(count, int) or count < 0:
                raise InputError(f"stage {number}: {name}: {count!r} is not a number of iterations")
        budgets = {name: entry.tasks[name] for name in names if entry.tasks.get(name)}
        if not budgets:
            raise InputError(f"stage {number} trains no task")
        stages.append(Stage(number, budgets, [name for name in budgets if name not in seen],
                            entry.until_converged or curriculum.until_converged))
        seen.update(budgets)
    return stages
