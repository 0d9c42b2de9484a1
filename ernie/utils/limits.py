"""Limits of configuration values, declared as the types of dataclass fields and checked by ``config_io.build``.

    learning_rate: Positive = 5e-5
    precision: Annotated[str, OneOf("fp32", "fp16", "bf16")] = "fp32"
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

LARGEST = 10 ** 9  # of any count: what is more does not fit the machines that this code can address


@dataclass(frozen=True)
class Range:
    """A finite number from ``least`` to ``most``; with ``above`` or ``below`` the end itself is excluded."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def fault(self, value: Any) -> str:
        """Return what is wrong with a number, or an empty string."""
        if math.isfinite(value) and self.least <= value <= self.most and self.above < value < self.below:
            return ""
        ends = [text.format(end) for text, end in (("at least {:,}", self.least), ("above {:,}", self.above),
                                                   ("at most {:,}", self.most), ("below {:,}", self.below))
                if math.isfinite(end)]
        return f"must be {' and '.join(ends) or 'a finite number'}"


class OneOf:
    """One of a few words."""

    def __init__(self, *words: str):
        self.words = words

    def fault(self, value: Any) -> str:
        """Return what is wrong with a word, or an empty string."""
        return "" if value in self.words else f"is not one of {', '.join(self.words)}"


class Recomputation:
    """A value of ``recompute``: see ``ernie.model.recompute``."""

    def fault(self, value: Any) -> str:
        """Return what is wrong with a value, or an empty string."""
        if value == "attention" or isinstance(value, bool) or isinstance(value, int) and 1 <= value <= 256:
            return ""
        return 'is not true, false, "attention" or a number k from 1 to 256 (every k-th layer)'


@dataclass(frozen=True)
class MultipleOf:
    """A multiple of a number."""

    number: int

    def fault(self, value: int) -> str:
        """Return what is wrong with a number, or an empty string."""
        return f"is not a multiple of {self.number}" if value % self.number else ""


Count = Annotated[int, Range(1, LARGEST)]
Natural = Annotated[int, Range(0, LARGEST)]
Iterations = Annotated[int, Range(1, 10 ** 7)]     # the order of a stage's steps is held in memory
Seed = Annotated[int, Range(0, 2 ** 32 - 1)]
Workers = Annotated[int, Range(0, 1024)]
Length = Annotated[int, Range(8, LARGEST)]          # tokens of an example
Processes = Annotated[int, Range(1, 1024)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(0)]
Seconds = Annotated[float, Range(above=0, most=10 ** 7)]  # of a time-out: Python refuses those beyond
HalfShare = Annotated[float, Range(above=0, most=0.5)]
BelowOne = Annotated[float, Range(0, below=1)]
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, below=1)]        # of a running mean
Timestamp = Annotated[float, Range(0, 1e11)]       # seconds since the epoch
PrecisionName = Annotated[str, OneOf("fp32", "fp16", "bf16")]
AmpLevel = Annotated[str, OneOf("O1", "O2")]
RecomputeChoice = Annotated[Any, Recomputation()]
WidthMultiple = Annotated[int, Range(0, 4096), MultipleOf(8)]
Megabytes = Annotated[int, Range(1, 4096)]
KernelChoice = Annotated[str, OneOf("auto", "plain", "fused")]
