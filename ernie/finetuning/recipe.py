"""Fine-tuning recipes: one short yaml for each task, completed by what its suite has in common. No paddle."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from ernie.training.schedule import SCHEDULES
from ernie.training.settings import LossScaling
from ernie.utils.config_io import build, override, read_yaml
from ernie.utils.resources import CONFIGS
from reader.finetune.labels import Classes, Score
from reader.finetune.splits import SplitReader
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean
from tasks import finetune
from tasks.finetune.kind import Kind

DIRECTORY = CONFIGS / "finetune"
NOT_TASKS = ("suites", "paper")
SIZES = ("base", "large")
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
    metrics: list
    max_length: int
    schedule: str
    warmup_proportion: float
    weight_decay: float
    over_runs: str
    learning_rate: float = 5e-5
    batch_size: int = 32
    epochs: int = 3
    batch_unit: str = "examples"
    predicted_with: str = ""
    options: dict = field(default_factory=dict)
    task_id: int = 0
    seed: int = 1
    lower_case: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = 1.0
    precision: str = "fp32"
    amp_level: str = "O1"
    loss_scaling: LossScaling = field(default_factory=LossScaling)
    recompute: bool = False
    micro_batch_tokens: int = 8192  # padded tokens that one card takes at once; accumulation fills the difference
    predict_batch_tokens: int = 16384
    evaluate_every: int = 0
    checkpoint_every: int = 500
    log_every: int = 50
    max_steps: int = 0              # 0: all the epochs
    train_rows: int = 0             # 0: all of them
    max_bad_steps: int = 10
    start_timeout: float = 1800.0   # seconds until the first step
    step_timeout: float = 1800.0    # seconds of a step
    workers: int = 0                # processes that make batches ahead of time
    check_ranks_every: int = 100    # steps between two comparisons of the ranks' weights; 0: never

    def __post_init__(self):
        if self.batch_unit not in ("examples", "tokens"):
            raise InputError(f"batch_unit {self.batch_unit!r} is not one of examples, tokens")
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise InputError(f"precision {self.precision!r} is not one of fp32, fp16, bf16")
        if self.over_runs not in ("median", "mean"):
            raise InputError(f"over_runs {self.over_runs!r} is not one of median, mean")
        for name in ("batch_size", "epochs", "checkpoint_every", "log_every", "micro_batch_tokens",
                     "predict_batch_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, must be at least 1")
        for name in ("seed", "task_id", "max_steps", "train_rows", "evaluate_every", "weight_decay"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, must not be negative")
        for name in ("learning_rate", "start_timeout", "step_timeout"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}, must be above 0")
        if not 0 <= self.warmup_proportion <= 1:
            raise InputError(f"warmup_proportion is {self.warmup_proportion:g}, must be between 0 and 1")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule {self.schedule!r} is not one of {', '.join(SCHEDULES)}")
        if self.max_length < 4:
            raise InputError(f"max_length is {self.max_length}, must be at least 4")
        if self.batch_unit == "tokens" and self.batch_size < self.max_length:
            raise InputError(f"batch_size {self.batch_size} tokens does not hold one example of {self.max_length}")

    def splits(self, prefix: str) -> list[str]:
        """The splits that begin with "dev" or "test", the main one first."""
        return [prefix] + [name for name in self.reader.files if name.startswith(prefix) and name != prefix]

    def to_dict(self) -> dict:
        """Plain containers, as saved with every model."""
        return dataclasses.asdict(self)


def names() -> list[str]:
    """The tasks that have a recipe."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yaml") if path.stem not in NOT_TASKS)


def load(task: str, size: str = "base", assignments=()) -> Recipe:
    """The recipe of a task: a name, or the path of a yaml of one's own.

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
    if content.get("suite") not in suites:
        raise InputError(f"suite {content.get('suite')!r} is not one of {', '.join(suites)}", path)
    sizes = {name: content.pop(name, None) or {} for name in SIZES}
    mapping = {**suites[content["suite"]], **content, **sizes[size], "task": path.stem}
    return from_dict(override(mapping, assignments), str(path))


def from_dict(mapping: dict, where: str) -> Recipe:
    """A recipe from plain containers, as ``to_dict`` gives them."""
    return build(Recipe, mapping, where)


def paper() -> dict:
    """The paper's figures and the published row counts; see configs/finetune/paper.yaml."""
    return read_yaml(DIRECTORY / "paper.yaml")


def make_kind(recipe: Recipe, classes) -> Kind:
    """The kind of task that a recipe declares, with its options; InputError if it cannot compute the metrics."""
    try:
        kind = finetune.load(recipe.kind, classes, **recipe.options)
    except TypeError as error:
        raise InputError(f"options: {str(error).split('__() ')[-1]}", recipe.task) from None
    odd = [name for name in recipe.metrics if name not in kind.metrics]
    if odd or not recipe.metrics:
        raise InputError(f"metrics: {odd[0] if odd else 'none'!r} is not one of {', '.join(kind.metrics)}, which "
                         f"{kind.name} has", recipe.task)
    return kind


def make_classes(recipe: Recipe, names):
    """The label set of a saved model."""
    return Score() if recipe.kind == "regression" else Classes(names, recipe.reader.aliases)
