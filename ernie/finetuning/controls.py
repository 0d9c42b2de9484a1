"""Training controls beyond the paper's recipe: rates by layer, frozen layers, shaped losses, adversarial steps."""
from __future__ import annotations

import re

import numpy as np
import paddle

from ernie.finetuning.recipe import Recipe
from ernie.model.finetuning_model import LossShaping
from ernie.model.pretraining_model import to_tensors
from ernie.training.trainer import Trainer
from reader.utils.errors import InputError
from reader.utils.text import counted
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind

LAYER = re.compile(r"ernie\.encoder\.layers\.(\d+)\.")


def loss_shaping(recipe: Recipe, kind: Kind, features: Features) -> LossShaping:
    """Return the shaping that a recipe asks for; count ``balanced`` weights in the training data.

    Raises:
        InputError: weights or smoothing of a kind without single classes, or not a weight for every class.
    """
    single = kind.loss == "cross_entropy"
    if (recipe.label_smoothing or recipe.class_weights) and not single:
        raise InputError(f"label_smoothing and class_weights are for one class a row or token, not {kind.name}")
    return LossShaping(recipe.label_smoothing, class_weights(recipe.class_weights, kind, features) if single else (),
                       recipe.r_drop)


def class_weights(text: str, kind: Kind, features: Features) -> tuple[float, ...]:
    """Return the weight of every class, 1 on average over the training targets; empty where ``text`` is."""
    if not text:
        return ()
    count = len(kind.classes)
    labels = features.labels if features.labels is not None else features.tokens["label"]
    seen = np.bincount(labels[labels >= 0].reshape(-1), minlength=count).astype(np.float64)
    if text == "balanced":
        weights = 1 / np.maximum(seen, 1)
    else:
        try:
            weights = np.array([float(part) for part in text.split(",")])
        except ValueError:
            weights = np.zeros(0)
        if len(weights) != count or (weights < 0).any() or not weights.any() or not np.isfinite(weights).all():
            raise InputError(f"class_weights {text!r}: expected balanced, or {count} numbers separated by commas for "
                             f"{', '.join(kind.classes.names)}")
    mean = float((weights * seen).sum() / max(1.0, seen.sum()))
    return tuple((weights / (mean or 1.0)).tolist())


def depth(name: str, layers: int) -> int:
    """Count the layers above a parameter: 0 for the head and the pooler, 1 for the last layer of the encoder."""
    found = LAYER.match(name)
    if found:
        return layers - int(found[1])
    return layers + 1 if name.startswith("ernie.embeddings.") else 0


def check_controls(recipe: Recipe, kind: Kind, features: Features, layers: int, ranks: int) -> None:
    """Check what a recipe asks for beyond the paper's, before a run is written down that could not begin.

    Args:
        features: of the training data. layers: of the encoder. ranks: how many processes train.
    Raises:
        InputError: see ``loss_shaping``; more layers are to be frozen than there are; an adversarial step that several
            ranks, or frozen embeddings, do not allow.
    """
    loss_shaping(recipe, kind, features)
    if recipe.frozen_layers > layers:
        raise InputError(f"frozen_layers {recipe.frozen_layers}: the encoder has {counted(layers, 'layer')}")
    if recipe.fgm and ranks > 1:
        raise InputError("fgm is for one process: the gradient at the moved embeddings is not shared between ranks")
    if recipe.fgm and recipe.frozen_layers:
        raise InputError(f"fgm steps in the word embeddings, which frozen_layers {recipe.frozen_layers} keeps as they "
                         "are")


def apply_controls(model: paddle.nn.Layer, recipe: Recipe, layers: int) -> None:
    """Freeze layers and give every parameter its share of the learning rate."""
    for name, parameter in model.named_parameters():
        level = depth(name, layers)
        if recipe.layer_decay < 1:
            parameter.optimize_attr["learning_rate"] = recipe.layer_decay ** level
        if recipe.frozen_layers and level > layers - recipe.frozen_layers:
            parameter.stop_gradient = True


class Fgm:
    """Adds the gradient at word embeddings that were moved by ``epsilon`` along theirs (Miyato et al. 2017)."""

    def __init__(self, epsilon: float):
        self.epsilon = epsilon

    def __call__(self, trainer: Trainer, batches: list, counts: np.ndarray) -> None:
        table = trainer.updater.layer.ernie.embeddings.word_embeddings.weight
        if table.grad is None:
            return
        norm = float(paddle.sqrt(paddle.sum(paddle.square(table.grad.astype("float32")))).numpy().item())
        if not np.isfinite(norm) or not norm:
            return
        with paddle.no_grad():
            kept = table.clone()
            table.set_value(kept + table.grad * (self.epsilon / norm))
        for batch in batches:
            paddle.seed(trainer.dropout_seed(batch.place))
            with trainer.updater.precision.autocast():
                losses = trainer.updater.model(**to_tensors(batch))
            trainer.updater.backward(trainer.total_loss(losses, counts, batch.factors))
        with paddle.no_grad():
            table.set_value(kept)
