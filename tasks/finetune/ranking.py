"""Candidates of a question, ranked by the probability of class 1."""
from __future__ import annotations

import numpy as np

from tasks.finetune import metrics
from tasks.finetune.classification import Classification


class Ranking(Classification):
    """Two classes, right and wrong candidate, trained as classification; measured question by question."""

    name = "ranking"
    metrics = ("mrr", "f1", "accuracy")

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        scores = np.array([prediction.probabilities[1] for prediction in predictions])
        return {**super().score(rows, predictions),
                "mrr": metrics.mrr([row.group for row in rows], scores, np.array([row.label for row in rows]))}
