"""The figures of a pre-training run as dataclasses: dev metrics of a task, and a line of the training log.

They are written as JSON (``to_json``) into dev.json and log.jsonl and read back (``from_json``) by everything that
shows a run. No paddle.
"""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Optional

from ernie.utils.config_io import build
from ernie.utils.limits import Share, Timestamp

MARGIN = 2.0  # standard errors by which an accuracy must exceed a baseline before it is said to be above it


@dataclass
class GroupMetrics:
    """Accuracy of one group of targets, such as one granularity of masked tokens."""

    accuracy: Share
    targets: int


@dataclass
class Baseline:
    """Dev figures of a predictor that needs no model of language, measured on the targets the model is measured on.

    Attributes:
        name: what it predicts from. accuracy: share of the targets. loss: mean cross-entropy in nats per target, where
            the predictor gives probabilities. by_loss: whether the loss is the figure to judge by, as for a task over
            the vocabulary.
    """

    name: str
    accuracy: Share
    loss: Optional[float] = None
    by_loss: bool = False

    @property
    def figure(self) -> str:
        """Return the figure to judge by, as text."""
        return f"loss {self.loss:.3f}" if self.by_loss else f"{100 * self.accuracy:.1f}%"


@dataclass
class TaskMetrics:
    """Dev metrics of one task.

    Attributes:
        loss: mean cross-entropy in nats per target. accuracy: share of the targets. targets: how many were predicted.
        majority: accuracy of the most frequent class of these targets; None for a task over the vocabulary.
        chance: one in the number of classes; None for a task over the vocabulary.
        baseline: the best shallow baseline on these targets; None where none was computed.
        groups: accuracy by group of targets, for tasks that have groups.
    """

    loss: float
    accuracy: Share
    targets: int
    majority: Optional[float] = None
    chance: Optional[float] = None
    baseline: Optional[Baseline] = None
    groups: dict[str, GroupMetrics] = field(default_factory=dict)

    @property
    def by_accuracy(self) -> bool:
        """Tell whether accuracy is the figure to judge the task by; of a task over the vocabulary it is the loss."""
        return self.majority is not None

    @property
    def headline(self) -> float:
        """Return the figure to judge the task by, larger is better: the accuracy, or the negative loss."""
        return self.accuracy if self.by_accuracy else -self.loss

    @property
    def floor(self) -> Optional[float]:
        """Headline figure of the best baseline, the majority class among them; None where there is none."""
        if not self.by_accuracy:
            return None if self.baseline is None or self.baseline.loss is None else -self.baseline.loss
        return max([self.majority or 0.0] + ([self.baseline.accuracy] if self.baseline else []))

    @property
    def gain(self) -> Optional[float]:
        """Headline figure minus that of the best baseline; None where there is no baseline."""
        return None if self.floor is None else self.headline - self.floor

    @property
    def above_baseline(self) -> bool:
        """Tell whether the task beats its best baseline by more than the noise of its dev targets.

        An accuracy must be ``MARGIN`` binomial standard errors above it; a loss must be lower.
        """
        if self.gain is None:
            return False
        noise = math.sqrt(self.accuracy * (1 - self.accuracy) / max(1, self.targets)) if self.by_accuracy else 0.0
        return self.gain > MARGIN * noise

    def to_json(self) -> dict[str, Any]:
        """Return plain containers, without what the task does not have."""
        return _without_nothing(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TaskMetrics:
        """Read what ``to_json`` gave. Raises InputError where it is something else."""
        return build(cls, values, "dev metrics", strict=False)


@dataclass
class TrainingMetrics:
    """Means over the training targets of one task since the last log line."""

    loss: float
    accuracy: Share
    targets: int


@dataclass
class SlowestRank:
    """The rank that takes longest for its own part of a step.

    Attributes:
        host: its node's name. compute, data_wait: seconds a step, see ``LogLine``. ratio: of their sum to the median
            over the ranks (the lower one where their number is even).
    """

    rank: int
    host: str
    compute: float
    data_wait: float
    ratio: float


@dataclass
class Spike:
    """A loss that stands out.

    Attributes:
        task: whose loss. loss: of this line. median: of the lines before. back_to: the step whose weights training
            goes on with, or None where it goes on as it is.
    """

    task: str
    loss: float
    median: float
    back_to: Optional[int] = None


@dataclass
class LogLine:
    """A line of log.jsonl: means over all ranks since the line before.

    Attributes:
        step: of the stage, from 1; ``of`` how many it has. time, launched: seconds since the epoch, of the line and of
            the start of the process. cards: processes. task: drawn in this step. tasks: name -> metrics.
        drawn: task -> steps since the last line. gradient_norm: before clipping; None where it was not finite.
        padding: share of the positions. data_wait: share of the time. memory_mib: peak of rank 0.
        skipped, tokens: since the start of the stage. eta_stage, eta_run: seconds.
        rank_compute: seconds a step of each rank, in rank order, in forward passes and in those backward passes that do
            not sum gradients over the ranks, so that no rank waits for another in them; on a GPU those of the line's
            last step. rank_data_wait: seconds a step of waiting for batches. Both empty with one rank.
    """

    step: int
    of: int = 0
    time: Optional[Timestamp] = None
    launched: Optional[Timestamp] = None
    cards: int = 1
    task: str = ""
    tasks: dict[str, TrainingMetrics] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)
    learning_rate: Optional[float] = None
    loss_scale: float = 1.0
    gradient_norm: Optional[float] = None
    tokens_per_second: Optional[float] = None
    tokens_per_second_per_card: Optional[float] = None
    padding: Optional[float] = None
    data_wait: Optional[float] = None
    memory_mib: Optional[int] = None
    skipped: int = 0
    tokens: int = 0
    eta_stage: Optional[float] = None
    eta_run: Optional[float] = None
    rank_compute: list[float] = field(default_factory=list)
    rank_data_wait: list[float] = field(default_factory=list)
    slowest: Optional[SlowestRank] = None
    spike: Optional[Spike] = None

    def to_json(self) -> dict[str, Any]:
        """Return plain containers, every key."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LogLine:
        """Read a line; unknown keys are left out. Raises InputError on anything else."""
        return build(cls, values, "log line", strict=False)


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None and inner != {}}
    return value
