"""Shallow predictors of token-level tasks: count tables over a token and its neighbours."""
from __future__ import annotations

from typing import Optional

import numpy as np

from ernie.baselines.samples import NOTHING, TokenSample
from ernie.training.metrics import Baseline

PSEUDOCOUNTS = (3.0, 10.0, 30.0, 100.0, 300.0)  # of the unigram distribution mixed into bigrams; the best is taken


def label_of_token(train: TokenSample, dev: TokenSample, classes: int) -> Baseline:
    """Measure guessing the most frequent label of the token id in training data; for an unseen token, that of all
    tokens."""
    return label_table("most frequent label of the token", train, dev, classes, train.read, dev.read)


def label_of_token_and_left(train: TokenSample, dev: TokenSample, classes: int) -> Baseline:
    """Measure guessing the most frequent label of the token id behind its left neighbour; for an unseen pair, that of
    the token."""
    size = 1 + max(int(train.read.max()), int(dev.read.max()), int(train.left.max()), int(dev.left.max()))
    keys, dev_keys = (sample.read * (size + 1) + sample.left for sample in (train, dev))
    prior = _shares(train, classes, train.read, dev.read)
    return _measured("label of the token and its left neighbour", dev, _shares(train, classes, keys, dev_keys, prior))


def label_table(name: str, train: TokenSample, dev: TokenSample, classes: int, keys: np.ndarray,
                dev_keys: np.ndarray) -> Baseline:
    """Measure guessing the most frequent label of each key in training data; for an unseen key, that of all targets.

    Args:
        keys, dev_keys: [n] integers, one for each target of ``train`` and ``dev``.
    """
    return _measured(name, dev, _shares(train, classes, keys, dev_keys))


def _shares(train: TokenSample, classes: int, keys: np.ndarray, dev_keys: np.ndarray,
            prior: Optional[np.ndarray] = None) -> np.ndarray:
    """[n, classes] shares of the labels of each dev key, with one pseudocount spread like ``prior``, or like all."""
    if prior is None:
        prior = np.bincount(train.labels, minlength=classes) / max(1, len(train))
    known, inverse = np.unique(keys, return_inverse=True)
    counts = np.bincount(inverse * classes + train.labels, minlength=len(known) * classes).reshape(-1, classes)
    place = np.minimum(np.searchsorted(known, dev_keys), len(known) - 1)
    mine = np.where((known[place] == dev_keys)[:, None], counts[place], 0) + prior
    return mine / mine.sum(axis=1, keepdims=True)


def _measured(name: str, dev: TokenSample, shares: np.ndarray) -> Baseline:
    chance = shares[np.arange(len(dev)), dev.labels]
    right = shares.argmax(axis=1) == dev.labels
    return Baseline(name, float(right.mean()), float(-np.log(np.maximum(chance, 1e-9)).mean()))


def masked_lm(train: TokenSample, dev: TokenSample, text: tuple[np.ndarray, np.ndarray], vocabulary: int,
              mask: int) -> list[Baseline]:
    """Measure unigrams and bigrams of the training text, alone and where a target can be read as it is.

    A target that is not masked was left as it is about half of the time: ``as read`` takes that share from training
    data and falls back to the other tables for the rest.

    Args:
        text: ([n] ids, [n] left neighbours) of training text. vocabulary: number of tokens. mask: id of [MASK].
    """
    ids, left = text
    unigram = (np.bincount(ids, minlength=vocabulary) + 0.5) / (len(ids) + 0.5 * vocabulary)
    share = np.zeros(vocabulary)
    visible = train.read != mask
    if visible.any():
        share[:] = (train.read[visible] == train.labels[visible]).mean()
    share[mask] = 0.0
    inner = left != NOTHING
    tables = [("unigrams", unigram[dev.labels], np.full(len(dev), int(unigram.argmax())), unigram.max())]
    for name, keys, values, context in (("bigrams, left neighbour", left[inner], ids[inner], dev.left),
                                        ("bigrams, right neighbour", ids[inner], left[inner], dev.right)):
        if len(keys):
            tables.append((name, *_bigram(keys, values, context, dev.labels, unigram)))
    found = []
    for name, chance, best, top in tables:
        found.append(Baseline(name, float((best == dev.labels).mean()), float(-np.log(chance).mean()), True))
        seen = share[dev.read]
        mixed = seen * (dev.read == dev.labels) + (1 - seen) * chance
        best = np.where(seen > (1 - seen) * top, dev.read, best)
        found.append(Baseline(f"{name}, and the token as read", float((best == dev.labels).mean()),
                              float(-np.log(np.maximum(mixed, 1e-12)).mean()), True))
    return found


def _bigram(keys: np.ndarray, values: np.ndarray, context: np.ndarray, labels: np.ndarray,
            unigram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bigrams of training text, smoothed with the unigrams.

    Args:
        keys, values: [t] the two tokens of every pair. context, labels: [n] of the targets.
    Returns:
        [n] probability of each label given its context, [n] the most probable token there, [n] its probability.
    """
    size = len(unigram)
    pairs, counts = np.unique(keys * size + values, return_counts=True)
    totals = np.bincount(keys, minlength=size)
    begin = np.searchsorted(pairs, np.arange(size + 1) * size)
    known = (context >= 0) & (context < size)
    place = np.where(known, context, 0)
    wanted = place * size + labels
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    hits = np.where(known & (pairs[at] == wanted), counts[at], 0)
    total = np.where(known, totals[place], 0)
    options = [(hits + weight * unigram[labels]) / (total + weight) for weight in PSEUDOCOUNTS]
    choice = int(np.argmin([-np.log(chance).mean() for chance in options]))
    weight = PSEUDOCOUNTS[choice]
    best, score = _best(pairs, counts + weight * unigram[pairs % size], begin, unigram, weight)
    return (options[choice], np.where(known, best[place], int(unigram.argmax())),
            np.where(known, score[place] / (total + weight), unigram.max()))


def _best(pairs: np.ndarray, scores: np.ndarray, begin: np.ndarray, unigram: np.ndarray,
          weight: float) -> tuple[np.ndarray, np.ndarray]:
    """([vocabulary] the most probable token after each context, [vocabulary] its score)."""
    size = len(unigram)
    top = int(unigram.argmax())
    best, score = np.full(size, top), np.full(size, weight * unigram[top])
    order = np.lexsort((scores, pairs // size))  # the last pair of each context has its highest score
    filled = np.flatnonzero(begin[1:] > begin[:-1])
    last = order[begin[filled + 1] - 1]
    best[filled] = np.where(scores[last] >= score[filled], pairs[last] % size, top)
    score[filled] = np.maximum(scores[last], score[filled])
    return best, score
