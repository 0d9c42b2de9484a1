"""Labelled examples of a task as flat arrays, taken from its batches: what a shallow predictor is fitted on."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from reader.batches.batches import Batches
from reader.batches.examples import Batch

NOTHING = -1  # stands for a neighbour beyond the edge of a segment


@dataclass
class TokenSample:
    """Targets of a token-level task; every array is [n] int64, one entry for each target.

    Attributes:
        labels: class, or token id for a task over the vocabulary. read: token id that the model reads there.
        left, right: ids that the model reads beside it, ``NOTHING`` at the edge of a segment.
        place: of the token in its segment, from 0. size: tokens of the segment.
        document: of its store, from 0; its store: see ``Batch.addresses``.
    """

    labels: np.ndarray
    read: np.ndarray
    left: np.ndarray
    right: np.ndarray
    place: np.ndarray
    size: np.ndarray
    store: np.ndarray
    document: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class SequenceSample:
    """Examples of a sequence-level task.

    Attributes:
        labels, counts, store, document, first: [e] class, segments, address and first token of each example.
        ids, row, nth: [n] text tokens, the example of each, and which of its segments it lies in.
    """

    labels: np.ndarray
    counts: np.ndarray
    store: np.ndarray
    document: np.ndarray
    first: np.ndarray
    ids: np.ndarray
    row: np.ndarray
    nth: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def segments(self) -> Iterable[list[np.ndarray]]:
        """Yield the token ids of each example, segment by segment."""
        bounds = np.searchsorted(self.row, np.arange(len(self) + 1))
        for row, (start, stop) in enumerate(zip(bounds, bounds[1:])):
            cuts = np.searchsorted(self.nth[start:stop], np.arange(1, self.counts[row]))
            yield np.split(self.ids[start:stop], cuts)


Sample = TypeVar("Sample", TokenSample, SequenceSample)


def take(source: Batches, tokens: int, examples: int) -> list[Batch]:
    """Return the first batches of a task, as training takes them, until ``tokens`` or ``examples`` are reached."""
    batches: list[Batch] = []
    number = taken = rows = 0
    while taken < tokens and rows < examples:
        for batch in source.at(number):
            batches.append(batch)
            taken, rows = taken + batch.tokens, rows + len(batch.lengths)
        number += 1
    return batches


def texts(batches: Iterable[Batch], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ([n] ids, [n] left neighbours) of all text tokens before any masking; ``NOTHING`` at the edge of an
    example.

    name: of the task over the vocabulary, whose targets hold what was masked.
    """
    ids, left = [], []
    for batch in batches:
        original = batch.token_ids.reshape(-1).copy()
        original[batch.targets[name].positions] = batch.targets[name].labels
        original = original.reshape(batch.token_ids.shape)
        column = np.arange(original.shape[1])
        inside = (column >= 1) & (column < batch.lengths[:, None] - 1)
        before = np.where(column >= 2, np.roll(original, 1, axis=1), NOTHING)
        ids.append(original[inside])
        left.append(before[inside])
    return np.concatenate(ids), np.concatenate(left)


def token_sample(batches: Iterable[Batch], name: str, separator: int) -> TokenSample:
    """Collect the targets of token-level task ``name``. separator: id of [SEP]."""
    parts = []
    for batch in batches:
        target = batch.targets[name]
        width = batch.token_ids.shape[1]
        row, column = np.divmod(target.positions, width)
        nth, place, size = _segments(batch, separator)
        store, document, _ = np.array(batch.addresses, np.int64).reshape(-1, 3).T
        read = batch.token_ids[row, column]
        place, size = place[row, column], size[row, column]
        left = np.where(place > 0, batch.token_ids[row, column - 1], NOTHING)
        right = np.where(place < size - 1, batch.token_ids[row, np.minimum(column + 1, width - 1)], NOTHING)
        parts.append(TokenSample(target.labels, read, left, right, place, size, store[row], document[row]))
    return _joined(TokenSample, parts)


def sequence_sample(batches: Iterable[Batch], name: str, separator: int) -> SequenceSample:
    """Collect the labelled examples of sequence-level task ``name``. separator: id of [SEP]."""
    parts, done = [], 0
    for batch in batches:
        target = batch.targets[name]
        nth, _, _ = _segments(batch, separator)
        counts = nth.max(axis=1) + 1
        chosen = np.full(len(batch.lengths), -1)
        chosen[target.positions] = np.arange(len(target.positions))
        inside = (nth >= 0) & (chosen[:, None] >= 0)
        row, _ = np.nonzero(inside)
        store, document, first = np.array(batch.addresses, np.int64).reshape(-1, 3)[target.positions].T
        parts.append(SequenceSample(target.labels, counts[target.positions], store, document, first,
                                    batch.token_ids[inside], chosen[row] + done, nth[inside]))
        done += len(target.positions)
    return _joined(SequenceSample, parts)


def _segments(batch: Batch, separator: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[rows, width] number of the segment (-1 for what is no text), place in it, and its size."""
    ids = batch.token_ids
    column = np.arange(ids.shape[1])
    real = (column < batch.lengths[:, None]) & (column >= 1)
    ends = real & (ids == separator)
    nth = np.cumsum(ends, axis=1)
    text = real & ~ends
    nth = np.where(text, nth, -1)
    begins = text & (np.roll(nth, 1, axis=1) != nth)
    start = np.maximum.accumulate(np.where(begins, column, 0), axis=1)
    after = np.minimum.accumulate(np.where(ends, column, ids.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return nth, np.where(text, column - start, 0), np.where(text, after - start, 0)


def _joined(cls: type[Sample], parts: list[Sample]) -> Sample:
    return cls(*(np.concatenate([getattr(part, item.name) for part in parts]).astype(np.int64)
                 for item in fields(cls)))
