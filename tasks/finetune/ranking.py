"""Candidates of a question, ranked by the probability of class 1."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.finetune import metrics
from tasks.finetune.classification import Classification


class Ranking(Classification):
    """Two classes, right and wrong candidate, trained as classification; measured question by question."""

    name = "ranking"
    metrics = ("mrr", "f1", "accuracy")

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        return {**super().score(rows, predictions), "mrr": float(self._ranks(rows, predictions).mean())}

    @staticmethod
    def _ranks(rows: list, predictions: list) -> np.ndarray:
        scores = np.array([prediction.probabilities[1] for prediction in predictions])
        return metrics.reciprocal_ranks([row.group for row in rows], scores, np.array([row.label for row in rows]))

    def drawn(self, rows: list) -> tuple[int, str]:
        """Return the number of questions: a rank is one among its candidates, and these are not independent."""
        return len({row.group for row in rows}), "question"

    def resampled(self, rows: list, predictions: list, metric: str) -> Callable[[np.ndarray], float]:
        if metric == "mrr":
            ranks = self._ranks(rows, predictions)
            return lambda chosen: float(ranks[chosen].mean())
        _, group, sizes = np.unique([row.group for row in rows], return_inverse=True, return_counts=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
        gold, answers = np.array([(row.label, answer.label) for row, answer in zip(rows, predictions)]).T
        measure = {"accuracy": metrics.accuracy, "f1": metrics.f1}[metric]

        def over(chosen: np.ndarray) -> float:
            places = np.concatenate([members[at] for at in chosen])
            return measure(gold[places], answers[places])
        return over
