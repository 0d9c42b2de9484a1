"""The curriculum: the declaration of a pre-training run, read from yaml. No paddle, no concrete task."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ernie.training.settings import LossScaling, OptimizerSettings
from ernie.utils.config_io import build, override, read_yaml
from ernie.utils.resources import locate_curriculum
from reader.utils.errors import InputError

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
class CorpusSource:
    """A corpus: a store to train on, one to measure on, and its share of the examples."""

    path: str
    dev: Optional[str] = None
    weight: float = 1.0


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
    start_timeout: float = 1800.0        # seconds until the first step: joining the group, loading, building
    step_timeout: float = 1800.0         # seconds of a step
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
    """The curriculum in a yaml file, or of that name among the shipped ones ("demo_en").

    Relative paths inside stay as they are: relative to where the run is started.
    """
    return build(Curriculum, override(read_yaml(locate_curriculum(path)), assignments), str(path))


def _source(value, where: str) -> CorpusSource:
    if isinstance(value, CorpusSource):
        return value
    return build(CorpusSource, {"path": value} if isinstance(value, (str, Path)) else value, where)
