"""Classes for one or two texts."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tasks.finetune import metrics
from tasks.finetune.features import Features
from tasks.finetune.kind import TextKind


class Choice(NamedTuple):
    """The chosen class and the probabilities [C] of all."""

    label: int
    probabilities: np.ndarray


class Label(NamedTuple):
    """The name of the chosen class, its probability, and the probabilities of all classes by name."""

    name: str
    probability: float
    probabilities: dict[str, float]


class Classification(TextKind):
    """A class for each row, from the pooled [CLS]."""

    name = "classification"
    metrics = ("accuracy", "f1", "matthews")

    def decode(self, rows: list, features: Features, outputs: list) -> list[Choice]:
        scores = metrics.softmax(np.asarray(outputs, np.float64))
        return [Choice(int(label), row) for label, row in zip(scores.argmax(1), scores)]

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        gold, chosen = _indices(rows, predictions)
        return {name: self._measure(name, gold, chosen) for name in Classification.metrics}

    def _measure(self, metric: str, gold: np.ndarray, chosen: np.ndarray) -> float:
        """One of the class's metrics from the labels of rows and of their answers."""
        if metric == "f1":
            return metrics.f1(gold, chosen, len(self.classes))
        return {"accuracy": metrics.accuracy, "matthews": metrics.matthews}[metric](gold, chosen)

    def resampled(self, rows: list, predictions: list, metric: str) -> Callable[[np.ndarray], float]:
        gold, answers = _indices(rows, predictions)
        return lambda chosen: self._measure(metric, gold[chosen], answers[chosen])

    def header(self) -> list[str]:
        return ["label"] + [f"p({name})" for name in self.classes.names]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        return [self.classes.names[prediction.label]] + [f"{value:.6f}" for value in prediction.probabilities]

    def class_pairs(self, rows: list, predictions: list) -> tuple[np.ndarray, np.ndarray] | None:
        return _indices(rows, predictions)

    def confidence(self, prediction: Any) -> float:
        return float(prediction.probabilities.max())

    def right(self, row: Any, prediction: Any) -> bool:
        return row.label == prediction.label

    def gold(self, row: Any) -> str:
        return self.classes.names[row.label]

    def answer(self, prediction: Choice) -> Label:
        names = self.classes.names
        by_name = dict(zip(names, prediction.probabilities.tolist()))
        return Label(names[prediction.label], by_name[names[prediction.label]], by_name)


def _indices(rows: list, predictions: list) -> tuple[np.ndarray, np.ndarray]:
    """The class indices of the labels of rows, and of their answers."""
    return np.array([row.label for row in rows]), np.array([prediction.label for prediction in predictions])
