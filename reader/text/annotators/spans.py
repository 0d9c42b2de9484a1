"""Shared by the rule-based annotators: which side a straight quote stands on, and known phrases in running words."""
from __future__ import annotations

import numpy as np

from reader.text.chunk_cache import sequence_keys, word_key


def quote_opens(plain: np.ndarray, spaced: np.ndarray, paragraph_start: np.ndarray) -> np.ndarray:
    """Mark, [n] bool, straight quotes that open: by the space around them, or else by parity in their paragraph.

    Args:
        plain: [n] bool, straight quotes. spaced: [n] bool, white space follows. paragraph_start: [n] bool.
    """
    n = len(plain)
    before = np.r_[True, spaced[:-1]]
    total = np.cumsum(plain)
    paragraph = np.maximum.accumulate(np.where(paragraph_start, np.arange(n), 0))
    odd = (total - (total - plain)[paragraph]) % 2 == 1
    return plain & np.where(before == spaced, odd, before)


def covered(starts: np.ndarray, stops: np.ndarray, n: int) -> np.ndarray:
    """Mark, [n] bool, the places inside one of the ranges."""
    change = np.zeros(n + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, stops, -1)
    return np.cumsum(change[:-1]) > 0


class Phrases:
    """A set of known phrases, looked up by the hashes of their words."""

    def __init__(self, phrases: list[list[str]]):
        self.first_words = frozenset(words[0] for words in phrases)
        tables: dict[int, list] = {}
        for words in phrases:
            keys = np.array([word_key(word) for word in words], np.uint64)
            tables.setdefault(len(words), []).append(sequence_keys(keys, len(words))[0])
        self.tables = {length: np.unique(np.array(keys, np.uint64)) for length, keys in sorted(tables.items())[::-1]}

    def find(self, keys: np.ndarray, free: np.ndarray, first: np.ndarray,
             head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (starts, stops) of the phrases in n running words: the longest first, then from left to right.

        Args:
            keys: [n] uint64 word hashes. free: [n] bool, words that may be part of a phrase. first: [n] bool, words
                that open a sentence: a phrase may begin there, not reach over it. head: [n] bool, words of
                ``first_words``.
        """
        free, starts, stops = free.copy(), [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for length, table in self.tables.items():
            last = max(0, len(keys) - length + 1)
            candidates = np.flatnonzero(head[:last] & free[:last])
            total = keys[candidates]
            for shift in range(1, length):
                good = free[candidates + shift] & ~first[candidates + shift]
                candidates, total = candidates[good], total[good]
                total = sequence_keys(np.stack([total, keys[candidates + shift]]), 2)[0]
            places = np.minimum(np.searchsorted(table, total), len(table) - 1)
            kept = _left_to_right(candidates[table[places] == total], length)
            for shift in range(length):
                free[kept + shift] = False
            starts.append(kept)
            stops.append(kept + length)
        return np.concatenate(starts), np.concatenate(stops)


def _left_to_right(starts: np.ndarray, length: int) -> np.ndarray:
    kept, end = [], 0
    for start in starts.tolist():
        if start >= end:
            kept.append(start)
            end = start + length
    return np.array(kept, np.int64)
