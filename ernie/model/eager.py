"""Paddle's operators without the Python around them, which takes as long as the operator where a tensor is small.

That is time of the host, which a GPU waits for; the numbers are the same, bit by bit. While a static graph is made
these are Paddle's own functions. Measured by ``benchmarks/host_time.py``.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import paddle
from paddle import Tensor, _C_ops
from paddle.nn import functional as F

OPERATORS = cast(Any, _C_ops)  # Paddle's stubs know few of them


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute [..., inputs] times [inputs, outputs], + [outputs]."""
    return (_linear_operator() if paddle.in_dynamic_mode() else F.linear)(x, weight, bias)


@cache
def _linear_operator() -> Callable[..., Tensor]:
    """Return what ``F.linear`` calls; that of Paddle 3.3 asks two flags first, which takes as long as the product."""
    def set_to(flag: str, default: bool) -> bool:
        try:
            return bool(paddle.get_flags(flag)[flag])
        except ValueError:  # a Paddle that does not know it
            return default

    if set_to("FLAGS_use_legacy_linear", True) or not paddle.is_compiled_with_cuda():
        return OPERATORS.linear
    return F.linear  # a newer operator, which was not tried: there is none for a CPU


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Compute LayerNorm over the last dimension."""
    if paddle.in_dynamic_mode():
        return OPERATORS.layer_norm(x, weight, bias, epsilon, x.ndim - 1)
    return F.layer_norm(x, x.shape[-1], weight, bias, epsilon)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Drop a share of the values and scale the others up."""
    if not paddle.in_dynamic_mode():
        return F.dropout(x, rate)
    found = OPERATORS.dropout(x, None, rate, False, "upscale_in_train", 0, False)
    return found[0] if isinstance(found, tuple) else found  # Paddle 2.6 gives the mask as well


def split_heads(x: Tensor, heads: int, size: int) -> Tensor:
    """Reshape [r, L, heads x size] to [r, L, heads, size]."""
    shape = [0, 0, heads, size]
    return OPERATORS.reshape(x, shape) if paddle.in_dynamic_mode() else x.reshape(shape)


def swap(x: Tensor) -> Tensor:
    """Transpose [r, A, B, size] to [r, B, A, size]."""
    order = [0, 2, 1, 3]
    return OPERATORS.transpose(x, order) if paddle.in_dynamic_mode() else x.transpose(order)
