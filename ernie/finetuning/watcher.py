"""Messages of a fine-tuning run; an entry point with words of its own hands in another ``Watcher``."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ernie.finetuning.data import Split, Start
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.summary import evaluation_line
from ernie.training.distributed import World
from ernie.training.optimizer import Updater
from ernie.training.trainer import Callback
from reader.utils.text import counted
from tasks.finetune.batches import EpochBatches
from tasks.finetune.kind import Kind


@dataclass
class MeasuringPlan:
    """Batches, steps and points of measurement of one training.

    Attributes:
        batches: of all epochs. total, warmup: steps. points: steps after which dev data is measured.
    """

    batches: EpochBatches
    total: int
    warmup: int
    points: set[int] = field(default_factory=set)


@dataclass
class Measurement:
    """Metrics of one split. step: of training, from 1. epoch: the one it belongs to, from 0. seconds: taken by it."""

    split: Split
    predictions: list
    loss: float
    scores: dict[str, float]
    step: int
    epoch: int
    seconds: float


class WatchedTraining(Protocol):
    """Part of a training that a ``Watcher`` may look at: see ``ernie.finetuning.seed.SeedTraining``."""

    name: str
    recipe: Recipe
    world: World
    kind: Kind
    start: Start
    directory: Path
    updater: Updater
    files: dict[str, str]
    train_data: Split
    measured: list[Split]
    predicted: list[Split]

    def answers(self, split: Split) -> tuple[list, float]:
        """Return (predictions for the rows of a split, mean loss), with the present weights, over all ranks."""


class Watcher:
    """Says what happens in one line each.

    Args:
        say: takes the lines; on ranks other than the main one it is silent.
    """

    def __init__(self, say: Callable[[str], None] = print):
        self.say = say

    def begun(self, training: WatchedTraining, plan: MeasuringPlan) -> None:
        """Say that this launch is about to take its first step."""
        recipe, size = training.recipe, training.world.size
        self.say(f"{recipe.task}, {training.name}: {counted(recipe.epochs, 'epoch')} of "
                 f"{counted(len(plan.batches.cuts[0]) - 1, 'step')}, "
                 f"{recipe.batch_size:,} {recipe.batch_unit} a step, learning rate {recipe.learning_rate:g} "
                 f"({recipe.schedule}, {plan.warmup:,} warm-up), on {counted(size, 'process')}")

    def callbacks(self, training: WatchedTraining, plan: MeasuringPlan) -> list[Callback]:
        """Return further callbacks of training, called after dev data was measured."""
        return []

    def measuring(self, split: Split, alone: bool) -> None:
        """Say that a split is about to be measured; ``alone``: there is no other one."""
        if not alone:
            self.say(f"validation result of dataset {split.path}:")

    def measured(self, training: WatchedTraining, measurement: Measurement) -> None:
        """Say what was measured."""
        split = measurement.split
        self.say(evaluation_line(split.name.partition(".")[0], measurement.loss, measurement.scores,
                                 training.recipe.metrics, split.count, measurement.seconds))
