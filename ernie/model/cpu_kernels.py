"""The same mathematics for Paddle's CPU kernels, some of which are slow where others are not.

On other devices, and in a static graph, these are Paddle's own layers. Measured by ``benchmarks/step.py``.
"""
from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn

# Transposes as copies: the strided views that are the default make the kernels behind them copy value by value.
if paddle.get_device() == "cpu":
    paddle.set_flags({"FLAGS_use_stride_kernel": False})


def eager_on_cpu() -> bool:
    """Whether Paddle computes step by step on a CPU: where these formulations pay."""
    return paddle.in_dynamic_mode() and paddle.get_device() == "cpu"


class _AddBias(paddle.autograd.PyLayer):
    """Adds a bias to rows; its gradient is a product with ones, several times faster than the kernel's reduction."""

    @staticmethod
    def forward(ctx, rows, bias):
        return rows + bias

    @staticmethod
    def backward(ctx, gradient):
        flat = gradient.reshape([-1, gradient.shape[-1]])
        return gradient, paddle.matmul(paddle.ones([1, flat.shape[0]], flat.dtype), flat).reshape([-1])


def add_bias(rows: Tensor, bias: Tensor) -> Tensor:
    """[..., n] + [n]."""
    return _AddBias.apply(rows, bias) if eager_on_cpu() else rows + bias


class Linear(nn.Linear):
    """A dense layer: [..., inputs] to [..., outputs]."""

    def forward(self, x: Tensor) -> Tensor:
        if eager_on_cpu():
            return add_bias(paddle.matmul(x, self.weight), self.bias)
        return nn.functional.linear(x, self.weight, self.bias)


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
            return nn.functional.dropout(x, self.rate)
        generator = np.random.Generator(np.random.SFC64(paddle.randint(0, 2**31 - 1, [1]).item()))
        bits = generator.integers(0, self.LEVELS, x.shape, dtype=np.uint16)
        keep = (bits >= self.dropped) * np.float32(self.LEVELS / (self.LEVELS - self.dropped))
        return x * paddle.to_tensor(keep).astype(x.dtype)


def expanded(mask: Tensor, scores: Tensor) -> Tensor:
    """Return a [r, 1, 1, L] mask as large as the [r, heads, L, L] scores: adding equals is several times faster."""
    return mask.expand(scores.shape) if eager_on_cpu() else mask
