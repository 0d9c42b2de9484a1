"""Hashes of documents that case, punctuation and white space do not change, and the split into train and dev by
them."""
from __future__ import annotations

import hashlib
import re

import numpy as np

_WORDS = re.compile("[\u3400-\u9fff\uf900-\ufaff]|[^\\W_\u3400-\u9fff\uf900-\ufaff]+")


def words_of(paragraphs: list[str]) -> list[str]:
    """Return the words of a document, lower-cased; a Chinese character is a word."""
    return _WORDS.findall("\n".join(paragraphs).lower())


def exact_key(words: list[str]) -> int:
    """Return a 64-bit hash of the words, the same in every process."""
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest(), "little")


def is_dev(key: int | np.ndarray, share: float) -> bool | np.ndarray:
    """Tell whether a document is dev data, by the hash of its words: copies fall to the same side."""
    return key < np.uint64(min(share * 2.0**64, 2.0**64 - 2**12))
