"""Model inputs of many rows as flat arrays, and batches cut from them."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reader.batches.examples import Batch
from reader.text.tokenizer import Tokenizer


@dataclass
class Features:
    """Model inputs of n parts (a row of a file gives one, or several when it is long).

    ids: [T] int32, special tokens included. offsets: [n + 1] int64 into ids. first: [n] int32, how many tokens carry
    sentence id 0. row: [n] int64, which row a part belongs to. labels: [n] or [n, 2], one value a part; None for a
    kind that labels tokens. tokens: name -> array of length T, whatever a kind keeps per token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    row: np.ndarray
    labels: np.ndarray | None = None
    tokens: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> np.ndarray:
        """Return [n] the number of tokens of each part."""
        return np.diff(self.offsets)

    @classmethod
    def build(cls, ids: list, first: Any, row: Any = None, labels: np.ndarray | None = None,
              **tokens: list) -> Features:
        """Build features from one list of ids for each part. Per-token values come as one list for each part too."""
        offsets = np.zeros(len(ids) + 1, np.int64)
        np.cumsum([len(part) for part in ids], out=offsets[1:])
        row = np.arange(len(ids)) if row is None else np.asarray(row, np.int64)
        return cls(_flat(ids, np.int32), offsets, np.asarray(first, np.int32), row, labels,
                   {name: _flat(values, np.int32) for name, values in tokens.items()})

    @classmethod
    def join(cls, several: list) -> Features:
        """Join several after one another, rows counted on."""
        if len(several) == 1:
            return several[0]
        rows = np.cumsum([0] + [int(one.row.max(initial=-1)) + 1 for one in several[:-1]])
        sizes = np.cumsum([0] + [len(one.ids) for one in several])
        return cls(np.concatenate([one.ids for one in several]),
                   np.concatenate([one.offsets[:-1] + size for one, size in zip(several, sizes)] + [sizes[-1:]]),
                   np.concatenate([one.first for one in several]),
                   np.concatenate([one.row + start for one, start in zip(several, rows)]),
                   None if several[0].labels is None else np.concatenate([one.labels for one in several]),
                   {name: np.concatenate([one.tokens[name] for one in several]) for name in several[0].tokens})

    def subset(self, rows: np.ndarray) -> Features:
        """Take those of some rows, given in ascending order and numbered anew."""
        parts = np.flatnonzero(np.isin(self.row, rows))
        place, _, _ = self.flat(parts)
        return Features(self.ids[place], np.append(0, np.cumsum(self.lengths[parts])), self.first[parts],
                        np.searchsorted(rows, self.row[parts]), None if self.labels is None else self.labels[parts],
                        {name: values[place] for name, values in self.tokens.items()})

    def values(self, index: int, name: str) -> np.ndarray:
        """Return the values of per-token array ``name`` in one part."""
        return self.tokens[name][self.offsets[index]:self.offsets[index + 1]]

    def flat(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for all tokens of the chosen parts (place in ids, which of the chosen, column)."""
        lengths = self.lengths[chosen]
        inside = np.repeat(np.arange(len(chosen)), lengths)
        column = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.offsets[chosen][inside] + column, inside, column

    def batch(self, chosen: np.ndarray, *, task: str, task_id: int, pad_id: int) -> Batch:
        """Return the padded inputs of the chosen parts, without targets."""
        chosen = np.asarray(chosen, np.int64)
        place, inside, column = self.flat(chosen)
        lengths = self.lengths[chosen]
        shape = len(chosen), int(lengths.max())
        token_ids = np.full(shape, pad_id, np.int64)
        token_ids[inside, column] = self.ids[place]
        columns = np.arange(shape[1])
        token_type_ids = (columns >= self.first[chosen][:, None]) & (columns < lengths[:, None])
        return Batch(task, task_id, token_ids, token_type_ids.astype(np.int64),
                     np.broadcast_to(columns, shape).astype(np.int64), lengths.astype(np.int64))


def _flat(parts: list, dtype) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype) for part in parts]) if parts else np.zeros(0, dtype)


def truncated_pair(first: int, second: int, limit: int) -> tuple[int, int]:
    """Return the lengths after popping from the longer side (the second when equal) until both fit into ``limit``."""
    excess = max(0, first + second - limit)
    alone = min(excess, abs(first - second))  # what the longer side gives before both are equal
    first, second = (first - alone, second) if first > second else (first, second - alone)
    return first - (excess - alone) // 2, second - (excess - alone + 1) // 2


def texts_to_features(texts: list, tokenizer: Tokenizer, max_length: int, labels: np.ndarray | None = None) -> Features:
    """Encode tuples of one or two texts as [CLS] a [SEP] or [CLS] a [SEP] b [SEP], cut to ``max_length``."""
    count = len(texts[0])
    found = [tokenizer.encode_batch([row[side] for row in texts]) for side in range(count)]
    ids, first = [], []
    cls, sep = [tokenizer.cls_id], [tokenizer.sep_id]
    for sides in zip(*found):
        a = sides[0].ids
        if count == 1:
            ids.append(np.concatenate((cls, a[:max_length - 2], sep)))
            first.append(len(ids[-1]))
            continue
        b = sides[1].ids
        keep_a, keep_b = truncated_pair(len(a), len(b), max_length - 3)
        ids.append(np.concatenate((cls, a[:keep_a], sep, b[:keep_b], sep)))
        first.append(keep_a + 2)
    return Features.build(ids, first, labels=labels)
