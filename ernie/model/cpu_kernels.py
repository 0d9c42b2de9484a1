"""The same mathematics for Paddle's CPU kernels, some of which are slow where others are not.

On other devices, and in a static graph, these are Paddle's own layers. Measured by ``benchmarks/step.py``.
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Optional, cast

import numpy as np
import paddle
from paddle import Tensor, nn

from ernie.model import bfloat16, eager

if TYPE_CHECKING:  # Paddle 2.6 has no types
    from paddle._typing import DTypeLike

# Transposes as copies: the strided views that are the default make the kernels behind them copy value by value.
if paddle.get_device() == "cpu":
    paddle.set_flags({"FLAGS_use_stride_kernel": False})


def eager_on_cpu() -> bool:
    """Tell whether Paddle computes step by step on a CPU, where these formulations pay."""
    return paddle.in_dynamic_mode() and paddle.get_device() == "cpu"


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor with a copy of a contiguous array.

    ``paddle.to_tensor`` of Paddle 3.3 leaks a hundred bytes a call, which a long run makes forty times a step.
    """
    if not array.size or not eager_on_cpu():
        return paddle.to_tensor(array)
    tensor = paddle.empty(array.shape, cast("DTypeLike", str(array.dtype)))
    tensor.get_tensor().set(array, paddle.CPUPlace())
    return tensor


_half = False  # whether products are taken in bfloat16


@contextlib.contextmanager
def bfloat16_products(active: bool = True) -> Iterator[None]:
    """Take the products of forward passes inside, and of their backward passes, in bfloat16 (eager, on a CPU)."""
    global _half
    before, _half = _half, active
    try:
        yield
    finally:
        _half = before


def half() -> bool:
    """Return whether products are taken in bfloat16 here and now."""
    return _half and eager_on_cpu()


def as_now(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with the products of this moment, for a call that comes later (recomputation)."""
    if not _half:
        return function

    def later(*arguments):
        with bfloat16_products():
            return function(*arguments)
    return later


class _AddBias(paddle.autograd.PyLayer):
    """Adds a bias to rows; its gradient is a product with ones, several times faster than the kernel's reduction."""

    @staticmethod
    def forward(ctx, rows, bias):
        ctx.wanted = bfloat16.wanted(rows, bias)
        return rows + bias

    @staticmethod
    def backward(ctx, gradient):
        of_rows, of_bias = ctx.wanted
        return (gradient if of_rows else None,
                bfloat16.sum_of_rows(gradient.reshape([-1, gradient.shape[-1]])) if of_bias else None)


def add_bias(rows: Tensor, bias: Tensor) -> Tensor:
    """Add [n] to every row of [..., n]."""
    return _AddBias.apply(rows, bias) if eager_on_cpu() else rows + bias


class Linear(nn.Linear):
    """A dense layer: [..., inputs] to [..., outputs]."""

    def forward(self, x: Tensor) -> Tensor:
        if half():
            return bfloat16.linear(x, self.weight, self.bias)
        if eager_on_cpu():
            return add_bias(paddle.matmul(x, self.weight), self.bias)
        return eager.linear(x, self.weight, self.bias)


def tied_linear(x: Tensor, embedding: Tensor, bias: Tensor) -> Tensor:
    """Compute [..., k] times the transpose of [n, k], + [n]."""
    if half():
        return bfloat16.linear(x, embedding, bias, transposed=True)
    return add_bias(paddle.matmul(x, embedding, transpose_y=True), bias)


def gelu(x: Tensor) -> Tensor:
    """Compute the exact gelu, by the error function."""
    return bfloat16.gelu(x) if half() else nn.functional.gelu(x)


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the last dimension."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if half():
            return bfloat16.layer_norm(x, self.weight, self.bias, self._epsilon)
        return eager.layer_norm(x, self.weight, self.bias, self._epsilon)


class Dropout(nn.Layer):
    """Dropout whose mask is drawn by numpy, 16 bits a value; the seed comes from Paddle's generator."""

    LEVELS = 1 << 16

    def __init__(self, rate: float):
        super().__init__()
        self.rate, self.dropped = rate, round(rate * self.LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return x
        if not eager_on_cpu():
            return eager.dropout(x, self.rate)
        return x * self._draw(x.shape).astype(x.dtype)

    def mask(self, shape: list[int]) -> Optional[Tensor]:
        """Draw what values are multiplied with, float32; None where nothing is dropped."""
        if not self.training or not self.dropped:
            return None
        return self._draw(shape)

    def _draw(self, shape: list[int]) -> Tensor:
        generator = np.random.Generator(np.random.SFC64(int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0])))
        bits = generator.integers(0, self.LEVELS, shape, dtype=np.uint16)
        keep = (bits >= self.dropped) * np.float32(self.LEVELS / (self.LEVELS - self.dropped))
        return from_numpy(keep)


def expanded(mask: Tensor, scores: Tensor) -> Tensor:
    """Return a [r, 1, 1, L] mask as large as the [r, heads, L, L] scores: adding equals is several times faster."""
    return mask.expand(scores.shape) if eager_on_cpu() else mask
