"""Counter-based randomness: a random number is a function of its address, never of what was drawn before.

So a batch can be made alone, by any worker, in any order, and always comes out the same.
"""
from __future__ import annotations

import hashlib

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SHIFT_A, SHIFT_B, SHIFT_C = np.uint64(30), np.uint64(27), np.uint64(31)
FACTOR_A, FACTOR_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
ROUNDS = 6  # of the Feistel network; even, so that both halves come back to their own width


def mix(keys: np.ndarray) -> np.ndarray:
    """Apply the finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection on uint64 that looks random."""
    keys = (keys ^ (keys >> SHIFT_A)) * FACTOR_A
    keys = (keys ^ (keys >> SHIFT_B)) * FACTOR_B
    return keys ^ (keys >> SHIFT_C)


def hash_keys(*parts) -> np.ndarray:
    """Hash each address to a uint64 key.

    Args:
        parts: integers, strings, or integer arrays that broadcast against each other; their order matters.
    Returns:
        uint64 array of the broadcast shape, [1] when every part is a scalar.
    """
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mix(key ^ mix(_as_keys(part) + np.uint64(GOLDEN)))
    return key


def hash_int(*parts) -> int:
    """Return ``hash_keys`` of one address as a plain integer."""
    return int(hash_keys(*parts)[0])


def uniform(keys: np.ndarray) -> np.ndarray:
    """Map [n] uint64 keys to [n] float64 in [0, 1)."""
    return (keys >> np.uint64(11)) * 2.0**-53


def permute(index: int | np.ndarray, size: int, key: int | np.ndarray) -> np.ndarray:
    """Return the place of ``index`` in the permutation of range(size) that ``key`` names; no table is kept.

    A Feistel network over the next power of two; what falls outside is sent through again until it is inside.

    Args:
        index: integers in range(size), scalar or [n]. key: integer, or [n] uint64 for a permutation each.
    Returns:
        [n] int64, a bijection on range(size) for every key.
    """
    if size < 1:
        raise ValueError("permute needs a size of at least 1")
    bits = max(2, (size - 1).bit_length())
    widths = np.uint64(bits // 2), np.uint64(bits - bits // 2)
    place = np.atleast_1d(np.asarray(index)).astype(np.uint64)
    key = np.broadcast_to(_as_keys(key), place.shape)
    todo = np.arange(len(place))
    while len(todo):
        place[todo] = _feistel(place[todo], key[todo], *widths)
        todo = todo[place[todo] >= size]
    return place.astype(np.int64)


def generator(seed: int, *names) -> np.random.Generator:
    """Return a numpy generator for everything below one address, for example ``generator(seed, "window", 7)``."""
    return np.random.Generator(np.random.Philox(key=[hash_int(seed, *names, 0), hash_int(seed, *names, 1)]))


def _feistel(place: np.ndarray, key: np.ndarray, low: np.uint64, high: np.uint64) -> np.ndarray:
    one = np.uint64(1)
    left, right = place >> high, place & ((one << high) - one)  # left has `low` bits, right has `high` bits
    for number in range(ROUNDS):
        width = low if number % 2 == 0 else high
        left, right = right, left ^ (mix(right ^ mix(key + np.uint64(number + 1))) & ((one << width) - one))
    return (left << high) | right


def _as_keys(part) -> np.ndarray:
    if isinstance(part, str):
        part = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")
    if isinstance(part, (int, np.integer)):
        return np.array([int(part) & MASK], np.uint64)
    return np.asarray(part).astype(np.uint64)
