"""Settings of training that curricula and fine-tuning recipes share. No paddle."""
from __future__ import annotations

from dataclasses import dataclass


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
