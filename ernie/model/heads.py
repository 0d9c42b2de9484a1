"""Prediction heads: the masked-LM head, tied to the word embedding, and the dense classifier of every other task."""
from __future__ import annotations

from paddle import Tensor, nn

from ernie.model.config import ErnieConfig
from ernie.model.cpu_kernels import Dropout, Linear, tied_linear
from ernie.model.encoder import ACTIVATIONS, dense, layer_norm, normal
from ernie.model.fused import FusableVocabulary, padded_vocabulary


class MaskedLMHead(FusableVocabulary):
    """Hidden states of chosen positions to scores over the vocabulary: dense, activation, LayerNorm, tied product."""

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.transform = dense(config, config.hidden_size, config.hidden_size)
        self.layer_norm = layer_norm(config)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.decoder_bias = self.create_parameter([config.vocab_size], is_bias=True)

    def forward(self, hidden: Tensor, word_embedding: Tensor) -> Tensor:
        """Turn [k, H] hidden states and the [V, H] word embedding into [k, V] scores; V is padded to ``multiple``."""
        hidden = self.layer_norm(self.activation(self.transform(hidden)))
        rows, bias = padded_vocabulary(word_embedding, self.decoder_bias, self.multiple)
        return tied_linear(hidden, rows, bias)


class PredictionHeads(nn.Layer):
    """Holds the masked-LM head under the name that released checkpoints give it, ``cls.predictions``."""

    def __init__(self, config: ErnieConfig):
        super().__init__()
        self.predictions = MaskedLMHead(config)


class DenseHead(Linear):
    """Dropout and one dense layer over tokens or over the pooled output: [..., H] to [..., C]."""

    def __init__(self, config: ErnieConfig, classes: int, dropout: float | None = None):
        super().__init__(config.hidden_size, classes, weight_attr=normal(config))
        self.dropout = Dropout(config.hidden_dropout_prob if dropout is None else dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return Linear.forward(self, self.dropout(hidden))  # no super(): Paddle 2.6 cannot trace it
