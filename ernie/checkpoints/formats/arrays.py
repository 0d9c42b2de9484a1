"""Raw bytes to numpy arrays, checked before memory is taken; bfloat16, which numpy does not know, becomes float32."""
from __future__ import annotations

import math

import numpy as np


def from_bytes(raw, kind, shape: tuple) -> np.ndarray:
    """An array over ``raw`` (not copied, except bfloat16).

    Args:
        kind: a numpy dtype or its code, or "bfloat16". shape: of the array.
    Raises:
        ValueError: the bytes are not exactly those of such an array.
    """
    shape = tuple(int(size) for size in shape)
    dtype = np.dtype("<u2" if kind == "bfloat16" else kind)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw)} bytes are not an array of shape {list(shape)} and type {kind}")
    array = np.frombuffer(raw, dtype).reshape(shape)
    if kind == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array


def as_float32(array: np.ndarray) -> np.ndarray:
    """The array as contiguous float32: what models compute with, however it was stored."""
    return np.ascontiguousarray(array, np.float32)


def plain(text, longest: int = 160) -> str:
    """What a stranger's file says, fit for one line of a message: printable and short."""
    return ascii(str(text)[:longest])[1:-1] + "..." * (len(str(text)) > longest)
