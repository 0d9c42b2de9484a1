"""The shared text encoder: embeddings, a Transformer or a recurrent network, and the pooler.

Parameter names are PaddleNLP's, so that weights travel without renaming.

Shapes: r rows, L width of the padded batch, H hidden size.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ernie.model import bfloat16, cpu_kernels, eager
from ernie.model.config import ErnieConfig
from ernie.model.cpu_kernels import Dropout, LayerNorm, Linear, expanded
from ernie.model.fused import (
    MASK_BIAS,
    FusableAttention,
    FusableResidual,
    FusableWidth,
    joined_products,
    padded_width,
)
from ernie.model.recompute import ATTENTION, Choice, whole_layer

ACTIVATIONS = {"gelu": cpu_kernels.gelu, "gelu_new": lambda x: F.gelu(x, approximate=True), "relu": F.relu,
               "tanh": paddle.tanh}


def normal(config: ErnieConfig) -> Any:
    """Return the initialiser of every weight matrix: truncated normal."""
    return paddle.ParamAttr(initializer=nn.initializer.TruncatedNormal(std=config.initializer_range))


def dense(config: ErnieConfig, inputs: int, outputs: int) -> Linear:
    """Build a linear layer initialised as in the paper; bias zero."""
    return Linear(inputs, outputs, weight_attr=normal(config))


def layer_norm(config: ErnieConfig) -> LayerNorm:
    """Make a LayerNorm over the hidden size, with the configuration's epsilon."""
    return LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)


class Embeddings(nn.Layer):
    """Sum of the embeddings of token, sentence, position and task, normalised.

    ``forward`` takes ids, [r, L] int64, as ``Encoder`` does, and returns [r, L, H].
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()

        def table(rows: int) -> nn.Embedding:
            return nn.Embedding(rows, config.hidden_size, weight_attr=normal(config))

        self.word_embeddings = table(config.vocab_size)
        self.position_embeddings = table(config.max_position_embeddings)
        self.token_type_embeddings = table(config.type_vocab_size)
        self.task_type_embeddings = table(config.task_type_vocab_size) if config.use_task_id else None
        self.layer_norm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor,
                task_ids: Tensor | None) -> Tensor:
        summed = self.word_embeddings(token_ids) + self.token_type_embeddings(token_type_ids) \
            + self.position_embeddings(position_ids)
        if self.task_type_embeddings is not None:
            summed = summed + self.task_type_embeddings(task_ids)
        return self.dropout(self.layer_norm(summed))


class SelfAttention(FusableAttention):
    """Multi-head scaled dot-product attention over the tokens of a row.

    ``forward`` takes hidden [r, L, H] and the mask of ``padding_bias``, [r, 1, 1, L], and returns [r, L, H]. The forms
    of attention take query, key and value [r, L, heads, size], and the mask, and return [r, L, heads, size].
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.size = config.hidden_size // config.num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            dense(config, config.hidden_size, config.hidden_size) for _ in range(4))
        self.dropout = Dropout(config.attention_probs_dropout_prob)
        self.recompute = False

    # Conditions on one line, and methods: the tracer of Paddle cannot follow a comprehension beside an ``if``.
    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self._one_product(hidden) if self.joined else self._three_products(hidden)
        attend = self._fused if self.fused is not None else self._bfloat16 if cpu_kernels.half() else self._plain
        attend = again(attend) if self.recompute and self.training else attend
        context = attend(query, key, value, mask)
        return self.out_proj(context.reshape([0, 0, self.num_heads * self.size]))

    def _three_products(self, hidden: Tensor) -> list[Tensor]:
        return [eager.split_heads(projection(hidden), self.num_heads, self.size)
                for projection in (self.q_proj, self.k_proj, self.v_proj)]

    def _one_product(self, hidden: Tensor) -> list[Tensor]:
        projections = self.q_proj, self.k_proj, self.v_proj
        parts = joined_products(hidden, [p.weight for p in projections], [p.bias for p in projections])
        return [part.reshape([0, 0, self.num_heads, self.size]) for part in parts]

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        return cast(Callable[..., Tensor], self.fused)(query, key, value, mask, self.dropout.rate, self.training)

    def _bfloat16(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        rows, width = query.shape[:2]
        keep = self.dropout.mask([rows, self.num_heads, width, width])
        return bfloat16.attention(query * self.size ** -0.5, key, value, mask, keep)

    def _plain(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        query, key, value = map(eager.swap, (query, key, value))
        # The query is scaled, not the product: the same number, and float16 does not overflow.
        scores = paddle.matmul(query * self.size ** -0.5, key, transpose_y=True)
        weights = self.dropout(F.softmax(scores + expanded(mask, scores).astype(scores.dtype)))
        return eager.swap(paddle.matmul(weights, value))


class TransformerLayer(FusableResidual):
    """Self-attention and feed-forward, each with dropout, a residual connection and LayerNorm after it (post-LN).

    ``forward`` takes hidden [r, L, H] and the mask [r, 1, 1, L], and returns [r, L, H].
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.linear1 = dense(config, config.hidden_size, config.feed_forward_size)
        self.linear2 = dense(config, config.feed_forward_size, config.hidden_size)
        self.norm1, self.norm2 = layer_norm(config), layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        add = self._jointly if self.joint is not None else self._one_by_one
        hidden = add(hidden, self.self_attn(hidden, mask), self.norm1)
        return add(hidden, self.linear2(self.activation(self.linear1(hidden))), self.norm2)

    def _one_by_one(self, hidden: Tensor, change: Tensor, norm: LayerNorm) -> Tensor:
        return norm(hidden + self.dropout(change))

    def _jointly(self, hidden: Tensor, change: Tensor, norm: LayerNorm) -> Tensor:
        joint = cast(Callable[..., Tensor], self.joint)
        return joint(change, hidden, norm.weight, norm.bias, self.dropout.rate, norm._epsilon, self.training)


def padding_bias(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return what is added to attention scores: [r, 1, 1, L], 0 for a token and MASK_BIAS for padding.

    Counted in integers: bfloat16 cannot count beyond 256.
    """
    column = paddle.cumsum(paddle.ones_like(hidden[:, :, 0], dtype="int64"), axis=1)  # 1 .. L, of any width
    padding = (column > lengths.unsqueeze(1)).unsqueeze([1, 2])
    return padding.astype(hidden.dtype) * MASK_BIAS


def again(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return ``function``, which keeps its inputs alone and is computed a second time in the backward pass."""
    from paddle.distributed.fleet.utils import recompute
    return partial(recompute, cpu_kernels.as_now(function))


class Transformer(nn.Layer):
    """The stack of layers. ``recompute`` trades a second forward pass for the memory of its activations.

    ``forward`` takes hidden [r, L, H] and lengths [r] int64, tokens that are not padding, and returns [r, L, H].
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.layers = nn.LayerList([TransformerLayer(config) for _ in range(config.num_hidden_layers)])
        self.recompute: Choice = False

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        mask = padding_bias(hidden, lengths)
        for number, layer in enumerate(self.layers, 1):
            if self.training and whole_layer(self.recompute, number):
                hidden = again(layer)(hidden, mask)
            else:
                hidden = layer(hidden, mask)
        return hidden


class Recurrent(nn.Layer):
    """A bidirectional LSTM or GRU in the place of the Transformer (section 3.1: the encoder is replaceable).

    ``forward`` takes and returns what that of ``Transformer`` does.
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[config.encoder]
        self.rnn = kind(config.hidden_size, config.hidden_size // 2, config.num_hidden_layers, direction="bidirect",
                        dropout=config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        return self.rnn(hidden, sequence_length=lengths)[0]


class Pooler(nn.Layer):
    """tanh of a dense layer over the first token, [CLS]: [r, L, H] to [r, H]."""

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.dense = dense(config, config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return paddle.tanh(self.dense(hidden[:, 0]))


class Encoder(FusableWidth):
    """Part of the model that all tasks share: embeddings, encoder layers and pooler.

    ``forward`` takes token_ids, token_type_ids, position_ids: [r, L] int64; lengths: [r] int64, tokens that are not
    padding; task_ids: [r, 1] or [r, L] int64, not looked at without a task embedding.
    It returns hidden [r, L, H] and pooled [r, H].
    """

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = (Transformer if config.encoder == "transformer" else Recurrent)(config)
        self.pooler = Pooler(config)

    def recompute(self, choice: Choice) -> None:
        """Choose what the backward pass computes again; a recurrent encoder keeps everything."""
        if isinstance(self.encoder, Transformer):
            self.encoder.recompute = choice
            for layer in self.encoder.layers:
                layer.self_attn.recompute = choice == ATTENTION

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor | None) -> tuple[Tensor, Tensor]:
        run = self._in_multiples if self.width_multiple > 1 else self._as_it_is
        hidden = run(token_ids, token_type_ids, position_ids, lengths, task_ids)
        return hidden, self.pooler(hidden)

    def _as_it_is(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                  task_ids: Tensor | None) -> Tensor:
        return self.encoder(self.embeddings(token_ids, token_type_ids, position_ids, task_ids), lengths)

    def _in_multiples(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                      task_ids: Tensor | None) -> Tensor:
        ids = [token_ids, token_type_ids, position_ids, *([] if task_ids is None else [task_ids])]
        ids = padded_width(ids, self.width_multiple)
        hidden = self._as_it_is(ids[0], ids[1], ids[2], lengths, None if task_ids is None else ids[3])
        return hidden[:, :token_ids.shape[1]]
