"""The continual multi-task curriculum: which tasks train in which stage, for how many iterations, in which order.

Paper section 3.2 and the AAAI version's table of methods. No paddle, no concrete task.
"""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np

from ernie.settings import build, override, read_yaml
from reader.errors import InputError

METHODS = ("continual_multitask", "multitask", "sequential", "explicit")


@dataclass
class TaskEntry:
    """A task as the curriculum names it."""

    name: str
    iterations: Optional[int] = None   # in total; default: the curriculum's iterations_per_task
    rehearsal: Optional[int] = None    # iterations in a stage added to a finished run; default N / (n + 1)
    weight: Optional[float] = None     # of its loss; default: the task's own
    corpora: Optional[list] = None     # names of the corpora it draws from; default: all
    options: dict = field(default_factory=dict)


@dataclass
class Convergence:
    """A stage ends early when no dev loss of its tasks improves any more (paper 5.1.2)."""

    evaluate_every: int
    patience: int = 3
    min_delta: float = 0.001


@dataclass
class StageEntry:
    """An explicitly written stage."""

    tasks: dict
    until_converged: Optional[Convergence] = None


@dataclass
class Source:
    """A corpus: a store to train on, one to measure on, and its share of the examples."""

    path: str
    dev: Optional[str] = None
    weight: float = 1.0


@dataclass
class OptimizerSettings:
    """Adam with decoupled weight decay; the defaults are the paper's (section 5.1.2) and Baidu's."""

    learning_rate: float = 5e-5
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    schedule: str = "noam"
    warmup_steps: int = 4000


@dataclass
class LossScaling:
    """Dynamic loss scaling of float16 with Baidu's constants."""

    initial: float = 102400.0
    increase_every: int = 100
    increase_ratio: float = 2.0
    decrease_every: int = 2
    decrease_ratio: float = 0.8


@dataclass
class Curriculum:
    """Everything that a pre-training run is declared by; see configs/curriculum for examples."""

    tasks: list
    corpora: dict
    model: str
    name: str = "run"
    method: str = "continual_multitask"
    iterations_per_task: int = 50000
    stages: Optional[list] = None
    until_converged: Optional[Convergence] = None
    pairs: dict = field(default_factory=dict)
    tasks_from: list = field(default_factory=list)
    encoder: Optional[str] = None        # transformer, lstm or gru in place of what the model file says
    init: Optional[str] = None           # warm start of stage 1: any released checkpoint
    max_length: int = 512
    batch_tokens: int = 393216           # over all cards, padding included as little as batching can
    micro_batch_tokens: int = 8192       # what one card takes at once; accumulation fills the difference
    window: int = 0                      # batches drawn and sorted by length together; 0: enough for little padding
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    precision: str = "fp32"
    amp_level: str = "O2"
    loss_scaling: LossScaling = field(default_factory=LossScaling)
    recompute: bool = False
    seed: int = 1
    workers: int = 2
    log_every: int = 100
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    dev_batches: int = 16
    check_ranks_every: int = 100
    max_bad_steps: int = 10
    step_timeout: float = 1800.0         # seconds
    demo: Optional[str] = None           # "en" or "zh": the corpus is made from text that a dependency ships

    def __post_init__(self):
        self.tasks = [entry if isinstance(entry, TaskEntry) else
                      build(TaskEntry, {"name": entry} if isinstance(entry, str) else entry, "tasks")
                      for entry in self.tasks]
        self.corpora = {name: _source(value, f"corpora.{name}") for name, value in self.corpora.items()}
        self.pairs = {name: _source(value, f"pairs.{name}") for name, value in self.pairs.items()}
        if self.stages is not None:
            self.stages = [entry if isinstance(entry, StageEntry) else build(StageEntry, entry, "stages")
                           for entry in self.stages]
        self._check()

    def _check(self) -> None:
        names = [task.name for task in self.tasks]
        if not names:
            raise InputError("tasks: a curriculum needs at least one")
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"tasks: {name!r} stands twice")
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r} is not one of {', '.join(METHODS)}")
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise InputError(f"precision {self.precision!r} is not one of fp32, fp16, bf16")
        if self.amp_level not in ("O1", "O2"):
            raise InputError(f"amp_level {self.amp_level!r} is not one of O1, O2")
        if (self.method == "explicit") != (self.stages is not None):
            raise InputError("stages are written out exactly when the method is 'explicit'")
        for task in self.tasks:
            for corpus in task.corpora or ():
                if corpus not in self.corpora:
                    raise InputError(f"task {task.name}: corpus {corpus!r} is not one of {', '.join(self.corpora)}")
        for name in ("iterations_per_task", "batch_tokens", "micro_batch_tokens", "max_length", "log_every",
                     "checkpoint_every", "keep_checkpoints", "max_bad_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.window < 0:
            raise InputError(f"window is {self.window}, must be at least 0")

    def task(self, name: str) -> TaskEntry:
        """The entry of a task."""
        return next(task for task in self.tasks if task.name == name)

    def slices(self, cards: int) -> int:
        """Micro-batches in a global batch: enough for the micro-batch size, and as many for every card."""
        micro = -(-self.batch_tokens // self.micro_batch_tokens)
        return -(-micro // cards) * cards

    def to_dict(self) -> dict:
        """Plain containers, as saved with every run."""
        return dataclasses.asdict(self)


def load(path, assignments=()) -> Curriculum:
    """The curriculum in a yaml file. Relative paths inside stay as they are: relative to where the run is started."""
    return build(Curriculum, override(read_yaml(path), assignments), str(path))


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
        """[steps] index into budgets of the task each step trains: a function of (seed, stage).

        Drawing the next task in proportion to what each has left is drawing a uniform random order of the whole
        budget, so all budgets reach zero together.
        """
        order = np.repeat(np.arange(len(self.budgets)), list(self.budgets.values()))
        return np.random.Generator(np.random.Philox(key=[seed, 0x57A6E + self.number])).permutation(order)


def stages_of(curriculum: Curriculum) -> list[Stage]:
    """The stages that a curriculum declares."""
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
    """[n tasks, n stages] iterations of continual multi-task learning.

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
    """Stages of a run that was recorded with ``done`` and whose curriculum may since have got tasks at its end.

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
    names, seen, stages = [task.name for task in curriculum.tasks], set(), []
    for number, entry in enumerate(curriculum.stages, 1):
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


def _source(value, where: str) -> Source:
    if isinstance(value, Source):
        return value
    return build(Source, {"path": value} if isinstance(value, (str, Path)) else value, where)
