"""Settings of training that curricula and fine-tuning recipes share, and the learning rates they name. No paddle.

A schedule is a pure function of the number of the optimiser update (1-based).
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Callable

from ernie.utils.limits import Count, Decay, Natural, NotNegative, OneOf, Positive, Range
from reader.utils.errors import InputError


def noam(update: int, peak: float, warmup: int, total: int) -> float:
    """Compute linear warm-up, then inverse square root decay: the pre-training schedule (paper 5.1.2)."""
    return peak * min((warmup / update) ** 0.5, update / warmup) if warmup else peak * update ** -0.5


def linear(update: int, peak: float, warmup: int, total: int) -> float:
    """Compute linear warm-up, then linear decay to zero at the end: GLUE fine-tuning."""
    if update < warmup:
        return peak * update / warmup
    return peak * max(0.0, (total - update + 1) / max(1, total - warmup + 1))


def constant(update: int, peak: float, warmup: int, total: int) -> float:
    """Return the learning rate: ``peak`` after a linear warm-up (0 updates unless asked for); Chinese fine-tuning."""
    return peak * min(1.0, update / warmup) if warmup else peak


SCHEDULES: dict[str, Callable] = {"noam": noam, "linear": linear, "constant": constant}


@dataclass(frozen=True)
class Schedule:
    """A learning rate for every update of a stage or run of ``total`` updates."""

    name: str
    peak: float
    warmup: int
    total: int

    def __post_init__(self):
        if self.name not in SCHEDULES:
            raise InputError(f"schedule {self.name!r} is not one of {', '.join(SCHEDULES)}")

    def __call__(self, update: int) -> float:
        """Learning rate of the ``update``-th optimiser update, counted from 1."""
        return SCHEDULES[self.name](update, self.peak, self.warmup, self.total)


@dataclass
class OptimizerSettings:
    """Adam with decoupled weight decay; the defaults are the paper's (section 5.1.2) and Baidu's."""

    learning_rate: Positive = 5e-5
    beta1: Decay = 0.9
    beta2: Decay = 0.98
    epsilon: Positive = 1e-8
    weight_decay: NotNegative = 0.01
    clip_norm: NotNegative = 1.0  # 0: no clipping
    schedule: Annotated[str, OneOf(*SCHEDULES)] = "noam"
    warmup_steps: Natural = 4000
    head_rate: Positive = 1.0     # learning rate of pooler and heads, in multiples of the encoder's


@dataclass
class LossSpike:
    """When the mean loss of a task in a log line is a spike, and what is done then; see docs/reliability.md."""

    factor: Annotated[float, Range(above=1)]  # times the median of the lines before in which the same tasks were drawn
    lines: Count = 10                # such lines; nothing is judged before there are as many
    action: Annotated[str, OneOf("warn", "rollback")] = "warn"
    max_rollbacks: Natural = 3       # of a stage or seed; later spikes are warned of


@dataclass
class LossScaling:
    """Dynamic loss scaling of float16 with Baidu's constants."""

    initial: Annotated[float, Range(1)] = 102400.0
    increase_every: Count = 100
    increase_ratio: Annotated[float, Range(1)] = 2.0
    decrease_every: Count = 2
    decrease_ratio: Annotated[float, Range(above=0, below=1)] = 0.8
