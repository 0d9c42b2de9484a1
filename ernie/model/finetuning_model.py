"""The encoder with the head of a fine-tuning task, or the heads of several, and their losses."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ernie.model.config import ErnieConfig
from ernie.model.encoder import Encoder
from ernie.model.heads import DenseHead
from reader.utils.labels import IGNORE


@dataclass(frozen=True)
class LossShaping:
    """Changes to the loss of training, and of training alone.

    Attributes:
        label_smoothing: share of the target that is spread over all classes. class_weights: of every class, 1 on
            average over the rows; empty: all the same. Both are for one class a row or token.
        r_drop: weight of the symmetric Kullback-Leibler divergence between two passes with different dropout (Liang et
            al. 2021); of scores, their squared difference.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    r_drop: float = 0.0

    @property
    def active(self) -> bool:
        """Tell whether any setting changes the loss."""
        return bool(self.label_smoothing or self.class_weights or self.r_drop)


class FinetuningModel(nn.Layer):
    """Encoder and head.

    Args:
        config: sizes.
        kind: an object with ``name``, ``level`` ("sequence" or "token"), ``loss`` (a key of ``LOSSES``) and
            ``outputs``, the width of the head.
        shaping: of the loss in training.
    """

    def __init__(self, config: ErnieConfig, kind: Any, shaping: LossShaping | None = None):
        super().__init__()
        self.name, self.level, self.loss = kind.name, kind.level, LOSSES[kind.loss]
        self.shaping, self.divergence = shaping or LossShaping(), DIVERGENCES[kind.loss]
        self.ernie = Encoder(config)
        self.heads = nn.LayerDict({kind.name: DenseHead(config, kind.outputs)})

    def unused(self, names: Collection[str]) -> list[paddle.Tensor]:
        """Return parameters that the loss does not reach: the pooler's at token level. ``names`` holds the one task."""
        return [] if self.level == "sequence" else self.ernie.pooler.parameters()

    def outputs(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor) -> Tensor:
        """Compute scores in float32: [rows, outputs], or [rows, width, outputs] at token level."""
        hidden, pooled = self.ernie(token_ids, token_type_ids, position_ids, lengths, task_ids)
        return self.heads[self.name](pooled if self.level == "sequence" else hidden).astype("float32")

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor, targets: dict) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return {name: (sum of losses, right answers, targets)}, three scalars, as the trainer takes them."""
        arguments = token_ids, token_type_ids, position_ids, lengths, task_ids
        scores = self.outputs(*arguments)
        if not self.training or not self.shaping.active:
            return {name: self.loss(scores, lengths, *target) for name, target in targets.items()}
        again = self.outputs(*arguments) if self.shaping.r_drop else None  # with other units dropped out
        return {name: self._shaped(scores, again, lengths, *target) for name, target in targets.items()}

    def _shaped(self, scores, again, lengths, positions, labels):
        loss, right, count = self._smoothed(scores, lengths, positions, labels)
        if again is None:
            return loss, right, count
        other, _, _ = self._smoothed(again, lengths, positions, labels)
        apart = self.divergence(scores, again, lengths, positions, labels)
        return (loss + other) / 2 + self.shaping.r_drop * apart, right, count

    def _smoothed(self, scores, lengths, positions, labels):
        if self.loss is cross_entropy and (self.shaping.label_smoothing or self.shaping.class_weights):
            return cross_entropy(scores, lengths, positions, labels, self.shaping)
        return self.loss(scores, lengths, positions, labels)


class JointModel(nn.Layer):
    """One encoder with a head for each of several fine-tuning tasks; a batch has targets of one task.

    Args:
        config: sizes. kinds: task -> its kind, see ``FinetuningModel``.
    """

    def __init__(self, config: ErnieConfig, kinds: Mapping[str, Any]):
        super().__init__()
        self.kinds = dict(kinds)
        self.ernie = Encoder(config)
        self.heads = nn.LayerDict({name: DenseHead(config, kind.outputs) for name, kind in kinds.items()})

    def unused(self, names: Collection[str]) -> list[paddle.Tensor]:
        """Return what the losses of the tasks in ``names`` do not reach: other heads, and perhaps the pooler."""
        layers = [head for name, head in self.heads.items() if name not in names]
        if all(self.kinds[name].level != "sequence" for name in names):
            layers.append(self.ernie.pooler)
        return [parameter for layer in layers for parameter in layer.parameters()]

    def scores(self, name: str, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
               task_ids: Tensor) -> Tensor:
        """Compute scores of a task in float32: [rows, outputs], or [rows, width, outputs] at token level."""
        hidden, pooled = self.ernie(token_ids, token_type_ids, position_ids, lengths, task_ids)
        return self.heads[name](pooled if self.kinds[name].level == "sequence" else hidden).astype("float32")

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor, targets: dict) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return {name: (sum of losses, right answers, targets)} of the one task in ``targets``."""
        ((name, target),) = targets.items()
        scores = self.scores(name, token_ids, token_type_ids, position_ids, lengths, task_ids)
        return {name: LOSSES[self.kinds[name].loss](scores, lengths, *target)}


class OneOfJoint:
    """A ``JointModel`` as its user of one task sees it: what ``FinetuningModel`` offers for measuring."""

    def __init__(self, joint: JointModel, name: str):
        self.joint, self.name, self.loss = joint, name, LOSSES[joint.kinds[name].loss]
        self.eval, self.train = joint.eval, joint.train

    @property
    def training(self) -> bool:
        """Tell whether dropout is on."""
        return bool(self.joint.training)

    def outputs(self, **inputs: Tensor) -> Tensor:
        """Compute scores of the task, see ``JointModel.scores``."""
        return self.joint.scores(self.name, **inputs)


def cross_entropy(scores: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor,
                  shaping: LossShaping | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Judge classes of parts, or of tokens by their place in the flattened batch."""
    scores = paddle.gather(scores.reshape([-1, scores.shape[-1]]), positions)
    right, count = (scores.argmax(-1) == labels).sum(), (labels != IGNORE).sum()
    if shaping is None:
        return F.cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORE), right, count
    known = (labels != IGNORE).astype("float32")
    safe = paddle.where(labels != IGNORE, labels, paddle.zeros_like(labels))
    chances = F.log_softmax(scores, -1)
    losses = -paddle.take_along_axis(chances, safe.unsqueeze(-1), -1).squeeze(-1)
    if shaping.label_smoothing:
        losses = (1 - shaping.label_smoothing) * losses - shaping.label_smoothing * chances.mean(-1)
    if shaping.class_weights:
        losses = losses * paddle.gather(paddle.to_tensor(shaping.class_weights, "float32"), safe)
    return (losses * known).sum(), right, count


def squared(scores: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge one number a row by its squared error; NaN is no label. An answer within 0.5 of the label is right."""
    scores, labels = paddle.gather(scores, positions).reshape([-1]), labels.astype("float32")
    known = paddle.logical_not(paddle.isnan(labels))
    labels = paddle.where(known, labels, paddle.zeros_like(labels))
    loss = (paddle.square(scores - labels) * known.astype("float32")).sum()
    right = paddle.logical_and((scores - labels).abs() < 0.5, known)
    return loss, right.sum(), known.sum()


def binary(scores: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge yes or no for each class: cross entropy [k, C] averaged over the classes; NaN is no label.

    An answer is right when every class of the row is.
    """
    scores, labels = paddle.gather(scores, positions), labels.astype("float32")
    known = paddle.logical_not(paddle.isnan(labels[:, 0]))
    labels = paddle.where(paddle.isnan(labels), paddle.zeros_like(labels), labels)
    losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(-1)
    right = paddle.logical_and(((scores > 0).astype("float32") == labels).all(-1), known)
    return (losses * known.astype("float32")).sum(), right.sum(), known.sum()


def choice(scores: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score the right one of the choices of a row; return (loss sum, correct, targets).

    Args:
        positions: [k, most choices], -1 where a row has fewer. labels: [k], index of the right choice.
    """
    absent = (positions < 0).astype("float32")
    flat = paddle.clip(positions, min=0).reshape([-1])
    scores = paddle.gather(scores, flat).reshape(positions.shape) - absent * 1e9
    loss = F.cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORE)
    return loss, (scores.argmax(-1) == labels).sum(), (labels != IGNORE).sum()


def span(scores: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge a span by the mean cross entropy of its first and its last token, over the tokens of the part."""
    padding = paddle.arange(scores.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)
    scores = scores - padding.astype("float32").unsqueeze(-1) * 1e9
    scores = paddle.gather(scores, positions).transpose([0, 2, 1])
    loss = F.cross_entropy(scores.reshape([-1, scores.shape[-1]]), labels.reshape([-1]), reduction="sum",
                           ignore_index=IGNORE) / 2
    right = (scores.argmax(-1) == labels).all(-1)
    return loss, right.sum(), (labels[:, 0] != IGNORE).sum()


LOSSES = {"cross_entropy": cross_entropy, "squared": squared, "binary": binary, "choice": choice, "span": span}


def _apart(first, second):
    """[...] symmetric Kullback-Leibler divergence of two sets of scores along the last axis."""
    first, second = F.log_softmax(first, -1), F.log_softmax(second, -1)
    return ((first.exp() - second.exp()) * (first - second)).sum(-1) / 2


def classes_apart(first: Tensor, second: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Sum over the targets of the divergence of two passes over classes."""
    known = (labels != IGNORE).astype("float32")
    first, second = (paddle.gather(each.reshape([-1, each.shape[-1]]), positions) for each in (first, second))
    return (_apart(first, second) * known).sum()


def numbers_apart(first: Tensor, second: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Sum over the rows of the squared difference of two passes."""
    known = paddle.logical_not(paddle.isnan(labels)).astype("float32")
    first, second = (paddle.gather(each, positions).reshape([-1]) for each in (first, second))
    return (paddle.square(first - second) * known).sum()


def sets_apart(first: Tensor, second: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Sum over the rows of the mean divergence of yes and no of every class."""
    known = paddle.logical_not(paddle.isnan(labels[:, 0])).astype("float32")
    first, second = paddle.gather(first, positions), paddle.gather(second, positions)
    return ((((F.sigmoid(first) - F.sigmoid(second)) * (first - second)) / 2).mean(-1) * known).sum()


def choices_apart(first: Tensor, second: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Sum over the rows of the divergence over their choices."""
    known, absent = (labels != IGNORE).astype("float32"), (positions < 0).astype("float32") * 1e9
    flat = paddle.clip(positions, min=0).reshape([-1])
    first, second = (paddle.gather(each, flat).reshape(positions.shape) - absent for each in (first, second))
    return (_apart(first, second) * known).sum()


def spans_apart(first: Tensor, second: Tensor, lengths: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Sum over the parts of the mean divergence of first and last token."""
    known = (labels[:, 0] != IGNORE).astype("float32")
    padding = (paddle.arange(first.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)).astype("float32").unsqueeze(-1) * 1e9
    first, second = (paddle.gather(each - padding, positions).transpose([0, 2, 1]) for each in (first, second))
    return (_apart(first, second).mean(-1) * known).sum()


DIVERGENCES = {"cross_entropy": classes_apart, "squared": numbers_apart, "binary": sets_apart, "choice": choices_apart,
               "span": spans_apart}
