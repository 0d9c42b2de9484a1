"""The encoder with the one head of a fine-tuning task, and its loss."""
from __future__ import annotations

from collections.abc import Collection

import paddle
from paddle import nn
from paddle.nn import functional as F

from ernie.model.config import ErnieConfig
from ernie.model.encoder import Encoder
from ernie.model.heads import DenseHead
from reader.utils.labels import IGNORE


class FinetuningModel(nn.Layer):
    """Encoder and head.

    Args:
        config: sizes.
        kind: an object with ``name``, ``level`` ("sequence" or "token"), ``loss`` (a key of ``LOSSES``) and
            ``outputs``, the width of the head.
    """

    def __init__(self, config: ErnieConfig, kind):
        super().__init__()
        self.name, self.level, self.loss = kind.name, kind.level, LOSSES[kind.loss]
        self.ernie = Encoder(config)
        self.heads = nn.LayerDict({kind.name: DenseHead(config, kind.outputs)})

    def unused(self, names: Collection[str]) -> list[paddle.Tensor]:
        """Parameters that the loss does not reach: the pooler's at token level. ``names`` holds the one task."""
        return [] if self.level == "sequence" else self.ernie.pooler.parameters()

    def outputs(self, token_ids, token_type_ids, position_ids, lengths, task_ids):
        """Scores in float32: [rows, outputs], or [rows, width, outputs] at token level."""
        hidden, pooled = self.ernie(token_ids, token_type_ids, position_ids, lengths, task_ids)
        return self.heads[self.name](pooled if self.level == "sequence" else hidden).astype("float32")

    def forward(self, token_ids, token_type_ids, position_ids, lengths, task_ids, targets) -> dict:
        """Name -> (sum of losses, right answers, targets): three scalars, as ``ernie.training.trainer`` takes them."""
        scores = self.outputs(token_ids, token_type_ids, position_ids, lengths, task_ids)
        return {name: self.loss(scores, lengths, *target) for name, target in targets.items()}


def cross_entropy(scores, lengths, positions, labels):
    """Classes of windows, or of tokens by their place in the flattened batch."""
    scores = paddle.gather(scores.reshape([-1, scores.shape[-1]]), positions)
    loss = F.cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORE)
    return loss, (scores.argmax(-1) == labels).sum(), (labels != IGNORE).sum()


def squared(scores, lengths, positions, labels):
    """Squared error of one number a row; NaN is no label. An answer is right when it is within 0.5 of the label."""
    scores, labels = paddle.gather(scores, positions).reshape([-1]), labels.astype("float32")
    known = paddle.logical_not(paddle.isnan(labels))
    labels = paddle.where(known, labels, paddle.zeros_like(labels))
    loss = (paddle.square(scores - labels) * known.astype("float32")).sum()
    right = paddle.logical_and((scores - labels).abs() < 0.5, known)
    return loss, right.sum(), known.sum()


def binary(scores, lengths, positions, labels):
    """Yes or no for each class: cross entropy [k, C] averaged over the classes; NaN is no label.

    An answer is right when every class of the row is.
    """
    scores, labels = paddle.gather(scores, positions), labels.astype("float32")
    known = paddle.logical_not(paddle.isnan(labels[:, 0]))
    labels = paddle.where(paddle.isnan(labels), paddle.zeros_like(labels), labels)
    losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(-1)
    right = paddle.logical_and(((scores > 0).astype("float32") == labels).all(-1), known)
    return (losses * known.astype("float32")).sum(), right.sum(), known.sum()


def choice(scores, lengths, positions, labels):
    """The right one of the choices of a row. positions: [k, most choices], -1 where a row has fewer."""
    absent = (positions < 0).astype("float32")
    flat = paddle.clip(positions, min=0).reshape([-1])
    scores = paddle.gather(scores, flat).reshape(positions.shape) - absent * 1e9
    loss = F.cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORE)
    return loss, (scores.argmax(-1) == labels).sum(), (labels != IGNORE).sum()


def span(scores, lengths, positions, labels):
    """Mean of the cross entropies of the first and the last token, over the tokens of the window."""
    padding = paddle.arange(scores.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)
    scores = scores - padding.astype("float32").unsqueeze(-1) * 1e9
    scores = paddle.gather(scores, positions).transpose([0, 2, 1])
    loss = F.cross_entropy(scores.reshape([-1, scores.shape[-1]]), labels.reshape([-1]), reduction="sum",
                           ignore_index=IGNORE) / 2
    right = (scores.argmax(-1) == labels).all(-1)
    return loss, right.sum(), (labels[:, 0] != IGNORE).sum()


LOSSES = {"cross_entropy": cross_entropy, "squared": squared, "binary": binary, "choice": choice, "span": span}
