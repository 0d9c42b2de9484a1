"""Batches of fine-tuning examples: a function of (seed, epoch), the last one included, for any number of cards."""
from __future__ import annotations

import numpy as np

from reader.batches.examples import Batch, Targets
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind


class EpochBatches:
    """All the steps of ``epochs`` passes over the features.

    Args:
        batch_size: examples in a global batch or, with ``unit`` "tokens", the padded tokens that it must not exceed.
        micro_tokens: padded tokens that a card takes at once; a batch is cut into as many micro-batches as that needs.
        rank, size: this process, of how many.
    Attributes:
        steps: of all epochs. ends: [epochs] the number of steps taken when each epoch is over.
    """

    def __init__(self, features: Features, kind: Kind, *, seed: int, epochs: int, batch_size: int, unit: str,
                 task_id: int, pad_id: int, micro_tokens: int, rank: int = 0, size: int = 1):
        self.features, self.kind, self.seed = features, kind, seed
        self.task_id, self.pad_id, self.micro_tokens, self.rank, self.size = task_id, pad_id, micro_tokens, rank, size
        self._order: tuple = (-1, None)
        self.cuts = [self._cut(epoch, batch_size, unit) for epoch in range(epochs)]
        self.ends = np.cumsum([len(cuts) - 1 for cuts in self.cuts])
        self.steps = int(self.ends[-1])

    def order(self, epoch: int) -> np.ndarray:
        """[n] in which the examples of an epoch are taken."""
        if self._order[0] != epoch:
            generator = np.random.Generator(np.random.Philox(key=[self.seed, 0xF17E + epoch]))
            self._order = epoch, generator.permutation(len(self.features))
        return self._order[1]

    def _cut(self, epoch: int, batch_size: int, unit: str) -> np.ndarray:
        """Where the batches of an epoch begin, and its end."""
        total = len(self.features)
        if unit == "examples":
            return np.append(np.arange(0, total, batch_size), total)
        cuts, longest = [0], 0
        for place, length in enumerate(self.features.lengths[self.order(epoch)].tolist()):
            longest = max(longest, length)
            if (place - cuts[-1] + 1) * longest > batch_size:
                cuts.append(place)
                longest = length
        return np.append(cuts, total)

    def rows(self, step: int) -> np.ndarray:
        """The examples of a global batch (step from 0)."""
        epoch = int(np.searchsorted(self.ends, step, side="right"))
        number = step - (int(self.ends[epoch - 1]) if epoch else 0)
        cuts = self.cuts[epoch]
        return self.order(epoch)[cuts[number]:cuts[number + 1]]

    def at(self, step: int) -> list[Batch]:
        """This rank's micro-batches of a step: every ``size``-th slice of the batch sorted by length.

        Where there are fewer examples than slices, a rank without one takes an example without a target.
        """
        rows = self.rows(step)
        lengths = self.features.lengths[rows]
        rows = rows[np.argsort(lengths, kind="stable")]
        slices = -(-len(rows) * int(lengths.max()) // self.micro_tokens)
        slices = -(-min(slices, len(rows)) // self.size) * self.size
        parts = np.array_split(rows, slices)
        return [self._batch(part) if len(part) else self._batch(rows[:1], silent=True)
                for part in parts[self.rank::self.size]]

    def _batch(self, chosen: np.ndarray, silent: bool = False) -> Batch:
        return make_batch(self.features, self.kind, chosen, self.task_id, self.pad_id, silent)


def make_batch(features: Features, kind: Kind, chosen: np.ndarray, task_id: int, pad_id: int,
               silent: bool = False) -> Batch:
    """The chosen examples with their targets; ``silent``: without."""
    batch = features.batch(chosen, task=kind.name, task_id=task_id, pad_id=pad_id)
    targets = kind.targets(features, chosen, batch.token_ids.shape[1])
    if silent:
        targets = Targets(targets.positions[:0], targets.labels[:0])
    batch.targets = {kind.name: targets}
    batch.addresses = [("row", int(row), 0) for row in features.row[chosen]]
    return batch


def by_length(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """All examples, longest first, in batches of at most so many padded tokens (one example at least)."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        count = max(1, tokens // int(lengths[order[start]]))
        batches.append(order[start:start + count])
        start += count
    return batches
