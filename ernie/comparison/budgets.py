"""Count what a curriculum spends (steps, tokens, updates of every task), and check that curricula spend the same."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tasks as task_room
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.stages import stages_of
from reader.utils.errors import InputError

STEPS, TOKENS, UPDATES = KINDS = "steps", "tokens", "updates"


@dataclass(frozen=True)
class Budget:
    """Totals over all stages.

    Attributes:
        steps: of the optimiser. tokens: steps times the tokens of a batch. updates: task -> steps with a loss of it.
    """

    steps: int
    tokens: int
    updates: dict[str, int]

    @classmethod
    def of(cls, curriculum: Curriculum) -> Budget:
        """Count what a curriculum declares.

        A task has a loss where it is drawn; a token-level one also in the other steps of its stages, unless ``losses``
        of the curriculum or ``lm_weight`` of the task drawn there keeps it out.
        """
        stages = stages_of(curriculum)
        tasks = {entry.name: task_room.load(entry.name, entry.options, curriculum.tasks_from)
                 for entry in curriculum.tasks}
        updates = dict.fromkeys(tasks, 0)
        for stage in stages:
            for drawn, count in stage.budgets.items():
                updates[drawn] += count
                masked = curriculum.task(drawn).lm_weight > 0
                for name in stage.budgets:
                    joins = tasks[name].level == "token" and (masked or not tasks[name].corrupts)
                    updates[name] += count if name != drawn and joins and curriculum.losses == "all" else 0
        steps = sum(stage.steps for stage in stages)
        return cls(steps, steps * curriculum.batch_tokens, updates)

    def total(self, kind: str) -> Any:
        """Return the totals that must agree for ``kind``, one of ``KINDS``."""
        return {STEPS: self.steps, TOKENS: self.tokens, UPDATES: {k: v for k, v in self.updates.items() if v}}[kind]


def check_equal(budgets: dict[str, Budget], equal: list[str]) -> None:
    """Refuse curricula whose totals differ.

    Args:
        budgets: name of the curriculum -> its budget. equal: which of ``KINDS`` must agree.
    Raises:
        InputError: one message with every total that differs, and how to say which of them to equal.
    """
    differing = [kind for kind in equal if any(budget.total(kind) != first.total(kind)
                                               for first in list(budgets.values())[:1] for budget in budgets.values())]
    if not differing:
        return
    lines = [f"{name}: {', '.join(_said(budget, kind) for kind in differing)}" for name, budget in budgets.items()]
    agreeing = [kind for kind in KINDS if len({str(budget.total(kind)) for budget in budgets.values()}) == 1]
    hint = f"say which to equal: --equal {' '.join(agreeing)}" if agreeing else "no total agrees: change the curricula"
    raise InputError(f"the curricula differ in {' and '.join(_named(kind) for kind in differing)} ({hint})\n  "
                     + "\n  ".join(lines))


def _named(kind: str) -> str:
    return "updates of a task" if kind == UPDATES else kind


def _said(budget: Budget, kind: str) -> str:
    if kind == UPDATES:
        return "updates " + " ".join(f"{name} {count:,}" for name, count in budget.updates.items())
    return f"{kind} {budget.total(kind):,}"
