"""Batches by token budget: the n-th batch of a task is a pure function of n.

A global batch is cut into *slices* (micro-batches), which the ranks share out. What it holds does not hang on the
number of slices: see ``reader.batches.windows`` for how its examples are drawn. What is random in a token's labels
hangs on its key, a function of (seed, task, window, example, place), so that labels do not hang on the cut either.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from reader.batches.collator import Collator, Window, addresses, read_tokens
from reader.batches.corpus import Corpus
from reader.batches.examples import Batch, Targets
from reader.batches.windows import Windows, check_labels, middles
from reader.text.special_ids import SpecialIds
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE

TURNS = 2  # windows under way at a time: two workers share the drawing of one task evenly


class Batches:
    """The endless sequence of global batches in which one task is drawn.

    Args:
        task: the drawn task; its ``example`` makes the examples.
        token_tasks: every token-level task of the stage; each labels every batch. At most one of them may corrupt.
        corpus: where ``task`` draws from.
        seed: of the run. task_id: selects the task embedding.
        batch_tokens: text and special tokens of a global batch, on average.
        slices: micro-batches that a global batch is cut into, over all ranks and accumulation steps.
        window: batches whose examples are drawn and sorted together; by default enough for little padding. It decides
            the order, as the two sizes and the seed do; the number of slices does not.
        turns: windows that are under way at a time, see ``Windows``.
        factors: task name -> factor of its loss in these batches, beside the weight that it has in all.
        vocabulary: object with ``cls_id sep_id mask_id pad_id regular_ids``; that of the stores by default.
        sentence_types: how many the model knows; None: not checked.
    Raises:
        InputError: a slice could not hold the longest example, two tasks corrupt, or the task finds no text.
    """

    def __init__(self, task: Any, token_tasks: Iterable[Any], corpus: Corpus, *, seed: int, task_id: int,
                 batch_tokens: int, slices: int = 1, window: int | None = None, turns: int = TURNS,
                 factors: Mapping[str, float] | None = None, vocabulary: Any = None,
                 sentence_types: int | None = None):
        corrupting = [other.name for other in token_tasks if other.corrupts]
        if len(corrupting) > 1:
            raise InputError(f"tasks {', '.join(corrupting)} all change the text; a stage can have one of them")
        self.task, self.token_tasks, self.corpus = task, list(token_tasks), corpus
        self.factors, self.sentence_types = dict(factors or {}), sentence_types
        self.task_id, self.batch_tokens, self.slices = task_id, batch_tokens, slices
        self.specials = corpus.specials if vocabulary is None else SpecialIds.of(vocabulary)
        task.bind(corpus)
        self.windows = Windows(task, corpus, seed, batch_tokens, window, turns)
        if batch_tokens < slices * corpus.max_length or -(-slices // self.windows.lanes) > self.windows.least:
            raise InputError(f"batch_tokens {batch_tokens} cut into {slices} micro-batches gives each "
                             f"{batch_tokens // slices} tokens, too few for examples of max_length "
                             f"{corpus.max_length}: raise batch_tokens, or use fewer cards or accumulation steps")

    def at(self, n: int, slice_indices: Iterable[int] | None = None) -> list[Batch]:
        """Return micro-batches of the n-th global batch: all, or those that ``slice_indices`` names, in its order."""
        wanted = range(self.slices) if slice_indices is None else slice_indices
        made = []
        for index in wanted:
            made.append(self._assemble(*self.rows(n, index)))
            made[-1].place = index
        self.corpus.release()
        return made

    def rows(self, n: int, index: int | None = None) -> tuple[Window, np.ndarray]:
        """Return a window and the indices of its examples in slice ``index``, or all, of the n-th global batch."""
        lanes, slices = self.windows.lanes, self.slices
        touched = range(lanes) if index is None else range(index * lanes // slices, -(-(index + 1) * lanes // slices))
        parts = []
        for lane in touched:
            window, rows = self.windows.part(lane, n)
            if index is not None:
                first, begins = slices_of_lane(window.lengths[rows], lane, lanes, slices)
                bounds = [*begins.tolist(), len(rows)]
                place = index - first  # below 0: the slice began in a lane before
                rows = rows[0 if place < 0 else bounds[place]:bounds[place + 1]]
            parts.append((window, rows))
        if len(parts) == 1:
            return parts[0]
        window = Window.joined(parts)
        return window, window.batches[0]

    def _assemble(self, window: Window, rows: np.ndarray) -> Batch:
        collator = Collator(window, rows)
        if self.sentence_types is not None and collator.types.max() >= self.sentence_types:
            raise InputError(f"task {self.task.name} made an example of sentence type {collator.types.max()}, of which "
                             f"the model has {self.sentence_types} (type_vocab_size)", self.corpus.stores[0].path)
        tokens = read_tokens(self.corpus, window, rows, collator)
        batch = collator.empty_batch(self.task.name, self.task_id, self.specials)
        ids = tokens.ids
        for task in self.token_tasks:
            if task.corrupts:
                ids, labels, groups = task.corrupt(tokens, self.specials)
            else:
                labels, groups = task.labels(tokens), None
            if task.groups and groups is None:
                raise InputError(f"task {task.name} names groups and gave its tokens none")
            if np.shape(labels) != ids.shape:
                raise InputError(f"task {task.name} made labels of shape {np.shape(labels)} for {len(ids)} tokens")
            chosen = np.flatnonzero(labels != IGNORE)
            if len(chosen) and task.head == "classes":
                check_labels(task, labels[chosen].min(), labels[chosen].max())
            batch.targets[task.name] = Targets(collator.positions[chosen], labels[chosen].astype(np.int64),
                                               None if groups is None else groups[chosen])
        batch.token_ids.reshape(-1)[collator.positions] = ids
        if self.task.level == "sequence":
            labels = window.labels[rows]
            chosen = np.flatnonzero(labels != IGNORE)
            batch.targets[self.task.name] = Targets(chosen, labels[chosen].astype(np.int64))
        batch.addresses, batch.factors = addresses(self.corpus, window, rows), dict(self.factors)
        return batch


def slices_of_rank(slices: int, rank: int, size: int) -> range:
    """Return the slices of one of ``size`` ranks: side by side, so that few lanes are drawn by two of them."""
    return range(rank * slices // size, (rank + 1) * slices // size)


def slices_of_lane(lengths: np.ndarray, lane: int, lanes: int, slices: int) -> tuple[int, np.ndarray]:
    """Find the slices that begin inside a lane, and where.

    A slice is one of ``slices`` equal parts of the ``lanes`` laid end to end; lanes count as equally long, so that the
    cut of one needs no other. Every slice that begins in a lane takes an example of it at least.

    Args:
        lengths: [e] of the examples that the lane gives to the batch.
    Returns:
        (number of the first slice that begins here, [k] first example of each slice that does).
    """
    first, last = (-(-edge * slices // lanes) for edge in (lane, lane + 1))
    shares = (np.arange(first, last) * lanes - lane * slices) / slices
    begins = np.searchsorted(middles(lengths), shares * np.sum(lengths))
    steps = np.arange(len(begins))
    begins = np.maximum.accumulate(begins - steps) + steps
    return first, np.minimum(begins, len(lengths) - len(begins) + steps)
