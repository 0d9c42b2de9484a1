"""One of several choices, each read with the text that it may follow."""
from __future__ import annotations

from typing import Any

import numpy as np

from reader.batches.examples import Targets
from reader.finetune.rows import ChoiceRow
from reader.text.tokenizer import Tokenizer
from reader.utils.labels import IGNORE
from tasks.finetune import metrics
from tasks.finetune.classification import Choice, Label
from tasks.finetune.features import Features, texts_to_features
from tasks.finetune.kind import Kind


class MultipleChoice(Kind):
    """[CLS] text [SEP] choice [SEP] for every choice of a row, one number from the pooled [CLS] each, and a softmax.

    A row of two texts (a passage and a question) reads [CLS] passage [SEP] question choice [SEP].
    """

    name = "multiple_choice"
    loss = "choice"
    metrics = ("accuracy",)
    outputs = 1
    together = True

    def features(self, rows: list[ChoiceRow], tokenizer: Tokenizer, max_length: int) -> Features:
        texts, owner, labels = [], [], []
        for number, row in enumerate(rows):
            for at, option in enumerate(row.choices):
                texts.append((row.texts[0], " ".join((*row.texts[1:], option))))
                owner.append(number)
                labels.append(IGNORE if row.label is None else int(at == row.label))
        features = texts_to_features(texts, tokenizer, max_length, np.array(labels, np.int64))
        features.row = np.array(owner, np.int64)
        return features

    def targets(self, features: Features, chosen: np.ndarray, width: int) -> Targets:
        """Return positions, [rows, most choices] in the batch, -1 where a row has fewer; labels: the right choice."""
        chosen = np.asarray(chosen, np.int64)
        assert features.labels is not None
        _, starts, counts = np.unique(features.row[chosen], return_index=True, return_counts=True)
        columns = np.arange(counts.max())
        positions = np.where(columns < counts[:, None], starts[:, None] + columns, -1)
        labels = features.labels[chosen][np.maximum(positions, 0)] * (positions >= 0)
        known = labels[:, 0] != IGNORE
        return Targets(positions[known], labels[known].argmax(1))

    def decode(self, rows: list, features: Features, outputs: list) -> list[Choice]:
        scores = np.asarray(outputs, np.float64).reshape(-1)
        ends = np.cumsum([len(row.choices) for row in rows])
        chances = [metrics.softmax(part) for part in np.split(scores, ends[:-1])]
        return [Choice(int(part.argmax()), part) for part in chances]

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        return {"accuracy": metrics.accuracy([row.label for row in rows], [choice.label for choice in predictions])}

    def header(self) -> list[str]:
        return ["choice", "text", "probability"]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        text = " ".join(row.choices[prediction.label].split())
        return [self._name(prediction.label), text, f"{prediction.probabilities[prediction.label]:.6f}"]

    def _name(self, number: int) -> str:
        return self.classes.names[number] if number < len(self.classes) else str(number)

    def confidence(self, prediction: Any) -> float:
        return float(prediction.probabilities.max())

    def right(self, row: Any, prediction: Any) -> bool:
        return row.label == prediction.label

    def gold(self, row: Any) -> str:
        return self._name(row.label)

    def answer(self, prediction: Choice) -> Label:
        by_name = {self._name(number): float(chance) for number, chance in enumerate(prediction.probabilities)}
        return Label(self._name(prediction.label), float(prediction.probabilities[prediction.label]), by_name)
