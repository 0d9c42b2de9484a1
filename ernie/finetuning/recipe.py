"""Fine-tuning recipes: one short yaml for each task, completed by what its suite has in common. No paddle."""
from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Optional

from ernie.training.settings import SCHEDULES, LossScaling, LossSpike
from ernie.utils.config_io import build, override, read_yaml
from ernie.utils.limits import (
    AmpLevel,
    Count,
    Decay,
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
    Share,
    WidthMultiple,
    Workers,
)
from ernie.utils.overrides import idle, idle_in_training
from ernie.utils.resources import CONFIGS
from reader.finetune.labels import Classes
from reader.finetune.splits import SplitReader
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean
from tasks import finetune
from tasks.finetune.kind import Kind

DIRECTORY = CONFIGS / "finetune"
NOT_TASKS = ("suites", "paper")
SIZES = ("base", "large")
ALONE = ("label_smoothing", "class_weights", "fgm", "r_drop")  # settings that training on several tasks does not have
READING = ("task", "suite", "kind", "reader", "options", "metrics", "max_length")  # what else than training depends on
ANSWERING = (*READING, "task_id", "lower_case", "predict_batch_tokens")  # what the answers of a model depend on
GLUE_SCORE = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli")  # AX is no part of it


@dataclass
class Recipe:
    """Everything that a fine-tuning run is declared by; ``--set`` overrides any of it.

    batch_size counts examples, or padded tokens when batch_unit is "tokens", over all cards. evaluate_every counts
    steps; the end of every epoch is measured in any case. options are the kind's own (max_query_length ...).
    predicted_with names the task whose fine-tuned model answers a task without training data. over_runs: how several
    runs are summed up.
    """

    task: str
    suite: str
    kind: str
    reader: SplitReader
    metrics: list[str]
    max_length: Annotated[int, Range(4, 131_072)]
    schedule: Annotated[str, OneOf(*SCHEDULES)]
    warmup_proportion: Share
    weight_decay: NotNegative
    over_runs: Annotated[str, OneOf("median", "mean")]
    learning_rate: Positive = 5e-5
    batch_size: Count = 32
    epochs: Annotated[int, Range(1, 10_000)] = 3
    batch_unit: Annotated[str, OneOf("examples", "tokens")] = "examples"
    predicted_with: str = ""
    options: dict = field(default_factory=dict)
    task_id: Annotated[int, Range(0, 4_095)] = 0
    seed: Seed = 1
    lower_case: bool = True
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Positive = 1e-8
    clip_norm: NotNegative = 1.0    # 0: no clipping
    precision: PrecisionName = "fp32"
    amp_level: AmpLevel = "O1"
    loss_scaling: LossScaling = field(default_factory=LossScaling)
    recompute: RecomputeChoice = False  # or true, "attention", k: every k-th layer
    kernels: KernelChoice = "auto"  # forms of attention and products; see docs/gpu.md
    deterministic: bool = False     # on a GPU: kernels that add in one order, so that a resume is exact to the bit
    micro_batch_tokens: Count = 8192  # padded tokens that one card takes at once; accumulation fills the difference
    predict_batch_tokens: Count = 16384
    evaluate_every: Natural = 0
    checkpoint_every: Count = 500
    copy_checkpoints_to: Optional[str] = None  # folder, such as a mounted store, to which each checkpoint is copied too
    log_every: Count = 50
    max_steps: Natural = 0          # 0: all the epochs
    train_rows: Natural = 0         # 0: all of them
    similar_lengths: Natural = 0    # batches are cut from so many at a time, sorted by length; 0: rows in any order
    early_stopping: Natural = 0     # measurements of dev data without gain after which training ends; 0: never
    layer_decay: Annotated[float, Range(above=0, most=1)] = 1.0  # of the learning rate, layer by layer downwards
    frozen_layers: Natural = 0      # the embeddings and so many layers stay as they are; 0: everything learns
    label_smoothing: Decay = 0.0    # share of the target that is spread over all classes
    class_weights: str = ""         # "balanced", or a number for each class: "1,2,0.5"
    fgm: NotNegative = 0.0          # length of the adversarial step in the word embeddings; 0: none
    r_drop: NotNegative = 0.0       # weight of the divergence of two dropouts; 0: one pass
    max_bad_steps: Count = 10
    start_timeout: Seconds = 1800.0   # seconds until the first step
    step_timeout: Seconds = 1800.0    # seconds of a step
    width_multiple: WidthMultiple = 0  # the encoder pads rows to one; 0: to 8 with fused kernels, else not
    gradient_bucket_mb: Megabytes = 32  # MiB of gradients that are summed over the ranks in one call
    loss_spike: Optional[LossSpike] = None  # what counts as a jump of the loss, and what is done then
    health_every: NotNegative = 60.0    # seconds between lines about pace and slowest rank; 0: none
    workers: Workers = 0               # processes that make batches ahead of time
    check_ranks_every: Natural = 100   # steps between two comparisons of the ranks' weights; 0: never

    def __post_init__(self):
        if self.batch_unit == "tokens" and self.batch_size < self.max_length:
            raise InputError(f"batch_size {self.batch_size} tokens does not hold one example of {self.max_length}")

    def splits(self, prefix: str) -> list[str]:
        """List the splits that begin with ``prefix``, "dev" or "test", the main one first."""
        return [prefix] + [name for name in self.reader.files if name.startswith(prefix) and name != prefix]

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as saved with every model."""
        return dataclasses.asdict(self)


def names() -> list[str]:
    """List the tasks that have a recipe."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yaml") if path.stem not in NOT_TASKS)


def load(task: str, size: str = "base", assignments: Iterable[str] = ()) -> Recipe:
    """Read the recipe of a task: a name, or the path of a yaml of one's own.

    Args:
        size: "base" or "large": which of the paper's settings. assignments: ``key=value``, read as yaml.
    """
    path = Path(task) if str(task).endswith((".yaml", ".yml")) else DIRECTORY / f"{task}.yaml"
    if path.parent == DIRECTORY and (path.stem in NOT_TASKS or not path.is_file()):
        raise InputError(f"no recipe for task {task!r}" + did_you_mean(path.stem, names())
                         + f" (known: {', '.join(names())}; or the path of a yaml)")
    if size not in SIZES:
        raise InputError(f"size {size!r} is not one of {', '.join(SIZES)}")
    content = read_yaml(path)
    suites = read_yaml(DIRECTORY / "suites.yaml")
    if path.parent != DIRECTORY:  # a short yaml of one's own
        content = {"suite": "glue", **content}
        if str(content.get("kind")) in finetune.KINDS:
            content = {"metrics": [finetune.metrics_of(str(content["kind"]))[0]], **content}
    if str(content.get("suite")) not in suites:
        raise InputError(f"suite {reprlib.repr(content.get('suite'))} is not one of {', '.join(suites)}", path)
    sizes = {name: content.pop(name, None) or {} for name in SIZES}
    for name, settings in sizes.items():
        if not isinstance(settings, dict):
            raise InputError(f"{name}: expected a mapping, found {reprlib.repr(settings)}", path)
    mapping = {**suites[content["suite"]], **content, **sizes[size], "task": path.stem}
    return from_dict(override(mapping, assignments), str(path))


def idle_overrides(recipe: Recipe, assignments: Iterable[str]) -> list[str]:
    """Return a line for each assignment that changes nothing in training by the recipe."""
    if recipe.predicted_with:
        return idle_beside(assignments, (*READING, "over_runs", "predicted_with"),
                           f"a model of {recipe.predicted_with} answers {recipe.task}, nothing is trained")
    return idle(assignments, idle_in_training(recipe))


def idle_beside(assignments: Iterable[str], effective: Iterable[str], reason: str) -> list[str]:
    """Return a line for each assignment of a recipe's key that is not among the ``effective`` ones."""
    others = {field.name for field in dataclasses.fields(Recipe)} - set(effective)
    return idle(assignments, dict.fromkeys(sorted(others), reason))


def declared(texts: Iterable[str], directory: str | None) -> list[tuple[str, str]]:
    """Return (task, its data directory) of ``TASK=DIR`` declarations, or of ``TASK`` where ``directory`` is given.

    Raises:
        InputError: a task stands twice or has no directory, or there is only one.
    """
    found: dict[str, str] = {}
    for text in (part.strip() for given in texts for part in given.split(",") if part.strip()):
        name, _, place = text.partition("=")
        if not (place or directory):
            raise InputError(f"--together {text}: expected TASK=DIR, or --data with the folder of all tasks")
        if name in found:
            raise InputError(f"--together {name} stands twice")
        found[name] = place or str(directory)
    if len(found) < 2:
        raise InputError("--together takes two tasks or more: --together mnli=DIR --together rte=DIR")
    return list(found.items())


def joined(tasks: list[tuple[str, str]], size: str, assignments: Iterable[str]) -> list[tuple[Recipe, str]]:
    """Read the recipes of the tasks. ``assignments`` hold for all of them.

    Raises:
        InputError: a task has no training data of its own, or a setting is for one task alone.
    """
    found: list[tuple[Recipe, str]] = []
    for name, directory in tasks:
        recipe = load(name, size, assignments)
        odd = [key for key in ALONE if getattr(recipe, key)]
        if recipe.predicted_with:
            raise InputError(f"--together {name}: it has no training data of its own")
        if odd:
            raise InputError(f"{odd[0]} is for training on one task", recipe.task)
        if "." in recipe.task or recipe.task in {other.task for other, _ in found}:
            raise InputError(f"--together {name}: two tasks are called {recipe.task!r}, or there is a dot in that")
        found.append((recipe, directory))
    return found


def from_dict(mapping: dict, where: str) -> Recipe:
    """Build a recipe from plain containers, as ``to_dict`` gives them."""
    return build(Recipe, mapping, where)


def paper() -> dict[str, Any]:
    """Read the paper's figures and the published row counts; see configs/finetune/paper.yaml."""
    return read_yaml(DIRECTORY / "paper.yaml")


def make_kind(recipe: Recipe, classes: Any) -> Kind:
    """Build the kind of task that a recipe declares, with its options; InputError if it cannot compute the metrics."""
    try:
        kind = finetune.load(recipe.kind, classes, **recipe.options)
    except TypeError as error:
        raise InputError(f"options: {str(error).split('__() ')[-1]}", recipe.task) from None
    odd = [name for name in recipe.metrics if name not in kind.metrics]
    if odd or not recipe.metrics:
        raise InputError(f"metrics: {odd[0] if odd else 'none'!r} is not one of {', '.join(kind.metrics)}, which "
                         f"{kind.name} has", recipe.task)
    return kind


def make_classes(recipe: Recipe, names: Iterable[str]) -> Any:
    """Build the label set of a saved model."""
    reader = dataclasses.replace(recipe.reader, classes=[str(name) for name in names])
    return reader.labels() if reader.classes or reader.layout != "tagged" else Classes([])
