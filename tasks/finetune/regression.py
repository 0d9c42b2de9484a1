"""A score for one or two texts."""
from __future__ import annotations

from typing import Any

import numpy as np

from tasks.finetune import metrics
from tasks.finetune.features import Features
from tasks.finetune.kind import TextKind


class Regression(TextKind):
    """A number for each row, from the pooled [CLS], trained on the squared error."""

    name = "regression"
    loss = "squared"
    metrics = ("pearson", "spearman")
    dtype = np.float32
    outputs = 1
    percent = False

    def decode(self, rows: list, features: Features, outputs: list) -> list[float]:
        return np.asarray(outputs, np.float64).reshape(-1).tolist()

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        gold = np.array([row.label for row in rows])
        return {"pearson": metrics.pearson(gold, predictions), "spearman": metrics.spearman(gold, predictions)}

    def header(self) -> list[str]:
        return ["score"]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        return [f"{prediction:.6f}"]

    def confidence(self, prediction: Any) -> float:
        return abs(prediction)

    def right(self, row: Any, prediction: Any) -> bool:
        return abs(row.label - prediction) < 0.5

    def gold(self, row: Any) -> str:
        return f"{row.label:g}"
