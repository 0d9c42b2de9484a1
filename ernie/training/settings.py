"""Settings of training that curricula and fine-tuning recipes share. No paddle."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ernie.training.schedule import SCHEDULES
from ernie.utils.limits import Count, Decay, Natural, NotNegative, OneOf, Positive, Range


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
class LossScaling:
    """Dynamic loss scaling of float16 with Baidu's constants."""

    initial: Annotated[float, Range(1)] = 102400.0
    increase_every: Count = 100
    increase_ratio: Annotated[float, Range(1)] = 2.0
    decrease_every: Count = 2
    decrease_ratio: Annotated[float, Range(above=0, below=1)] = 0.8
