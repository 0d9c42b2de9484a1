"""Base classes of the kinds of fine-tuning tasks."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reader.batches.examples import Targets
from reader.finetune.labels import Classes
from reader.finetune.rows import TextRow
from reader.text.tokenizer import Tokenizer
from reader.utils.labels import IGNORE
from tasks.finetune.features import Features, texts_to_features


class Kind:
    """From rows to features and targets, and from the model's outputs back to answers about rows.

    Class attributes:
        name: also the name of its head and loss. level: "sequence" (one output a part, from the pooled [CLS]) or
            "token". loss: a key of ``ernie.model.finetuning_model.LOSSES``. metrics: all that it can compute; the first
            one chooses the best checkpoint unless a recipe names others. together: the model inputs of a row must stay
            in one batch. percent: metrics and right answers are shares.
    Args:
        classes: ``reader.finetune.labels``.
    """

    name = ""
    level = "sequence"
    loss = "cross_entropy"
    metrics: tuple[str, ...] = ()
    together = False
    percent = True

    def __init__(self, classes: Classes):
        self.classes = classes

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for a part or token."""
        return len(self.classes)

    def features(self, rows: list, tokenizer: Tokenizer, max_length: int) -> Features:
        """Make model inputs and labels of rows."""
        raise NotImplementedError

    def targets(self, features: Features, chosen: np.ndarray, width: int) -> Targets:
        """Return the targets of the chosen parts in a batch of that width; parts without a label have none."""
        assert features.labels is not None  # a kind that labels tokens has targets of its own
        labels = features.labels[chosen]
        first = labels.reshape(len(labels), -1)[:, 0]
        known = np.flatnonzero(~np.isnan(first) if labels.dtype.kind == "f" else first != IGNORE)
        return Targets(known, labels[known])

    def decode(self, rows: list, features: Features, outputs: list) -> list:
        """Return a prediction for each row. outputs: for each part [outputs], or [tokens, outputs] at token level."""
        raise NotImplementedError

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        """Return every metric of the kind, by name, as fractions of 1; rows must have labels."""
        raise NotImplementedError

    def header(self) -> list[str]:
        """Return the columns of a file of predictions."""
        raise NotImplementedError

    def cells(self, row: Any, prediction: Any) -> list[str]:
        """Return the answer about a row, one value for each column of ``header``."""
        raise NotImplementedError

    def confidence(self, prediction: Any) -> float:
        """Return how sure the model is of an answer, 0 to 1; for regression, the absolute score."""
        raise NotImplementedError

    def right(self, row: Any, prediction: Any) -> bool:
        """Tell whether an answer about a labelled row is right."""
        raise NotImplementedError

    def gold(self, row: Any) -> str:
        """Return the label of a row as a person reads it."""
        raise NotImplementedError

    def answer(self, prediction: Any) -> Any:
        """Return a prediction of ``decode`` in words: names of classes instead of their numbers."""
        return prediction

    def without_texts(self, prediction: Any) -> Any:
        """Return what a metric needs of a prediction."""
        return prediction

    def class_pairs(self, rows: list, predictions: list) -> tuple[np.ndarray, np.ndarray] | None:
        """Return ([n] gold, [n] chosen) class indices for a confusion matrix; None for kinds without single classes."""
        return None

    def drawn(self, rows: list) -> tuple[int, str]:
        """Return how many independent parts the bootstrap draws from, and what one of them is called."""
        return len(rows), "row"

    def resampled(self, rows: list, predictions: list, metric: str) -> Callable[[np.ndarray], float]:
        """Return a function from [n] indices of what ``drawn`` counts to a metric over it, for the bootstrap."""
        return lambda chosen: self.score([rows[at] for at in chosen], [predictions[at] for at in chosen])[metric]

    @staticmethod
    def labelled(row: Any) -> bool:
        """Tell whether a row says what is right."""
        return row.label is not None


class TextKind(Kind):
    """One or two texts, one label."""

    dtype: type = np.int64

    def features(self, rows: list[TextRow], tokenizer: Tokenizer, max_length: int) -> Features:
        missing = np.nan if self.dtype is np.float32 else IGNORE
        labels: np.ndarray = np.array([missing if row.label is None else row.label for row in rows], self.dtype)
        return texts_to_features([row.texts for row in rows], tokenizer, max_length, labels)
