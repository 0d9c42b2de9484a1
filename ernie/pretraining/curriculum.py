"""The curriculum: the declaration of a pre-training run, read from yaml. No paddle, no concrete task."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Optional

from ernie.training.settings import LossScaling, LossSpike, OptimizerSettings
from ernie.utils.config_io import build, override, read_yaml
from ernie.utils.limits import (
    AmpLevel,
    Count,
    Iterations,
    KernelChoice,
    Megabytes,
    Natural,
    NotNegative,
    OneOf,
    Positive,
    PrecisionName,
    Range,
    RecomputeChoice,
    Seconds,
    Seed,
    WidthMultiple,
    Workers,
)
from ernie.utils.overrides import given, idle, idle_in_training
from ernie.utils.resources import locate_curriculum
from reader.utils.errors import InputError

LOSSES = ("all", "drawn")
METHODS = ("continual_multitask", "multitask", "sequential", "explicit")
MOST_TASKS = 256


@dataclass
class TaskEntry:
    """A task as the curriculum names it."""

    shorthand: ClassVar[str] = "name"

    name: str
    iterations: Optional[Iterations] = None   # in total; default: the curriculum's iterations_per_task
    rehearsal: Optional[Natural] = None       # iterations in a stage added to a finished run; default N / (n + 1)
    weight: Optional[NotNegative] = None      # of its loss; default: the task's own
    lm_weight: NotNegative = 1.0              # of the masked-LM loss in this task's batches; 0: nothing is masked there
    corpora: Optional[list[str]] = None       # names of the corpora it draws from; default: all
    options: dict = field(default_factory=dict)


@dataclass
class Convergence:
    """A stage ends early when no dev loss of its tasks improves any more (paper 5.1.2)."""

    evaluate_every: Count
    patience: Count = 3
    min_delta: NotNegative = 0.001


@dataclass
class StageEntry:
    """An explicitly written stage."""

    tasks: dict[str, Annotated[int, Range(0, 10 ** 7)]]
    until_converged: Optional[Convergence] = None


@dataclass
class CorpusSource:
    """A corpus: a store to train on, one to measure on, and its share of the tokens drawn."""

    shorthand: ClassVar[str] = "path"

    path: str
    dev: Optional[str] = None
    weight: Optional[Positive] = None  # default: in proportion to its tokens


@dataclass
class Curriculum:
    """Everything that a pre-training run is declared by; see configs/curriculum for examples."""

    tasks: list[TaskEntry]
    corpora: dict[str, CorpusSource]
    model: Optional[str] = None          # a model file; default: the model of the checkpoint ``init``
    name: str = "run"
    method: Annotated[str, OneOf(*METHODS)] = "continual_multitask"
    iterations_per_task: Iterations = 50000
    stages: Optional[list[StageEntry]] = None
    until_converged: Optional[Convergence] = None
    pairs: dict[str, CorpusSource] = field(default_factory=dict)
    losses: Annotated[str, OneOf(*LOSSES)] = "all"  # of every token-level task of the stage in every batch, or of the
    #                                                 task that is drawn alone, so that a task gets its own updates only
    tasks_from: list[str] = field(default_factory=list)
    encoder: Optional[str] = None        # transformer, lstm or gru in place of what the model file says
    init: Optional[str] = None           # warm start of stage 1: any released checkpoint; "package:NAME/PATH": in an
    #                                      installed Python package
    max_length: Count = 512
    batch_tokens: Count = 393216         # over all cards, padding included as little as batching can
    micro_batch_tokens: Count = 8192     # what one card takes at once; accumulation fills the difference
    window: Natural = 0                  # batches drawn and sorted by length together; 0: enough for little padding
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    precision: PrecisionName = "fp32"
    amp_level: AmpLevel = "O2"
    loss_scaling: LossScaling = field(default_factory=LossScaling)
    recompute: RecomputeChoice = False  # or true, "attention", k: every k-th layer
    kernels: KernelChoice = "auto"       # forms of attention and products; see docs/gpu.md
    deterministic: bool = False          # on a GPU: kernels that add in one order, so that a resume is exact to the bit
    seed: Seed = 1
    workers: Workers = 2
    log_every: Count = 100
    checkpoint_every: Count = 1000
    keep_checkpoints: Count = 2
    copy_checkpoints_to: Optional[str] = None  # folder, such as a mounted store, to which each checkpoint is copied too
    dev_batches: Count = 16
    check_ranks_every: Natural = 100     # 0: never
    max_bad_steps: Count = 10
    start_timeout: Seconds = 1800.0     # seconds until the first step: joining the group, loading, building
    step_timeout: Seconds = 1800.0      # seconds of a step
    width_multiple: WidthMultiple = 0  # the encoder pads rows to one; 0: to 8 with fused kernels, else not
    gradient_bucket_mb: Megabytes = 32  # MiB of gradients that are summed over the ranks in one call
    loss_spike: Optional[LossSpike] = None  # what counts as a jump of the loss, and what is done then
    health_every: NotNegative = 60.0    # seconds between lines about pace and slowest rank; 0: none
    demo: Optional[Annotated[str, OneOf("en", "zh")]] = None  # the corpus is made from text that a dependency ships

    def __post_init__(self):
        if not (self.model or self.init):
            raise InputError("model: name a model file, or with init a checkpoint whose model is taken")
        names = [task.name for task in self.tasks]
        if not names:
            raise InputError("tasks: a curriculum needs at least one")
        if len(names) > MOST_TASKS:
            raise InputError(f"tasks: {len(names):,} are more than {MOST_TASKS}")
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"tasks: {name!r} stands twice")
        if (self.method == "explicit") != (self.stages is not None):
            raise InputError("stages are written out exactly when the method is 'explicit'")
        for task in self.tasks:
            for corpus in task.corpora or ():
                if corpus not in self.corpora:
                    raise InputError(f"task {task.name}: corpus {corpus!r} is not one of {', '.join(self.corpora)}")

        lacking = [name for name, source in self.corpora.items() if source.weight is None]
        if lacking and len(lacking) < len(self.corpora):
            raise InputError(f"corpora: {', '.join(lacking)} without a weight; give every corpus one, or none")

    def task(self, name: str) -> TaskEntry:
        """Return the entry of a task."""
        return next(task for task in self.tasks if task.name == name)

    def sources(self, task: str) -> list[str]:
        """Return the names of the corpora, or of the pair store, that a task draws from."""
        return [task] if task in self.pairs else self.task(task).corpora or list(self.corpora)

    def slices(self, cards: int) -> int:
        """Count the micro-batches of a global batch: enough for the micro-batch size, and as many for every card."""
        micro = -(-self.batch_tokens // self.micro_batch_tokens)
        return -(-micro // cards) * cards

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as saved with every run."""
        return dataclasses.asdict(self)


def load(path: str | Path, assignments: Iterable[str] = ()) -> Curriculum:
    """Read the curriculum in a yaml file, or the one of that name among the shipped ones ("demo_en").

    ``base: FILE`` inside names a curriculum, relative to this one, whose keys hold where this one gives none. Other
    relative paths stay as they are: relative to where the run is started.

    Raises:
        InputError: a mistake in the file, or an assignment that has no effect on any task.
    """
    assignments = list(assignments)
    curriculum = build(Curriculum, override(read_with_base(locate_curriculum(path)), assignments), str(path))
    if lines := idle(assignments, _own_iterations(curriculum)):
        raise InputError(lines[0], str(path))  # a line in passing would leave who asked for few steps with many
    return curriculum


def _own_iterations(curriculum: Curriculum) -> dict[str, str]:
    """Return why ``iterations_per_task`` has no effect, where it has none."""
    if curriculum.stages is not None:
        return {"iterations_per_task": "the stages are written out with their iterations (stages)"}
    if all(task.iterations for task in curriculum.tasks):
        return {"iterations_per_task": "every task has iterations of its own: give them with --set tasks='[{name: ..., "
                                       "iterations: ...}, ...]', or in a file of your own"}
    return {}


def idle_overrides(curriculum: Curriculum, assignments: Iterable[str], corpus: str | None = None) -> list[str]:
    """Return a line for each assignment without effect, or with one on some tasks or stages only.

    Args:
        corpus: the directory that takes the place of the curriculum's data, where one is given.
    """
    assignments, reasons = list(assignments), idle_in_training(curriculum)
    if curriculum.stages and all(stage.until_converged for stage in curriculum.stages):
        reasons["until_converged"] = "every stage has its own (stages)"
    if corpus:
        reasons.update(dict.fromkeys(("corpora", "demo"), f"--corpus {corpus} takes its place"))
        reasons.update({f"pairs.{name}": f"--corpus {corpus} takes its place" for name in curriculum.pairs
                        if (Path(corpus) / "pairs" / name / "train").is_dir()})
    lines = idle(assignments, reasons)
    own = [task.name for task in curriculum.tasks if task.iterations]
    if own and (found := given(assignments, "iterations_per_task")):
        lines.append(f"--set {found} is without effect on {', '.join(own)}, with iterations of "
                     f"{'its' if len(own) == 1 else 'their'} own")
    numbers = [str(number) for number, stage in enumerate(curriculum.stages or [], 1) if stage.until_converged]
    if numbers and "until_converged" not in reasons and (found := given(assignments, "until_converged")):
        lines.append(f"--set {found} is without effect on stage {', '.join(numbers)}, with "
                     f"{'its' if len(numbers) == 1 else 'their'} own")
    return lines


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the keys of a yaml file over those of its ``base``; mappings are merged key by key.

    Raises:
        InputError: a base that is a file above it.
    """
    values = read_yaml(path)
    if "base" not in values:
        return values
    name = values.pop("base")
    if not isinstance(name, str):
        raise InputError(f"base: expected a file, found {name!r}", path)
    base = (path.parent / name).resolve()
    if base in (*above, path.resolve()):
        raise InputError(f"base: {name} is this file, or has it for its own base", path)
    return merged(read_with_base(base, (*above, path.resolve())), values)


def merged(base: dict, over: dict) -> dict[str, Any]:
    """Return ``base`` with the values of ``over`` in the place of its own; mappings are merged key by key."""
    both = {key: merged(base[key], value) for key, value in over.items()
            if isinstance(value, dict) and isinstance(base.get(key), dict)}
    return {**base, **over, **both}
