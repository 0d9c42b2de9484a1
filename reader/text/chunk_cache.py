"""Tokens and properties of each distinct chunk of a corpus, in growing numpy tables that a corpus is looked up in."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from reader.text.flags import CAPITAL, UNIT_START, WORD_START
from reader.text.tokenizer import Tokenizer, is_capitalised

SPACES = " \t\n\r\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

PARAGRAPH_END = "\n"  # stands between the paragraphs of a block, and nowhere else in it


class ChunkCache:
    """Chunk -> number, and per number its tokens and properties.

    Args:
        tokenizer: makes the tokens. describe: word -> int, bits that an annotator wants to know of every chunk.
        limit: entries at which everything is forgotten, to bound memory; numbers are valid until ``trim``.
    Attributes (all indexed by chunk number):
        counts: tokens. lengths: characters. trailing: how many of them are white space at the end.
        features: int64, what ``describe`` says. keys: uint64, hash of the lower-cased chunk.
    """

    COLUMNS = {"counts": np.int64, "lengths": np.int64, "trailing": np.int64, "features": np.int64, "keys": np.uint64}

    def __init__(self, tokenizer: Tokenizer, describe: Callable[[str], int] | None = None, limit: int = 1_000_000):
        self.tokenizer, self.describe, self.limit = tokenizer, describe or (lambda word: 0), limit
        self._forget()

    def _forget(self) -> None:
        self.numbers = Numbers()
        self._columns = {name: _Growing(dtype) for name, dtype in self.COLUMNS.items()}
        self._pieces, self._flags, self._first = _Growing(np.int64), _Growing(np.uint8), _Growing(np.int64)
        self.ids_of([PARAGRAPH_END])

    paragraph_end = 0  # the number of PARAGRAPH_END

    def __len__(self) -> int:
        return len(self.numbers)

    def __getattr__(self, name: str):
        if name in ChunkCache.COLUMNS:
            return self._columns[name].values
        raise AttributeError(name)

    def trim(self) -> None:
        """Forget everything when there are too many entries; call it between blocks."""
        if len(self.numbers) > self.limit:
            self._forget()

    def ids_of(self, chunks: list[str]) -> np.ndarray:
        """Return the [n] int64 numbers of chunks; new ones are tokenized."""
        ids, new = self.numbers.of(chunks)
        if new:
            self._learn(new)
        return ids

    def pieces_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the tokens of chunks: ([t] token ids, [t] uint8 flags, [n] tokens of each chunk).

        Flags: WORD_START and UNIT_START on the first token of each word, CAPITAL on all tokens of a capitalised one.
        """
        counts = self.counts[ids]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self._first.values[ids] - ends + counts, counts)
        return self._pieces.values[places], self._flags.values[places], counts

    def _learn(self, chunks: list[str]) -> None:
        words = [chunk.rstrip(SPACES) for chunk in chunks]
        found = self.tokenizer.backend.encode_batch(words, add_special_tokens=False)
        pieces = [encoding.ids for encoding in found]
        flags = [self._flags_of(word, encoding) for word, encoding in zip(words, found)]
        counts = np.array([len(ids) for ids in pieces], np.int64)
        self._first.extend(len(self._pieces.values) + np.cumsum(counts) - counts)
        self._pieces.extend([number for ids in pieces for number in ids])
        self._flags.extend(np.frombuffer(b"".join(flags), np.uint8))
        lengths = np.array([len(chunk) for chunk in chunks], np.int64)
        for name, values in (("counts", counts), ("lengths", lengths),
                             ("trailing", lengths - [len(word) for word in words]),
                             ("features", [self.describe(word) for word in words]),
                             ("keys", [word_key(word) for word in words])):
            self._columns[name].extend(values)

    @staticmethod
    def _flags_of(word: str, encoding) -> bytes:
        count = len(encoding.ids)
        if word.isascii() or count == 1:
            capital = CAPITAL if is_capitalised(word) else 0
            return bytes([capital | WORD_START | UNIT_START] + [capital] * (count - 1)) if count else b""
        owners, offsets, flags = encoding.word_ids, encoding.offsets, bytearray()
        for place, owner in enumerate(owners):  # the tokenizer may find several words: the text holds odd characters
            if place == 0 or owner != owners[place - 1]:
                last = max(k for k in range(place, count) if owners[k] == owner)
                capital = CAPITAL if is_capitalised(word[offsets[place][0]:offsets[last][1]]) else 0
                flags.append(capital | WORD_START | UNIT_START)
            else:
                flags.append(capital)
        return bytes(flags)


def word_key(word: str) -> int:
    """Return a 64-bit hash of a word, case ignored; the same in every process."""
    return int.from_bytes(hashlib.blake2b(word.lower().encode(), digest_size=8).digest(), "little")


def sequence_keys(keys: np.ndarray, length: int) -> np.ndarray:
    """Return [n - length + 1] uint64 hashes of every run of ``length`` words, from the hashes of the words."""
    total = keys[:max(0, len(keys) - length + 1)]
    for shift in range(1, length):
        total = total * np.uint64(0x9E3779B97F4A7C15) + keys[shift:len(total) + shift]
    return total


class Numbers(dict):
    """Numbers things in the order in which they are first seen."""

    def __init__(self) -> None:
        super().__init__()
        self._new: list = []

    def __missing__(self, key) -> int:
        self._new.append(key)
        self[key] = number = len(self)
        return number

    def of(self, keys: list) -> tuple[np.ndarray, list]:
        """Return ([n] int64 numbers, the keys that were new)."""
        self._new = []
        return np.fromiter(map(self.__getitem__, keys), np.int64, len(keys)), self._new


class _Growing:
    """A numpy vector with amortised appends."""

    def __init__(self, dtype):
        self._room, self._used = np.zeros(1024, dtype), 0

    @property
    def values(self) -> np.ndarray:
        return self._room[:self._used]

    def extend(self, values: Any) -> None:
        """Append values."""
        values = np.asarray(values, self._room.dtype)
        if self._used + len(values) > len(self._room):
            self._room = np.resize(self._room, 2 * (self._used + len(values)))
        self._room[self._used:self._used + len(values)] = values
        self._used += len(values)
