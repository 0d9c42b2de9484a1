"""From drawn examples to padded arrays: the flat view of the text, and where each token goes. No per-token Python."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Batch, Example, Tokens
from reader.batches.sampling import hash_keys, mix
from reader.text.special_ids import SpecialIds

ALIGNED, FROM = 8, 128  # padded widths are multiples of the first, which GPUs like, where they reach the second


class Window(NamedTuple):
    """The examples of a window as arrays: [e] per example, [s] per segment (those of an example lie together)."""

    lengths: np.ndarray   # [e] special tokens included
    stores: np.ndarray    # [e]
    labels: np.ndarray    # [e]
    first: np.ndarray     # [e] index of the first segment
    counts: np.ndarray    # [e] segments
    starts: np.ndarray    # [s] token offsets
    stops: np.ndarray     # [s]
    types: np.ndarray     # [s] sentence ids
    keys: np.ndarray      # [e] uint64
    batches: list         # the examples of each batch

    @classmethod
    def of(cls, examples: list[Example], key: int) -> Window:
        """Collect examples as arrays, all in one batch; ``key`` decides what is random about their tokens."""
        counts = np.array([len(example.segments) for example in examples])
        segments = np.array([segment for example in examples for segment in example.segments], np.int64)
        return cls(np.array([example.length for example in examples]),
                   np.array([example.store for example in examples]),
                   np.array([example.label for example in examples]), np.cumsum(counts) - counts, counts,
                   segments[:, 0], segments[:, 1],
                   np.array([kind for example in examples for kind in example.types or range(len(example.segments))]),
                   hash_keys(key, np.arange(len(examples))),
                   [np.arange(len(examples))])

    @classmethod
    def joined(cls, parts: list[tuple[Window, np.ndarray]]) -> Window:
        """Join the given rows of several windows into one window, in this order, all in one batch."""
        segments = [segments_of(window, rows) for window, rows in parts]
        counts = np.concatenate([window.counts[rows] for window, rows in parts])
        lengths, stores, labels, keys = (np.concatenate([getattr(window, name)[rows] for window, rows in parts])
                                         for name in ("lengths", "stores", "labels", "keys"))
        starts, stops, types = (
            np.concatenate([getattr(window, name)[mine] for (window, _), mine in zip(parts, segments)])
            for name in ("starts", "stops", "types"))
        return cls(lengths, stores, labels, np.cumsum(counts) - counts, counts, starts, stops, types, keys,
                   [np.arange(len(lengths))])

    def example(self, index: int) -> Example:
        """Return the example at an index."""
        mine = slice(self.first[index], self.first[index] + self.counts[index])
        return Example(int(self.stores[index]), tuple(zip(self.starts[mine].tolist(), self.stops[mine].tolist())),
                       int(self.labels[index]), tuple(self.types[mine].tolist()))


def segments_of(window: Window, rows: np.ndarray) -> np.ndarray:
    """Return the [s] indices of the segments of some rows, row by row."""
    counts = window.counts[rows]
    return np.arange(int(counts.sum())) + np.repeat(window.first[rows] - (np.cumsum(counts) - counts), counts)


class Collator:
    """The places of the tokens of some rows in the padded batch.

    Attributes:
        segments: [s] the rows' segments, as indices into the window. row: [s] the row of each. sizes: [s] tokens.
        types: [s] sentence ids. positions: [n] row * width + column of each text token.
        offset: [n] place of each text token inside its segment.
    """

    def __init__(self, window: Window, rows: np.ndarray):
        counts = window.counts[rows]
        self.lengths = window.lengths[rows]
        self.width = int(self.lengths.max())
        if self.width >= FROM:
            self.width += -self.width % ALIGNED
        self.row = np.repeat(np.arange(len(rows)), counts)
        self.segments = segments_of(window, rows)
        self.types = window.types[self.segments]
        self.sizes = window.stops[self.segments] - window.starts[self.segments]
        ends = np.cumsum(self.sizes + 1)  # with its [SEP]
        row_begin = np.cumsum(self.lengths - 1) - (self.lengths - 1)
        self.column = 1 + ends - (self.sizes + 1) - row_begin[self.row]  # of each segment's first token
        self.offset = np.arange(int(self.sizes.sum())) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        self.positions = np.repeat(self.row * self.width + self.column, self.sizes) + self.offset

    def empty_batch(self, task: str, task_id: int, specials: SpecialIds) -> Batch:
        """Build a batch with everything but its text: special tokens, sentence ids, positions, padding."""
        shape = len(self.lengths), self.width
        ids = np.full(shape, specials.pad_id, np.int64)
        ids[:, 0] = specials.cls_id
        separators = self.row * self.width + self.column + self.sizes
        ids.reshape(-1)[separators] = specials.sep_id
        sentence = np.zeros(shape, np.int64)
        sentence.reshape(-1)[self.positions] = np.repeat(self.types, self.sizes)
        sentence.reshape(-1)[separators] = self.types
        position = np.arange(self.width) * (np.arange(self.width) < self.lengths[:, None])
        return Batch(task, task_id, ids, sentence, position, self.lengths)


def read_tokens(corpus: Corpus, window: Window, rows: np.ndarray, collator: Collator) -> Tokens:
    """Read the text of some rows, flat, with everything that labels are made from."""
    sizes, row = collator.sizes, np.repeat(collator.row, collator.sizes)
    index = np.repeat(window.starts[collator.segments], sizes) + collator.offset
    store = window.stores[rows][row]
    ids, flags = np.empty(len(index), np.int64), np.empty(len(index), np.uint8)
    back, ahead = np.empty(len(index), np.uint16), np.empty(len(index), np.uint16)
    for number, opened in enumerate(corpus.stores):
        mine = slice(None) if len(corpus.stores) == 1 else np.flatnonzero(store == number)
        opened.before_reading(index[mine])
        for array, source in ((ids, opened.ids), (flags, opened.flags), (back, opened.back), (ahead, opened.ahead)):
            array[mine] = np.take(source, index[mine])
    unit_chance = None
    if any("unit_chances" in opened.manifest for opened in corpus.stores):
        unit_chance = unit_chances(corpus, window, rows)[row]
    place = np.arange(len(index)) - np.searchsorted(row, np.arange(len(rows)))[row]
    return Tokens(ids=ids, flags=flags, back=back, ahead=ahead, row=row,
                  segment=np.repeat(np.arange(len(sizes)), sizes), offset=collator.offset,
                  length=np.repeat(sizes, sizes), in_document=np.full(len(index), not corpus.pairs),
                  key=mix(window.keys[rows][row] + place.astype(np.uint64)), unit_chance=unit_chance)


def unit_chances(corpus: Corpus, window: Window, rows: np.ndarray) -> np.ndarray:
    """Return the [r] chance of each row to be masked by unit."""
    chances = np.ones(len(rows))
    for number in range(len(corpus.stores)):
        mine = np.flatnonzero(window.stores[rows] == number)
        known = corpus.unit_chances(number, window.starts[window.first[rows[mine]]])
        if known is not None:
            chances[mine] = known
    return chances


def addresses(corpus: Corpus, window: Window, rows: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (store, document, first token) of each row."""
    stores, tokens = window.stores[rows], window.starts[window.first[rows]]
    documents = np.empty(len(rows), np.int64)
    for number, store in enumerate(corpus.stores):
        mine = np.flatnonzero(stores == number)
        place = tokens[mine]
        for offsets in (store.sentences, store.paragraphs, store.documents):
            place = np.searchsorted(offsets, place, side="right") - 1
        documents[mine] = place
    return list(zip(stores.tolist(), documents.tolist(), tokens.tolist()))
