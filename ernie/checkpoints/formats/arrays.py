"""Raw bytes to numpy arrays, checked before memory is taken; bfloat16, which numpy does not know, becomes float32."""
from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

DIMENSIONS = 32  # that numpy allows


def from_bytes(raw: bytes | memoryview, kind: str | np.dtype, shape: Iterable) -> np.ndarray:
    """Make an array over ``raw`` (not copied, except bfloat16).

    Args:
        kind: a numpy dtype or its code, or "bfloat16". shape: of the array.
    Raises:
        ValueError: the bytes are not exactly those of such an array.
    """
    shape = tuple(int(size) for size in shape)
    dtype = np.dtype("<u2" if kind == "bfloat16" else kind)
    if len(shape) > DIMENSIONS:
        raise ValueError(f"an array of {len(shape)} dimensions")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw)} bytes are not an array of shape {list(shape)} and type {kind}")
    array = np.frombuffer(raw, dtype).reshape(shape)
    if kind == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array


def as_float32(array: np.ndarray) -> np.ndarray:
    """Return the array as contiguous float32, whatever type it was stored in."""
    return np.ascontiguousarray(array, np.float32)


def plain(text: object, longest: int = 160) -> str:
    """Return text from a stranger's file in a form fit for one line of a message: printable and short."""
    return ascii(str(text)[:longest])[1:-1] + "..." * (len(str(text)) > longest)
