"""Fused forms of parts of the model, for GPUs: each is tried against the plain form before it is used.

Nobody has run them on a card yet. So at the start of training every form computes once, forward and backward, on random
data beside the plain form; after an exception or a difference the plain one stays, and one line says so. ``kernels`` of
a curriculum or recipe forces the choice: "plain", or "fused" (whatever passes the trial, on a CPU too); "auto" tries on
a GPU only. Weights, their names and checkpoints are the same in every form.

Shapes: r rows, L width, A heads, D size of a head, H = A D, k chosen positions, V vocabulary.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

MASK_BIAS = -1e4  # added to scores that must not count: its exponential is zero in float32, and float16 can hold it
FloatType = Literal["float32", "float16", "bfloat16"]
# largest difference, of values of about 1
CLOSE: dict[FloatType, float] = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
MULTIPLE = 8  # tensor cores need sizes of this multiple


class FusableAttention(nn.Layer):
    """Attention whose form can be chosen: ``fused`` replaces scores, softmax and context, ``joined`` three products."""

    fused: Callable[..., Tensor] | None = None
    joined = False


class FusableResidual(nn.Layer):
    """A layer whose ``joint`` replaces dropout, residual connection and LayerNorm in one."""

    joint: Callable[..., Tensor] | None = None


class FusableWidth(nn.Layer):
    """An encoder that pads its rows to a multiple of ``width_multiple`` tokens inside."""

    width_multiple = 1


class FusableVocabulary(nn.Layer):
    """A product with the vocabulary, which may be padded to a ``multiple`` of rows."""

    multiple = 1


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, training: bool) -> Tensor:
    """Attend by Paddle's choice, on Ampere and later flash attention. [r, L, A, D] to the same."""
    mask = mask.astype(query.dtype).expand([query.shape[0], query.shape[2], query.shape[1], query.shape[1]])
    return F.scaled_dot_product_attention(query, key, value, mask, dropout if training else 0.0, training=training)


def memory_efficient(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float,
                     training: bool) -> Tensor:
    """Attend by CUTLASS, which V100 has: the scores are never in memory. [r, L, A, D] to the same."""
    from paddle.incubate.nn.memory_efficient_attention import memory_efficient_attention
    mask = mask.astype(query.dtype).expand([query.shape[0], query.shape[2], query.shape[1], query.shape[1]])
    return memory_efficient_attention(query, key, value, mask, dropout if training else 0.0, training=training)


def residual_norm(change: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, dropout: float, epsilon: float,
                  training: bool) -> Tensor:
    """Normalise ``residual`` + dropout of ``change`` by one operator of Paddle for GPUs. [r, L, H] to the same.

    In half precision the sum is, too: without this form it is float32, by promotion.
    """
    from paddle.incubate.nn.functional import fused_bias_dropout_residual_layer_norm
    with paddle.amp.auto_cast(enable=False):  # the weights of LayerNorm stay float32
        return fused_bias_dropout_residual_layer_norm(
            change, residual.astype(change.dtype), None, weight, bias, dropout_rate=dropout, ln_epsilon=epsilon,
            training=training)


def choose(model: nn.Layer, kernels: str, dtype: FloatType) -> list[str]:
    """Set the forms of a model's layers. Returns what was chosen, a line each; nothing where nothing was tried.

    Args:
        kernels: "auto", "plain" or "fused". dtype: of products: "float32", "float16" or "bfloat16".
    """
    layers = model.sublayers()
    attentions = [layer for layer in layers if isinstance(layer, FusableAttention)]
    heads = [layer for layer in layers if isinstance(layer, FusableVocabulary)]
    residuals = [layer for layer in layers if isinstance(layer, FusableResidual)]
    tried = kernels == "fused" or kernels == "auto" and paddle.device.get_device().startswith("gpu")
    if not tried:
        return []
    lines = []
    if attentions:
        size = attentions[0].num_heads, attentions[0].size
        for form in (sdpa, memory_efficient):
            found = trial(partial(attention_trial, form, *size, dtype), dtype)
            lines.append(f"kernels: attention by {form.__name__}: {found or 'used'}")
            if not found:
                for layer in attentions:
                    layer.fused = form
                break
        found = trial(lambda: qkv_trial(*size, dtype), dtype)
        lines.append(f"kernels: one product for query, key and value: {found or 'used'}")
        for layer in attentions:
            layer.joined = not found
        for encoder in layers:  # before attention sees them: CUTLASS needs aligned rows of the mask
            if isinstance(encoder, FusableWidth):
                encoder.width_multiple = MULTIPLE
                lines.append(f"kernels: rows padded to a multiple of {MULTIPLE} tokens: used")
    if residuals:
        found = trial(lambda: residual_trial(residual_norm, attentions[0].num_heads * attentions[0].size, dtype), dtype)
        lines.append(f"kernels: dropout, residual and LayerNorm in one: {found or 'used'}")
        for residual in residuals:
            residual.joint = None if found else residual_norm
    for head in heads:
        found = trial(lambda: vocabulary_trial(dtype), dtype)
        lines.append(f"kernels: vocabulary padded to a multiple of {MULTIPLE}: {found or 'used'}")
        head.multiple = 1 if found else MULTIPLE
    return lines


def pad_rows(model: nn.Layer, multiple: int) -> None:
    """Let the encoder pad its rows to a multiple of so many tokens, so that a device sees few widths."""
    for layer in model.sublayers():
        if isinstance(layer, FusableWidth):
            layer.width_multiple = multiple


def trial(compute: Callable[[], list[tuple[Tensor, Tensor]]], dtype: FloatType) -> str:
    """Return why a form cannot be used, or nothing. ``compute`` returns pairs of tensors that must agree."""
    try:
        pairs = [(one.astype("float32").numpy(), other.astype("float32").numpy()) for one, other in compute()]
    except Exception as error:  # noqa: BLE001  (whatever a missing kernel raises, the plain form goes on)
        words = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        return "not used, " + next((line for line in words if line.startswith("(")), words[-1])[:120]
    apart = np.max([np.abs(one - other).max() for one, other in pairs])  # Python's max would pass over a NaN
    if not apart <= CLOSE[dtype]:  # a NaN is not close
        return f"not used, differs from the plain form by {apart:.2g}"
    return ""


def attention_trial(form: Callable[..., Tensor], num_heads: int, size: int,
                    dtype: FloatType) -> list[tuple[Tensor, Tensor]]:
    """Return the outputs and gradients of ``form`` and of the plain form, for rows of different lengths."""
    drawn = _random([3, 4, 24, num_heads, size])
    padding = np.arange(24) >= np.array([24, 3, 17, 16])[:, None]
    mask = paddle.to_tensor((padding * MASK_BIAS).astype(np.float32)[:, None, None])
    results = []
    forms: list[tuple[Callable[..., Tensor], FloatType]] = [(plain_attention, "float32"), (form, dtype)]
    for chosen, kind in forms:
        leaves = [_leaf(part, dtype).detach().astype(kind) for part in drawn]
        for leaf in leaves:
            leaf.stop_gradient = False
        found = chosen(*leaves, mask, 0.0, True)
        (found.astype("float32") * paddle.to_tensor(drawn[0])).mean().backward()
        results.append([found, *(_gradient(leaf) * found.size for leaf in leaves)])
    form(*leaves, mask, 0.1, True).astype("float32").mean().backward()  # with dropout, whose values are its own
    return [*zip(*results), *_finite(_gradient(leaf) for leaf in leaves)]


def residual_trial(form: Callable[..., Tensor], hidden: int, dtype: FloatType) -> list[tuple[Tensor, Tensor]]:
    """Return the outputs and gradients of ``form`` and of the plain form."""
    drawn, results = _random([4, 2, 8, hidden]), []
    weight, bias = _leaf(1 + drawn[2, 0, 0] / 10, "float32"), _leaf(drawn[2, 0, 1] / 10, "float32")
    forms: list[tuple[Callable[..., Tensor], FloatType]] = [(plain_residual, "float32"), (form, dtype)]
    for chosen, kind in forms:
        leaves = [_leaf(part, dtype).astype(kind).detach() for part in drawn[:2]]
        for leaf in leaves:
            leaf.stop_gradient = False
        weight.clear_gradient(False)
        bias.clear_gradient(False)
        found = chosen(*leaves, weight, bias, 0.0, 1e-5, True)
        (found.astype("float32") * paddle.to_tensor(drawn[3])).mean().backward()
        results.append([found, *(_gradient(leaf) * found.size for leaf in leaves),
                        *(_gradient(leaf).clone() * hidden for leaf in (weight, bias))])
    form(*leaves, weight, bias, 0.1, 1e-5, True).astype("float32").square().mean().backward()
    return [*zip(*results), *_finite(_gradient(leaf) for leaf in leaves)]


def plain_residual(change: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, dropout: float, epsilon: float,
                   training: bool) -> Tensor:
    """Compute dropout, sum and LayerNorm as a layer does without a fused form. [r, L, H] to the same."""
    summed = residual + F.dropout(change, dropout, training=training)
    return F.layer_norm(summed, summed.shape[-1], weight, bias, epsilon)


def _finite(tensors: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Pairs that agree when every value is finite."""
    return [(tensor * 0, tensor.astype("float32") * 0) for tensor in tensors]


def padded_width(columns: list[Tensor], multiple: int) -> list[Tensor]:
    """Return [r, L] integer tensors with columns of 0 added up to a multiple; [r, 1] stay, they hold for a row."""
    width = columns[0].shape[1]
    missing = -width % multiple
    return [paddle.concat([column, paddle.zeros([column.shape[0], missing], column.dtype)], axis=1)
            if missing and column.shape[1] == width else column for column in columns]


def plain_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, training: bool) -> Tensor:
    """Compute scores, softmax and context as ``SelfAttention`` does without a fused form. [r, L, A, D] to the same."""
    query, key, value = (part.transpose([0, 2, 1, 3]) for part in (query, key, value))
    scores = paddle.matmul(query * query.shape[-1] ** -0.5, key, transpose_y=True) + mask.astype(query.dtype)
    return paddle.matmul(F.dropout(F.softmax(scores), dropout, training=training), value).transpose([0, 2, 1, 3])


def qkv_trial(num_heads: int, size: int, dtype: FloatType) -> list[tuple[Tensor, Tensor]]:
    """Return outputs and gradients of three products, beside those of one."""
    hidden = num_heads * size
    x, weights = _random([8, hidden]), _random([3, hidden, hidden]) / hidden ** 0.5
    leaves = [_leaf(weight, dtype) for weight in weights]
    biases = [paddle.zeros([hidden], leaves[0].dtype) for _ in leaves]
    inputs = paddle.to_tensor(x).astype(dtype)
    plain = [paddle.matmul(inputs, leaf) for leaf in leaves]
    paddle.add_n([part.astype("float32").mean() for part in plain]).backward()
    expected = [_gradient(leaf) * hidden for leaf in leaves]
    for leaf in leaves:
        leaf.clear_gradient(False)
    joined = joined_products(inputs, leaves, biases)
    paddle.add_n([part.astype("float32").mean() for part in joined]).backward()
    return [*zip(plain, joined), *zip(expected, [_gradient(leaf) * hidden for leaf in leaves])]


def joined_products(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    """Return ``x`` times each weight plus its bias, as one product."""
    return paddle.split(paddle.matmul(x, paddle.concat(weights, axis=1)) + paddle.concat(biases), len(weights), axis=-1)


def vocabulary_trial(dtype: FloatType) -> list[tuple[Tensor, Tensor]]:
    """Return losses and gradients over a vocabulary of 30 words, beside those over 32 of which two do not exist."""
    hidden, table = _random([6, 16]), _random([30, 16])
    labels, results = paddle.to_tensor(np.arange(6) * 5), []
    for multiple in (1, MULTIPLE):
        weight, bias = _leaf(table, dtype), _leaf(np.zeros(30, np.float32), dtype)
        rows, padded = padded_vocabulary(weight, bias, multiple)
        scores = paddle.matmul(paddle.to_tensor(hidden).astype(dtype), rows, transpose_y=True) + padded
        loss = F.cross_entropy(scores.astype("float32"), labels)
        loss.backward()
        results.append([loss, _gradient(weight), _gradient(bias)])
    return list(zip(*results))


def padded_vocabulary(weight: Tensor, bias: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Return [V, H] and [V] with rows added up to a multiple; their scores are so low that their probability is 0."""
    missing = -weight.shape[0] % multiple
    if not missing:
        return weight, bias
    return (paddle.concat([weight, paddle.zeros([missing, weight.shape[1]], weight.dtype)]),
            paddle.concat([bias, paddle.full([missing], MASK_BIAS, bias.dtype)]))


def _gradient(leaf: Tensor) -> Tensor:
    if leaf.grad is None:
        raise RuntimeError("no gradient reaches an input")
    return leaf.grad


def _random(shape: list[int]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _leaf(array: np.ndarray, dtype: FloatType) -> Tensor:
    leaf = paddle.to_tensor(array).astype(dtype).detach()
    leaf.stop_gradient = False
    return leaf
