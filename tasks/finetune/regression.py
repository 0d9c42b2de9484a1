"""A score for one or two texts."""
from __future__ import annotations

import numpy as np

from tasks.finetune import metrics
from tasks.finetune.kind import TextKind


class Regression(TextKind):
    """A number for each row, from the pooled [CLS], trained on the squared error."""

    name = "regression"
    loss = "squared"
    metrics = ("pearson", "spearman")
    dtype = np.float32
    outputs = 1
    percent = False

    def decode(self, rows, features, outputs) -> list[float]:
        return np.asarray(outputs, np.float64).reshape(-1).tolist()

    def score(self, rows, predictions):
        gold = np.array([row.label for row in rows])
        return {"pearson": metrics.pearson(gold, predictions), "spearman": metrics.spearman(gold, predictions)}

    def header(self):
        return ["score"]

    def cells(self, row, prediction):
        return [f"{prediction:.6f}"]

    def confidence(self, prediction):
        return abs(prediction)

    def right(self, row, prediction):
        return abs(row.label - prediction) < 0.5

    def gold(self, row):
        return f"{row.label:g}"
