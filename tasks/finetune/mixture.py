"""Steps of several fine-tuning tasks, one task a step: a function of (seed, step)."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from reader.batches.examples import Batch
from reader.utils.errors import InputError
from tasks.finetune.batches import EpochBatches

STREAM = 0x3137  # of the generator that orders the tasks


def shares(text: str, sizes: Mapping[str, int]) -> dict[str, float]:
    """Return the share of the steps that every task gets; the shares sum to 1.

    Args:
        text: an exponent: shares proportional to ``sizes ** exponent``; or a weight for every task: ``mnli=3,rte=1``.
        sizes: task -> the batches of one pass over its rows.
    Raises:
        InputError: ``text`` is neither.
    """
    weights: dict[str, float] = {}
    try:
        if "=" in text:
            pairs = [part.split("=") for part in text.split(",")]
            weights = {name.strip(): float(value) for name, value in pairs}
            right = weights.keys() == sizes.keys() and len(pairs) == len(sizes)
            weights = {name: weights[name] for name in sizes} if right else {}
        elif 0 <= float(text) <= 10:
            weights = {name: size ** float(text) for name, size in sizes.items()}
    except ValueError:
        weights = {}
    if not weights or not all(0 < value < math.inf for value in weights.values()):
        raise InputError(f"--mixing {text!r}: expected an exponent from 0 to 10, or a positive weight for every task: "
                         + ",".join(f"{name}=1" for name in sizes))
    total = sum(weights.values())
    return {name: value / total for name, value in weights.items()}


def counts(wanted: Mapping[str, float], steps: int) -> dict[str, int]:
    """Cut ``steps`` into whole numbers by shares: by largest remainder, the first of equals; each task gets one."""
    exact = {name: share * steps for name, share in wanted.items()}
    found = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: found[name] - exact[name])[:steps - sum(found.values())]:
        found[name] += 1
    return {name: max(1, count) for name, count in found.items()}


class Mixture:
    """All steps of ``epochs`` epochs; each step is the next batch of one task.

    An epoch has as many steps as one pass over the rows of all tasks. Of these every task has its share, in an order
    that is drawn anew for each epoch (an exponent of 1 is the order of MT-DNN, Liu et al. 2019). A task goes on in its
    own order from epoch to epoch: no row of it comes again before all others have come.

    Args:
        make: task and number of passes -> the batches of so many passes over the rows of the task.
        names: the tasks. mixing: see ``shares``.
    Attributes:
        steps: of all epochs. ends: [epochs] steps taken when each epoch is over. counts: task -> steps in an epoch.
        parts: task -> its batches.
    """

    def __init__(self, make: Callable[[str, int], EpochBatches], names: list[str], mixing: str, *, seed: int,
                 epochs: int):
        self.names, self.seed = names, seed
        sizes = {name: make(name, 1).steps for name in names}
        self.counts = counts(shares(mixing, sizes), sum(sizes.values()))
        self.length = sum(self.counts.values())
        self.steps, self.ends = epochs * self.length, self.length * np.arange(1, epochs + 1)
        self.parts = {name: _enough(make, name, -(-epochs * self.counts[name] // sizes[name]),
                                    epochs * self.counts[name]) for name in names}
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def order(self, epoch: int) -> np.ndarray:
        """Return for every step of an epoch the number of its task."""
        if self._order[0] != epoch:
            generator = np.random.Generator(np.random.Philox(key=[self.seed, (STREAM << 32) + epoch]))
            tasks = np.repeat(np.arange(len(self.names)), [self.counts[name] for name in self.names])
            self._order = epoch, generator.permutation(tasks)
        return self._order[1]

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that a step (from 0) belongs to."""
        return step // self.length

    def drawn(self, step: int) -> tuple[str, int]:
        """Return the task of a step (from 0), and which of the batches of that task it takes."""
        epoch, place = divmod(step, self.length)
        order = self.order(epoch)
        name = self.names[order[place]]
        return name, epoch * self.counts[name] + int((order[:place] == order[place]).sum())

    def at(self, step: int) -> list[Batch]:
        """Return this rank's micro-batches of a step, with targets under the name of the task."""
        name, number = self.drawn(step)
        batches = self.parts[name].at(number)
        for batch in batches:
            (targets,) = batch.targets.values()
            batch.task, batch.targets = name, {name: targets}
            batch.addresses = [(name, row, part) for _, row, part in batch.addresses]
        return batches


def _enough(make: Callable[[str, int], EpochBatches], name: str, passes: int, steps: int) -> EpochBatches:
    """The batches of at least ``steps`` steps: passes differ in length where a batch is measured in tokens."""
    while (batches := make(name, passes)).steps < steps:
        passes += 1
    return batches
