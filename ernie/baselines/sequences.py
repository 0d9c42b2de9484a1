"""Shallow predictors of sequence-level tasks: small scikit-learn classifiers and the rules that a task declares."""
from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from ernie.baselines import features
from ernie.baselines.samples import SequenceSample
from ernie.training.metrics import Baseline


def fit(name: str, train: Any, labels: np.ndarray, dev: Any, dev_labels: np.ndarray) -> Baseline:
    """Fit a small classifier and measure it.

    Args:
        train, dev: [e, f] features, dense or sparse. labels, dev_labels: [e] classes.
    """
    known = np.unique(labels)
    if len(known) == 1:
        return Baseline(name, float((dev_labels == known[0]).mean()))
    chances = np.asarray(_classifier(train).fit(train, labels).predict_proba(dev))
    place = np.minimum(np.searchsorted(known, dev_labels), len(known) - 1)
    mine = np.where(known[place] == dev_labels, chances[np.arange(len(dev_labels)), place], 0.0)
    right = known[chances.argmax(axis=1)] == dev_labels
    return Baseline(name, float(right.mean()), float(-np.log(np.maximum(mine, 1e-9)).mean()))


def _classifier(values: Any) -> Any:
    """Extremely randomised trees for a few dense features, naive Bayes for words: both take well under a second."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.naive_bayes import BernoulliNB
    if sparse.issparse(values):
        return BernoulliNB(alpha=0.1)
    return ExtraTreesClassifier(n_estimators=100, min_samples_leaf=20, max_features=None, random_state=0)


def rules(task: Any, dev: SequenceSample) -> list[Baseline]:
    """Measure the rules of thumb that the task declares (``Task.rules``)."""
    guesses: dict[str, list[int]] = {}
    for segments in dev.segments():
        for name, label in task.rules(segments).items():
            guesses.setdefault(name, []).append(label)
    return [Baseline(name, float((np.array(labels) == dev.labels).mean())) for name, labels in guesses.items()]


def baselines(task: Any, train: SequenceSample, dev: SequenceSample, vocabulary: int) -> list[Baseline]:
    """Measure every shallow baseline of a sequence-level task.

    From: number of segments, lengths, overlap of tokens, both, bags of words by segment, and the task's own rules.
    """
    segments = features.told_apart(train, dev)
    bags, dev_bags = (features.bags(sample, segments, vocabulary) for sample in (train, dev))
    weights = features.rarity(bags)
    overlap, dev_overlap = (features.overlaps(parts, weights) for parts in (bags, dev_bags))
    lengths, dev_lengths = (features.lengths(sample, segments) for sample in (train, dev))
    labels, dev_labels = train.labels, dev.labels
    found = []
    if segments > 1:
        found += [fit("overlap of the segments", overlap, labels, dev_overlap, dev_labels),
                  fit("lengths and overlap", np.hstack([lengths, overlap]), labels,
                      np.hstack([dev_lengths, dev_overlap]), dev_labels)]
    if train.counts.min() != train.counts.max():
        found.append(fit("number of segments", features.counts(train), labels, features.counts(dev), dev_labels))
    found.append(fit("lengths", lengths, labels, dev_lengths, dev_labels))
    found.append(fit("bag of words by segment", features.words(bags), labels, features.words(dev_bags), dev_labels))
    return [*found, *rules(task, dev)]
