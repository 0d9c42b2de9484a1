"""Layers whose products are taken in bfloat16 on a CPU, forward and backward; everything else stays float32.

Weights, activations and gradients are float32; what enters a product is rounded, and its sums are float32. LayerNorm,
gelu and softmax are oneDNN's as well, in float32: Paddle's are slow. Used where ``cpu_kernels.half`` says so.
"""
from __future__ import annotations

from typing import Optional

import paddle

from ernie.model import onednn
from ernie.model.onednn import View, by_head, to_bfloat16, view

Tensor = paddle.Tensor


def _product(a: View, b: View, bias: Optional[Tensor] = None) -> Tensor:
    return onednn.matmul(a, b, view(paddle.empty([*a.dims[:-1], b.dims[-1]])), bias)


def sum_of_rows(gradient: Tensor) -> Tensor:
    """Sum the rows of [m, n] to [n], as a product with ones: several times faster than Paddle's reduction."""
    return paddle.matmul(paddle.ones([1, gradient.shape[0]], gradient.dtype), gradient).reshape([-1])


def wanted(*inputs: Tensor) -> tuple[bool, ...]:
    """Tell which inputs of a PyLayer take a gradient: for the others, frozen ones, it must return None."""
    return tuple(not tensor.stop_gradient for tensor in inputs)


class _Linear(paddle.autograd.PyLayer):
    """[m, k] @ [k, n] (or, ``transposed``, [n, k]) + [n]."""

    @staticmethod
    def forward(ctx, x, weight, bias, transposed):
        ctx.wanted = wanted(x, weight, bias)
        x, weight = to_bfloat16(x), to_bfloat16(weight)
        ctx.save_for_backward(x, weight)
        ctx.transposed = transposed
        return _product(view(x), view(weight).transposed if transposed else view(weight), bias)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = map(view, ctx.saved_tensor())
        rounded = view(to_bfloat16(gradient))
        left, right = (rounded, x) if ctx.transposed else (x, rounded)
        of_x, of_weight, of_bias = ctx.wanted
        return (_product(rounded, weight if ctx.transposed else weight.transposed) if of_x else None,
                _product(left.transposed, right) if of_weight else None, sum_of_rows(gradient) if of_bias else None)


def linear(x: Tensor, weight: Tensor, bias: Tensor, transposed: bool = False) -> Tensor:
    """Compute [..., k] @ [k, n] + [n]; ``transposed``: the weight is [n, k]."""
    width = bias.shape[0]
    return _Linear.apply(x.reshape([-1, x.shape[-1]]), weight, bias, transposed).reshape([*x.shape[:-1], width])


class _Gelu(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return onednn.gelu(x)

    @staticmethod
    def backward(ctx, gradient):
        return onednn.gelu_gradient(*ctx.saved_tensor(), gradient)


def gelu(x: Tensor) -> Tensor:
    """Compute the exact gelu."""
    return _Gelu.apply(x)


class _LayerNorm(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, scale, shift, epsilon):
        ctx.wanted = wanted(x, scale, shift)
        y, mean, variance = onednn.layer_norm(x, scale, shift, epsilon)
        ctx.save_for_backward(x, scale, shift, mean, variance)
        ctx.epsilon = epsilon
        return y

    @staticmethod
    def backward(ctx, gradient):
        gradients = onednn.layer_norm_gradient(*ctx.saved_tensor(), gradient, ctx.epsilon)
        return tuple(found if wanted else None for found, wanted in zip(gradients, ctx.wanted))


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
    """Compute LayerNorm over the last dimension."""
    return _LayerNorm.apply(x, scale, shift, epsilon)


class _Attention(paddle.autograd.PyLayer):
    """softmax(query key^T + bias) keep value over the heads of [r, L, heads, size], read and written in place."""

    @staticmethod
    def forward(ctx, query, key, value, bias, keep):
        ctx.wanted = wanted(query, key, value)
        query, key, value = map(to_bfloat16, (query, key, value))
        rows, length, count, _ = query.shape
        scores = _product(by_head(query), by_head(key).transposed)
        scores = onednn.softmax(scores + bias.expand([rows, count, length, length]))
        weights = to_bfloat16(scores if keep is None else scores * keep)
        ctx.save_for_backward(query, key, value, scores, weights, *(() if keep is None else (keep,)))
        return onednn.matmul(view(weights), by_head(value), by_head(paddle.empty(query.shape)))

    @staticmethod
    def backward(ctx, gradient):
        query, key, value, scores, weights, *keep = ctx.saved_tensor()
        rounded = to_bfloat16(gradient)
        of_weights = _product(by_head(rounded), by_head(value).transposed)
        of_scores = onednn.softmax_gradient(scores, of_weights * keep[0] if keep else of_weights)
        of_scores = view(to_bfloat16(of_scores))
        products = ((of_scores, by_head(key)), (of_scores.transposed, by_head(query)),
                    (view(weights).transposed, by_head(rounded)))
        results = [onednn.matmul(a, b, by_head(paddle.empty(query.shape))) if wanted else None
                   for (a, b), wanted in zip(products, ctx.wanted)]
        return (*results, None, *(None for _ in keep))


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, keep: Optional[Tensor]) -> Tensor:
    """Attend over [r, L, heads, size] tensors, the query scaled already; returns the same shape.

    Args:
        bias: added to the scores, [r, 1, 1, L]. keep: [r, heads, L, L], what dropout multiplies the weights with.
    """
    return _Attention.apply(query, key, value, bias, keep)
