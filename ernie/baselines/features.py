"""Features of examples that a model should not need: sizes, overlaps, edges, places, words. numpy and scipy only."""
from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import sparse

from ernie.baselines.samples import SequenceSample

MOST_SEGMENTS = 4  # segments that are told apart; those behind are counted only


def told_apart(*samples: SequenceSample) -> int:
    """Number of segments that features tell apart in these samples."""
    return min(MOST_SEGMENTS, max(int(sample.counts.max(initial=1)) for sample in samples))


def counts(sample: SequenceSample) -> np.ndarray:
    """Return [e, 1] number of segments, which the [SEP]s give away."""
    return sample.counts[:, None].astype(np.float64)


def lengths(sample: SequenceSample, segments: int) -> np.ndarray:
    """Return [e, f] number of segments, tokens in all and in each of the first ``segments``, and the differences."""
    sizes = np.zeros((len(sample), segments))
    kept = sample.nth < segments
    np.add.at(sizes, (sample.row[kept], sample.nth[kept]), 1)
    pairs = [sizes[:, first] - sizes[:, second] for first, second in combinations(range(segments), 2)]
    return np.column_stack([sample.counts, sizes.sum(axis=1), sizes, *pairs, *np.abs(pairs)])


def bags(sample: SequenceSample, segments: int, vocabulary: int) -> list[sparse.csr_matrix]:
    """Return, for each of the first ``segments``, an [e, vocabulary] 0/1 matrix of the tokens in it."""
    found = []
    for number in range(segments):
        mine = sample.nth == number
        matrix = sparse.csr_matrix((np.ones(int(mine.sum())), (sample.row[mine], sample.ids[mine])),
                                   shape=(len(sample), vocabulary))
        matrix.data[:] = 1
        found.append(matrix)
    return found


def rarity(parts: list[sparse.csr_matrix]) -> np.ndarray:
    """Return [columns] log of how rare a feature is among the segments (inverse document frequency)."""
    seen = sum(np.asarray((part > 0).sum(axis=0)).reshape(-1) for part in parts)
    return np.log((1 + sum(part.shape[0] for part in parts)) / (1 + seen))


def overlaps(parts: list[sparse.csr_matrix], weights: np.ndarray) -> np.ndarray:
    """Return [e, f] for each pair of segments: shared features, as share of both, and weighted cosine.

    Args:
        parts: 0/1 matrices as ``bags`` makes them. weights: [columns], of ``rarity`` over the training examples.
    """
    columns = []
    scaled = [part.multiply(weights[None, :]).tocsr() for part in parts]
    norms = [np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).reshape(-1)) for part in scaled]
    sizes = [np.asarray(part.sum(axis=1)).reshape(-1) for part in parts]
    for a, b in combinations(range(len(parts)), 2):
        shared = np.asarray(parts[a].multiply(parts[b]).sum(axis=1)).reshape(-1)
        cosine = np.asarray(scaled[a].multiply(scaled[b]).sum(axis=1)).reshape(-1)
        columns += [shared, shared / np.maximum(1, sizes[a] + sizes[b] - shared),
                    cosine / np.maximum(1e-9, norms[a] * norms[b])]
    return np.column_stack(columns) if columns else np.zeros((parts[0].shape[0], 1))


def characters(sample: SequenceSample, segments: int, tokens: list[str]) -> list[sparse.csr_matrix]:
    """Return, for each of the first ``segments``, a 0/1 matrix of its character bigrams and trigrams, hashed.

    tokens: the vocabulary.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    vectorizer = HashingVectorizer(analyzer="char", ngram_range=(2, 3), binary=True, norm=None, alternate_sign=False,
                                   n_features=2**16, lowercase=False)
    written: list[list[str]] = [[""] * len(sample) for _ in range(segments)]
    for row, parts in enumerate(sample.segments()):
        for number, ids in enumerate(parts[:segments]):
            written[number][row] = " ".join(tokens[index] for index in ids.tolist()).replace(" ##", "")
    return [vectorizer.transform(texts) for texts in written]


def edges(sample: SequenceSample, segments: int, vocabulary: int) -> sparse.csr_matrix:
    """Return [e, 2 * segments * vocabulary] 0/1: the first and the last token of each of the first ``segments``."""
    first = np.flatnonzero(np.r_[True, (np.diff(sample.row) != 0) | (np.diff(sample.nth) != 0)])
    last = np.r_[first[1:], len(sample.row)] - 1
    kept = sample.nth[first] < segments
    rows = np.concatenate([sample.row[first[kept]], sample.row[last[kept]]])
    place = np.concatenate([2 * sample.nth[first[kept]], 2 * sample.nth[last[kept]] + 1])
    columns = place * vocabulary + np.concatenate([sample.ids[first[kept]], sample.ids[last[kept]]])
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(sample), 2 * segments * vocabulary))


def words(parts: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Return [e, segments * vocabulary] 0/1: which tokens stand in which segment."""
    return sparse.hstack(parts).tocsr()
