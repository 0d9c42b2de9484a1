"""Batches of fine-tuning examples: a function of (seed, epoch), the last one included, for any number of cards.

An example is what is drawn: one part, or all the parts of a row that must stay together (multiple choice).
"""
from __future__ import annotations

import numpy as np

from reader.batches.examples import Batch, Targets
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind


class EpochBatches:
    """All the steps of ``epochs`` passes over the features.

    Args:
        batch_size: examples in a global batch or, with ``batch_unit`` "tokens", the padded tokens that it must not
            exceed.
        micro_tokens: padded tokens that a card takes at once; a batch is cut into as many micro-batches as that needs.
        similar: batches are cut from this many times ``batch_size`` examples sorted by length, and taken in a random
            order, so that little is padded; 0: the examples of a batch are any. Every example comes once an epoch.
        rank, size: this process, of how many.
    Attributes:
        steps: of all epochs. ends: [epochs] the number of steps taken when each epoch is over.
    """

    def __init__(self, features: Features, kind: Kind, *, seed: int, epochs: int, batch_size: int, batch_unit: str,
                 task_id: int, pad_id: int, micro_tokens: int, similar: int = 0, rank: int = 0, size: int = 1):
        self.features, self.kind, self.seed = features, kind, seed
        self.batch_size, self.batch_unit = batch_size, batch_unit
        self.task_id, self.pad_id, self.micro_tokens, self.rank, self.size = task_id, pad_id, micro_tokens, rank, size
        self.similar = similar
        self.starts, self.lengths, self.parts = examples(features, kind)
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))
        self.cuts = [self._cut(epoch) for epoch in range(epochs)]
        self.ends = np.cumsum([len(cuts) - 1 for cuts in self.cuts])
        self.steps = int(self.ends[-1])

    def order(self, epoch: int) -> np.ndarray:
        """Return the [n] examples in the order in which an epoch takes them."""
        if self._order[0] != epoch:
            generator = np.random.Generator(np.random.Philox(key=[self.seed, 0xF17E + epoch]))
            order = generator.permutation(len(self.lengths))
            self._order = epoch, self._by_length(order, generator) if self.similar else order
        return self._order[1]

    def _by_length(self, order: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The order with examples of similar length beside each other, batch by batch.

        Only the last batch of an epoch may be short, so it stays last; all others are taken in a random order.
        """
        rows = self.batch_size if self.batch_unit == "examples" else max(1, self.batch_size // int(self.lengths.max()))
        batches = []
        for start in range(0, len(order), rows * self.similar):
            part = order[start:start + rows * self.similar]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[at:at + rows] for at in range(0, len(part), rows)]
        whole = [batch for batch in batches if len(batch) == rows]
        short = [batch for batch in batches if len(batch) < rows]
        return np.concatenate([whole[at] for at in generator.permutation(len(whole))] + short)

    def _cut(self, epoch: int) -> np.ndarray:
        """Return where the batches of an epoch begin, and its end."""
        total = len(self.lengths)
        if self.batch_unit == "examples":
            return np.append(np.arange(0, total, self.batch_size), total)
        cuts, longest, held = [0], 0, 0
        order = self.order(epoch)
        for place, (length, parts) in enumerate(zip(self.lengths[order].tolist(), self.parts[order].tolist())):
            longest, held = max(longest, length), held + parts
            if held * longest > self.batch_size and place > cuts[-1]:
                cuts.append(place)
                longest, held = length, parts
        return np.append(cuts, total)

    def rows(self, step: int) -> np.ndarray:
        """Return the examples of a global batch (step from 0)."""
        epoch = self.epoch(step)
        number = step - (int(self.ends[epoch - 1]) if epoch else 0)
        cuts = self.cuts[epoch]
        return self.order(epoch)[cuts[number]:cuts[number + 1]]

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that a step (from 0) belongs to."""
        return int(np.searchsorted(self.ends, step, side="right"))

    def at(self, step: int) -> list[Batch]:
        """Return this rank's micro-batches of a step: every ``size``-th slice of the batch sorted by length.

        Where there are fewer examples than slices, a rank without one takes an example without a target.
        """
        rows = self.rows(step)
        lengths = self.lengths[rows]
        rows = rows[np.argsort(lengths, kind="stable")]
        slices = -(-int(self.parts[rows].sum()) * int(lengths.max()) // self.micro_tokens)
        slices = -(-min(slices, len(rows)) // self.size) * self.size
        micro = np.array_split(rows, slices)
        made = [self._batch(self._parts(part)) if len(part) else self._batch(self._parts(rows[:1]), silent=True)
                for part in micro[self.rank::self.size]]
        for place, batch in zip(range(self.rank, slices, self.size), made):
            batch.place = place
        return made

    def _parts(self, chosen: np.ndarray) -> np.ndarray:
        """The parts of examples."""
        return all_parts(self.starts, self.parts, chosen)

    def _batch(self, chosen: np.ndarray, silent: bool = False) -> Batch:
        return make_batch(self.features, self.kind, chosen, self.task_id, self.pad_id, silent)


def make_batch(features: Features, kind: Kind, chosen: np.ndarray, task_id: int, pad_id: int,
               silent: bool = False) -> Batch:
    """Make a batch of the chosen parts with their targets; ``silent``: with none."""
    batch = features.batch(chosen, task=kind.name, task_id=task_id, pad_id=pad_id)
    targets = kind.targets(features, chosen, batch.token_ids.shape[1])
    if silent:
        targets, batch.silent = Targets(targets.positions[:0], targets.labels[:0]), True
    batch.targets = {kind.name: targets}
    batch.addresses = [("row", int(row), 0) for row in features.row[chosen]]
    return batch


def examples(features: Features, kind: Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for all examples ([n] first part, [n] tokens of the longest part, [n] number of parts)."""
    if not kind.together:
        return np.arange(len(features)), features.lengths, np.ones(len(features), np.int64)
    _, starts, counts = np.unique(features.row, return_index=True, return_counts=True)
    return starts, np.maximum.reduceat(features.lengths, starts), counts


def by_length(lengths: np.ndarray, tokens: int, parts: np.ndarray | None = None) -> list[np.ndarray]:
    """Cut all examples, longest first, into batches of at most so many padded tokens (one example at least).

    Args:
        parts: how many parts of that length an example has; None: one.
    """
    order = np.argsort(-lengths, kind="stable")
    counts = (np.ones(len(lengths), np.int64) if parts is None else parts)[order].tolist()
    batches, begin, held = [], 0, 0
    for at, count in enumerate(counts):
        if at > begin and (held + count) * int(lengths[order[begin]]) > tokens:
            batches.append(order[begin:at])
            begin, held = at, 0
        held += count
    return [*batches, order[begin:]]


def answer_batches(features: Features, kind: Kind, tokens: int) -> list[np.ndarray]:
    """Cut the parts into batches of at most so many padded tokens; those of an example stay together."""
    starts, lengths, parts = examples(features, kind)
    return [all_parts(starts, parts, batch) for batch in by_length(lengths, tokens, parts)]


def all_parts(starts: np.ndarray, parts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the parts of the chosen examples, one example after the other."""
    inside = np.repeat(np.arange(len(chosen)), parts[chosen])
    place = np.arange(len(inside)) - np.repeat(np.cumsum(parts[chosen]) - parts[chosen], parts[chosen])
    return starts[chosen][inside] + place
