"""What a kind of fine-tuning task declares."""
from __future__ import annotations

import numpy as np

from reader.batches.examples import Targets
from reader.finetune.rows import TextRow
from reader.utils.labels import IGNORE
from tasks.finetune.features import Features, texts_to_features


class Kind:
    """From rows to features and targets, and from the model's outputs back to answers about rows.

    Class attributes:
        name: also the name of its head and loss. level: "sequence" (one output a window, from the pooled [CLS]) or
            "token". loss: "cross_entropy", "squared" or "span". metrics: all that it can compute; the first one chooses
            the best checkpoint unless a recipe names others.
    Args:
        classes: ``reader.finetune.labels``.
    """

    name = ""
    level = "sequence"
    loss = "cross_entropy"
    metrics: tuple = ()

    def __init__(self, classes):
        self.classes = classes

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for a window or token."""
        return len(self.classes)

    def features(self, rows: list, tokenizer, max_length: int) -> Features:
        """Model inputs and labels of rows."""
        raise NotImplementedError

    def targets(self, features: Features, chosen: np.ndarray, width: int) -> Targets:
        """Of the chosen windows in a batch of that width; windows without a label have none."""
        labels = features.labels[chosen]
        known = np.flatnonzero(labels.reshape(len(labels), -1)[:, 0] != IGNORE)
        return Targets(known, labels[known])

    def decode(self, rows: list, features: Features, outputs: list) -> list:
        """One prediction for each row. outputs: for each window [outputs], or [tokens, outputs] at token level."""
        raise NotImplementedError

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        """Every metric of the kind, by name, as fractions of 1; rows must have labels."""
        raise NotImplementedError

    def header(self) -> list[str]:
        """Columns of a file of predictions."""
        raise NotImplementedError

    def cells(self, row, prediction) -> list[str]:
        """One line of it."""
        raise NotImplementedError

    @staticmethod
    def labelled(row) -> bool:
        """Whether a row says what is right."""
        return row.label is not None


class TextKind(Kind):
    """One or two texts, one label."""

    dtype = np.int64

    def features(self, rows: list[TextRow], tokenizer, max_length: int) -> Features:
        labels = np.array([IGNORE if row.label is None else row.label for row in rows], self.dtype)
        return texts_to_features(rows, tokenizer, max_length, labels)
