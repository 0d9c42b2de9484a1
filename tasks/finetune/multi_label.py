"""Any number of classes for one or two texts."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from reader.finetune.labels import ClassSets
from reader.text.tokenizer import Tokenizer
from tasks.finetune import metrics
from tasks.finetune.features import Features, texts_to_features
from tasks.finetune.kind import Kind


class LabelSet(NamedTuple):
    """The chosen classes, ascending, and the probability [C] of each."""

    labels: tuple
    probabilities: np.ndarray


class Labels(NamedTuple):
    """The names of the chosen classes, and the probabilities of all classes by name."""

    names: tuple[str, ...]
    probabilities: dict[str, float]


class MultiLabel(Kind):
    """Yes or no for every class, each by itself, from the pooled [CLS].

    Args:
        threshold: a class is chosen when its probability is at least this.
    """

    name = "multi_label"
    loss = "binary"
    metrics = ("micro_f1", "macro_f1", "exact")

    classes: ClassSets

    def __init__(self, classes: ClassSets, *, threshold: float = 0.5):
        super().__init__(classes)
        self.threshold = threshold

    def features(self, rows: list, tokenizer: Tokenizer, max_length: int) -> Features:
        labels = np.zeros((len(rows), len(self.classes)), np.float32)
        for at, row in enumerate(rows):
            if row.label is None:
                labels[at] = np.nan
            else:
                labels[at, list(row.label)] = 1
        return texts_to_features([row.texts for row in rows], tokenizer, max_length, labels)

    def decode(self, rows: list, features: Features, outputs: list) -> list[LabelSet]:
        chances = 1 / (1 + np.exp(-np.asarray(outputs, np.float64)))
        return [LabelSet(tuple(np.flatnonzero(row >= self.threshold).tolist()), row) for row in chances]

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        return metrics.label_sets(self._table([row.label for row in rows]),
                                  self._table([prediction.labels for prediction in predictions]))

    def _table(self, chosen: list) -> np.ndarray:
        """[rows, C] of 0 and 1."""
        found = np.zeros((len(chosen), len(self.classes)), np.int64)
        for at, labels in enumerate(chosen):
            found[at, list(labels)] = 1
        return found

    def _names(self, labels) -> str:
        return self.classes.separator.join(self.classes.names[label] for label in labels)

    def header(self) -> list[str]:
        return ["labels"] + [f"p({name})" for name in self.classes.names]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        return [self._names(prediction.labels)] + [f"{value:.6f}" for value in prediction.probabilities]

    def confidence(self, prediction: Any) -> float:
        return float(np.maximum(prediction.probabilities, 1 - prediction.probabilities).min())

    def right(self, row: Any, prediction: Any) -> bool:
        return tuple(row.label) == tuple(prediction.labels)

    def gold(self, row: Any) -> str:
        return self._names(row.label)

    def answer(self, prediction: LabelSet) -> Labels:
        names = self.classes.names
        return Labels(tuple(names[label] for label in prediction.labels),
                      dict(zip(names, prediction.probabilities.tolist())))
