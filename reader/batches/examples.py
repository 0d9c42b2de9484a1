"""Data types on the way from a task to the model: examples, the flat view of their tokens, targets and batches."""
from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np

from reader.utils.labels import IGNORE


@dataclass(frozen=True)
class Excerpt:
    """A piece of text as a task is handed it. An epoch hands out every excerpt of the corpus once.

    Attributes:
        kind: "text": as many whole sentences of a document as an example holds, a short document whole.
            "paragraph": a paragraph; those with few sentences are joined to their neighbours. "sentence": a sentence.
            "turns": consecutive paragraphs of a document, as many as an example holds as a segment each.
            A paragraph or sentence that is too long for an example is cut evenly. A store of pairs knows one
            excerpt, the document (a pair, or a query with its titles), whatever is asked for.
        segments: most segments that the task makes of an excerpt: room is left for the special token of each.
        sentences: fewest sentences of a "paragraph", where the document has as many.
        share: largest part of its document that a "text" may be.
    """

    kind: str = "text"
    segments: int = 1
    sentences: int = 1
    share: float = 1.0

    def room(self, max_length: int) -> int:
        """Return the largest number of text tokens of an excerpt."""
        return max_length - 1 - self.segments


class Anchor(NamedTuple):
    """The excerpt of text from which a task makes one example: tokens [token, stop) of a store of the corpus."""

    store: int
    token: int
    stop: int


class Example(NamedTuple):
    """Segments of one store, in the order in which the model reads them: [CLS] s0 [SEP] s1 [SEP] ..., and a label."""

    store: int
    segments: tuple  # ((start, stop), ...) token offsets
    label: int = IGNORE  # class of the drawn sequence-level task
    types: tuple = ()  # sentence id (token type) of each segment; left out, segment k carries k

    @property
    def length(self) -> int:
        """Tokens the model sees, special ones included."""
        return 1 + len(self.segments) + sum(stop - start for start, stop in self.segments)


@dataclass
class Tokens:
    """The text tokens of a batch (no special tokens, no padding), flat in reading order; every array is [n].

    This is what a token-level task labels.
    """

    ids: np.ndarray        # int64, before any masking
    flags: np.ndarray      # uint8, the bits of reader.store.store
    back: np.ndarray       # uint16, distance to the first occurrence of this id in the document
    ahead: np.ndarray      # uint16, distance to the last one
    row: np.ndarray        # int64, which example of the batch
    segment: np.ndarray    # int64, which segment of the batch (unique over all rows)
    offset: np.ndarray     # int64, place inside the segment
    length: np.ndarray     # int64, length of the segment
    in_document: np.ndarray  # bool, False for tokens of a pair store, which has no surrounding document
    key: np.ndarray        # uint64, a random key per token: a function of (seed, task, window, example, place)
    unit_chance: Optional[np.ndarray] = None  # float64, that the example is masked by unit, not by piece; None: 1


class Targets(NamedTuple):
    """The places and labels that one task predicts in one batch; its loss is taken over these places only.

    positions: [k] int64. Token level: row * width + column in the padded batch. Sequence level: row.
    labels: [k] int64. groups: [k] uint8 or None, for a metric by group (the granularity of a masked token).
    """

    positions: np.ndarray
    labels: np.ndarray
    groups: Optional[np.ndarray] = None


@dataclass
class Batch:
    """One micro-batch: the padded inputs of the model and the targets of every task that has a loss in it.

    token_ids, token_type_ids, position_ids: [rows, width] int64. lengths: [rows] int64, tokens that are not padding.
    task: the drawn task, whose id every token's task embedding takes. addresses: (store, document, first token) of
    each row, so that a bad batch can be found again. place: which slice of the global batch it is, on all ranks
    together. factors: task name -> factor of its loss in this batch, 1 where it is not named. silent: its rows only
    keep a rank in step with the others, which train on them; they have no targets and do not count.
    """

    task: str
    task_id: int
    token_ids: np.ndarray
    token_type_ids: np.ndarray
    position_ids: np.ndarray
    lengths: np.ndarray
    targets: dict = field(default_factory=dict)  # task name -> Targets
    addresses: list = field(default_factory=list)
    place: int = 0
    factors: dict = field(default_factory=dict)
    silent: bool = False

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return 0 if self.silent else int(self.lengths.sum())

    @property
    def row_hash(self) -> int:
        """Sum of the CRC-32 of every row's token ids, whatever the padding and however a global batch was cut.

        Sums over all ranks are exact in float64 up to two million rows.
        """
        if self.silent:
            return 0
        return sum(zlib.crc32(row[:length].tobytes()) for row, length in zip(self.token_ids, self.lengths.tolist()))
