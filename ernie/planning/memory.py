"""Memory of a training step on a card, counted from the sizes of the model, without running anything.

Counted is what Paddle's autograd keeps between the forward and the backward pass, operator by operator, for the layers
of ``ernie.model.encoder`` and ``ernie.model.heads``. ``docs/planning.md`` holds the count against measured peaks.

Letters: n tokens of a micro-batch, padding included; L width; H hidden, I intermediate size; V vocabulary.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from ernie.model.config import ErnieConfig
from ernie.model.recompute import ATTENTION, Choice, whole_layer

MASKED_SHARE = 0.15  # of the tokens that the masked LM predicts
GATES = {"lstm": 4, "gru": 3}
RESERVE = {"lstm": 7, "gru": 5}  # values that the recurrent kernel keeps for each token and hidden unit of a layer


@dataclass(frozen=True)
class Head:
    """Properties of a task that its memory depends on. ``classes`` is not used by a head over the vocabulary."""

    level: str             # "token" or "sequence"
    classes: int = 2
    vocabulary: bool = False


@dataclass(frozen=True)
class Bytes:
    """Bytes of one value of each kind in a precision."""

    weight: int
    gradient: int
    master: int
    product: int           # what matrix products and activation functions keep
    norm: int              # what LayerNorm keeps, and the residual stream
    softmax: int
    casts: int = 2         # kept copies of a layer's two inputs to products; in half precision q, k, v cast their own
    update: int = 0        # what the update adds to the gradients, when the activations are gone
    moments: int = 8       # the two of Adam, always float32
    mask: int = 1          # of a dropped value
    dropped: int = 0       # a value that dropout itself keeps
    activation: int = 0    # what an activation function keeps of its input; 0: as ``product``
    rounded: int = 0       # of a weight, the copy that its product keeps
    passing: int = 0       # a gradient inside the backward pass; 0: as ``product``


FLOAT32 = Bytes(weight=4, gradient=4, master=0, product=4, norm=4, softmax=4)
HALF_O1 = Bytes(weight=6, gradient=4, master=0, product=2, norm=4, softmax=4, casts=4)  # float32 and cached casts
# Under O2 Paddle looks embeddings up in float32 and keeps LayerNorm in it: by promotion the residual stream is float32.
HALF_O2 = Bytes(weight=2, gradient=2, master=4, product=2, norm=4, softmax=2, casts=4, update=2)
# the layers of ernie.model.cpu_kernels
CPU = Bytes(weight=4, gradient=4, master=0, product=4, norm=4, softmax=4, mask=4, dropped=4)
# those of ernie.model.bfloat16: products keep their rounded inputs, q, k and v each its own
CPU_BF16 = Bytes(weight=4, gradient=4, master=0, product=2, norm=4, softmax=4, casts=4, mask=4, dropped=4, activation=4,
                 rounded=2, passing=4)


def bytes_of(precision: str, level: str, device: str = "gpu") -> Bytes:
    """Return the bytes of ``precision`` fp32, fp16 or bf16 and ``level`` O1 or O2; "cpu" has fp32 and bf16 alone."""
    if device == "cpu":
        return CPU_BF16 if precision == "bf16" else CPU
    if precision == "fp32":
        return FLOAT32
    return HALF_O2 if level == "O2" else HALF_O1


def parameters(config: ErnieConfig, heads: list[Head]) -> dict[str, int]:
    """Count the trained values of each part of the model."""
    h, i = config.hidden_size, config.feed_forward_size
    rows = config.vocab_size + config.max_position_embeddings + config.type_vocab_size \
        + (config.task_type_vocab_size if config.use_task_id else 0)
    if config.encoder == "transformer":
        layer = 4 * (h * h + h) + 2 * h * i + i + h + 4 * h
    else:
        layer = 2 * GATES[config.encoder] * (h // 2) * (h + h // 2 + 2)
    classes = [head.classes for head in heads if not head.vocabulary]
    count = {"embeddings": rows * h + 2 * h, "encoder": config.num_hidden_layers * layer, "pooler": h * h + h,
             "task heads": sum(k * (h + 1) for k in classes)}
    if any(head.vocabulary for head in heads):
        count["masked-LM head"] = h * h + h + 2 * h + config.vocab_size
    return count


@dataclass(frozen=True)
class Memory:
    """Bytes on one card, by what they hold. ``peak`` is what is held at once at the worst moment of a step."""

    weights: float
    master: float
    moments: float
    gradients: float
    buffers: float         # copies of the gradients on their way to the other cards
    activations: float     # kept from the forward to the backward pass, all but the scores over the vocabulary
    scores: float          # over the vocabulary, and their softmax
    passing: float         # gradients inside the backward pass, and the layer that is recomputed
    update: float = 0      # float32 gradients in place of half-precision ones

    @property
    def state(self) -> float:
        """Return the bytes that do not depend on the micro-batch."""
        return self.weights + self.master + self.moments + self.gradients + self.buffers

    @property
    def peak(self) -> float:
        """Return the most bytes held at once, in the forward pass, the backward pass or the update.

        The backward pass of the layers begins after the scores are gone, the update after the activations are.
        """
        return self.state + max(self.activations + max(self.scores, self.passing), self.update)


def memory(config: ErnieConfig, heads: list[Head], rows: int, width: int, kind: Bytes = FLOAT32,
           recompute: Choice = False, cards: int = 1) -> Memory:
    """Count the bytes of a step on a card that trains micro-batches of ``rows`` x ``width`` tokens.

    Args:
        heads: of all tasks that train together. recompute: see ``ernie.model.recompute``.
        cards: with more than one, the gradients are copied into buffers to be summed.
    """
    count = sum(parameters(config, heads).values())
    n, h, e = rows * width, config.hidden_size, kind.product
    masked = math.ceil(n * MASKED_SHARE) if any(head.vocabulary for head in heads) else 0
    layer = layer_bytes(config, rows, width, kind)
    kept, again = config.num_hidden_layers * layer, 0.0  # of all layers; of the part that is computed again at once
    if config.encoder == "transformer" and recompute == ATTENTION:
        again = attention_bytes(config, rows, width, kind)
        kept -= config.num_hidden_layers * again
    elif config.encoder == "transformer":
        whole = sum(whole_layer(recompute, number) for number in range(1, config.num_hidden_layers + 1))
        kept, again = kept - whole * (layer - n * h * kind.norm), layer if whole else 0.0
    activations = (
        kept + count * kind.rounded
        + n * h * (kind.norm + kind.mask + kind.dropped)                  # embeddings: LayerNorm, dropout
        + n * (4 * 8 + 4)                                                 # ids, and the mask of padding
        + sum(_head_bytes(head, n if head.level == "token" else rows, h, kind) for head in heads)
        + masked * (_activated(config, h, kind) + h * (e + kind.norm)))     # masked-LM head: inputs of its operators
    logits = masked * config.vocab_size * 4
    scores = 2 * logits + (masked * config.vocab_size * e if e < 4 else 0)  # as computed, in float32, after softmax
    passing = _passing(config, n, kind) + (config.vocab_size * h * kind.gradient if masked else 0)
    passing += again
    if config.encoder != "transformer":
        passing += 2 * layer
    return Memory(count * kind.weight, count * kind.master, count * kind.moments, count * kind.gradient,
                  count * kind.gradient if cards > 1 else 0, activations, scores, passing, count * kind.update)


def layer_bytes(config: ErnieConfig, rows: int, width: int, kind: Bytes) -> float:
    """Count the bytes that one layer of the encoder keeps for its backward pass."""
    n, h = rows * width, config.hidden_size
    if config.encoder != "transformer":
        return n * h * RESERVE[config.encoder] * 4
    hidden = (4 + kind.casts) * kind.product + 2 * kind.norm + 2 * (kind.mask + kind.dropped)
    # inputs of the scores (q, k), of the context (v), of the output; of q k v and of the first dense layer; two
    # LayerNorms; two dropouts
    return n * h * hidden + n * _activated(config, config.feed_forward_size, kind) \
        + attention_bytes(config, rows, width, kind)


def attention_bytes(config: ErnieConfig, rows: int, width: int, kind: Bytes) -> float:
    """Count the bytes of that which attention keeps for each pair of tokens: softmax, dropout's mask and output."""
    return config.num_attention_heads * rows * width * width * (kind.softmax + kind.mask + kind.product)


def _activated(config: ErnieConfig, size: int, kind: Bytes) -> float:
    """An activation function's input and its output, which the next product keeps; relu and tanh need no input."""
    kept = 0 if config.hidden_act in ("relu", "tanh") else kind.activation or kind.product
    return size * (kind.product + kept)


def _head_bytes(head: Head, places: int, hidden: int, kind: Bytes) -> float:
    """Dropout and one dense layer over ``places`` gathered hidden states, and the labels' softmax."""
    if head.vocabulary:
        return 0
    return places * (hidden * (kind.mask + kind.dropped + kind.product) + 8 * head.classes + 16)


def _passing(config: ErnieConfig, n: int, kind: Bytes) -> float:
    """Gradients that are alive at once in the feed-forward part of a layer."""
    if config.encoder != "transformer":
        return 2 * n * config.hidden_size * kind.product
    return n * (config.feed_forward_size + 2 * config.hidden_size) * (kind.passing or kind.product)
