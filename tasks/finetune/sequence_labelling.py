"""Labels for the words (characters in Chinese) of a sentence."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from reader.batches.examples import Targets
from reader.finetune.labels import Classes, chunk_label, suffixed
from reader.finetune.rows import TagRow
from reader.finetune.tagged import SEPARATOR
from reader.text.tokenizer import Tokenizer
from reader.utils.labels import IGNORE
from tasks.finetune import metrics
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind

OTHER_CHUNK_PREFIXES = {"M": "I", "L": "E", "U": "S"}  # BMES and BILOU to what seqeval reads


class Tags(NamedTuple):
    """The label of every word of a sentence, and its probability."""

    labels: list
    probabilities: list


class SequenceLabelling(Kind):
    """A label for each word, read off its first piece.

    A sentence that is longer than the model reads is cut at a word into several parts, so that every word gets its
    label, in training and after it.
    """

    name = "sequence_labelling"
    level = "token"
    metrics = ("entity_f1", "entity_precision", "entity_recall", "accuracy")

    def features(self, rows: list[TagRow], tokenizer: Tokenizer, max_length: int) -> Features:
        known = list(dict.fromkeys(word for row in rows for word in row.words))
        # a word that the tokenizer drops (a space, a control character) still needs a place for its label
        pieces = {word: found.ids[:max_length - 2].tolist() or [tokenizer.unk_id]
                  for word, found in zip(known, tokenizer.encode_batch(known))}
        ids, words, labels, owner = [], [], [], []
        for number, row in enumerate(rows):
            for start, stop in _parts([len(pieces[word]) for word in row.words], max_length - 2):
                part, places = [tokenizer.cls_id], [-1]
                for at in range(start, stop):
                    found = pieces[row.words[at]]
                    part += found
                    places += [at] + [-1] * (len(found) - 1)
                ids.append(part + [tokenizer.sep_id])
                words.append(places + [-1])
                labels.append([IGNORE if at < 0 or row.labels is None else row.labels[at] for at in words[-1]])
                owner.append(number)
        return Features.build(ids, [len(part) for part in ids], owner, word=words, label=labels)

    def targets(self, features: Features, chosen: np.ndarray, width: int) -> Targets:
        place, inside, column = features.flat(np.asarray(chosen))
        labels = features.tokens["label"][place].astype(np.int64)
        known = labels != IGNORE
        return Targets((inside * width + column)[known], labels[known])

    def decode(self, rows: list, features: Features, outputs: list) -> list[Tags]:
        labels = [np.zeros(len(row.words), np.int64) for row in rows]
        chances = [np.ones(len(row.words)) for row in rows]
        for part, scores in enumerate(outputs):
            words, owner = features.values(part, "word"), features.row[part]
            here = words[words >= 0]
            found = metrics.softmax(np.asarray(scores, np.float64)[words >= 0]) if len(here) else np.zeros((0, 1))
            labels[owner][here], chances[owner][here] = found.argmax(1), found.max(1)
        return [Tags(row.tolist(), chance.tolist()) for row, chance in zip(labels, chances)]

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        gold = [self.chunks(row.labels) for row in rows]
        return self.entity_scores(gold, [self.chunks(prediction.labels) for prediction in predictions])

    @staticmethod
    def entity_scores(gold: list, found: list) -> dict[str, float]:
        """Return the metrics from lists of ``chunks``."""
        return metrics.entities(gold, found)

    def __init__(self, classes: Classes):
        super().__init__(classes)
        behind = suffixed(classes.names)
        names = [chunk_label(name, behind) for name in classes.names]
        self.chunk_names = [OTHER_CHUNK_PREFIXES.get(name[0], name[0]) + name[1:] for name in names]

    def chunks(self, labels: Iterable[int]) -> list[str]:
        """Label names as X-TYPE with X one of B, I, E, S; or O."""
        return [self.chunk_names[label] for label in labels]

    @staticmethod
    def labelled(row: Any) -> bool:
        return row.labels is not None

    def class_pairs(self, rows: list, predictions: list) -> tuple[np.ndarray, np.ndarray] | None:
        return (np.concatenate([row.labels for row in rows]).astype(np.int64),
                np.concatenate([prediction.labels for prediction in predictions]).astype(np.int64))

    def resampled(self, rows: list, predictions: list, metric: str) -> Callable[[np.ndarray], float]:
        if metric == "accuracy":
            return super().resampled(rows, predictions, metric)
        counts = np.array([metrics.entity_counts(self.chunks(row.labels), self.chunks(prediction.labels))
                           for row, prediction in zip(rows, predictions)], np.float64)
        place = ("entity_precision", "entity_recall", "entity_f1").index(metric)
        return lambda chosen: metrics.entity_figures(*counts[chosen].sum(0))[place]

    def right(self, row: Any, prediction: Any) -> bool:
        return list(row.labels) == prediction.labels

    def confidence(self, prediction: Any) -> float:
        return min(prediction.probabilities, default=1.0)

    def gold(self, row: Any) -> str:
        return SEPARATOR.join(self.classes.names[label] for label in row.labels)

    def answer(self, prediction: Tags) -> list[str]:
        return [self.classes.names[label] for label in prediction.labels]

    def header(self) -> list[str]:
        return ["text_a", "label"]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        return [SEPARATOR.join(row.words), SEPARATOR.join(self.classes.names[label] for label in prediction.labels)]


def _parts(sizes: list, capacity: int):
    """(start, stop) of runs of words whose sizes fit into the capacity; one empty run for an empty sentence."""
    start, used = 0, 0
    for at, size in enumerate(sizes):
        if used + size > capacity:
            yield start, at
            start, used = at, 0
        used += size
    yield start, len(sizes)
