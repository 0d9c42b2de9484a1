"""Metrics of fine-tuning, as fractions of 1. Predictions that are all the same give a number, never an error."""
from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from typing import Any

import numpy as np

# what CMRC 2018's scorer takes for punctuation
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
CHINESE = re.compile(r"[\u4e00-\u9fa5]")
# where the treebank's rules part the words of a run without Chinese characters: pattern, what takes its place
TREEBANK = [(re.compile(pattern), spaced) for pattern, spaced in (
    (r"[\"«„‘`]|''", r" \g<0> "),
    (r"(?<!\.)\.(?=[\])}>\"'»”’ ]*$)", " . "),
    (r",(?!\d)", " , "),
    (r"\.{2,}|[;@#$%&?!\[\](){}<>»—]", r" \g<0> "),
    (r"(?<=[^' ])('s|'m|'d|'ll|'re|'ve|n't|')(?=\s|$)", r" \1 "),
)]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Compute softmax along the last axis."""
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def accuracy(gold: Any, predicted: Any) -> float:
    """Share of equal values."""
    return float(np.mean(np.asarray(gold) == np.asarray(predicted)))


def f1(gold: Any, predicted: Any, classes: int = 2) -> float:
    """Return the F1 of class 1 for two classes, the mean over classes otherwise; 0 when nothing was found."""
    from sklearn.metrics import f1_score
    return float(f1_score(gold, predicted, average="binary" if classes == 2 else "macro", zero_division=0))


def matthews(gold: Any, predicted: Any) -> float:
    """Compute Matthews correlation; 0 when only one class was predicted."""
    from sklearn.metrics import matthews_corrcoef
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class
        return float(matthews_corrcoef(gold, predicted))


def label_sets(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compute micro and macro F1 over classes, and the share of rows that are right throughout, from [rows, C] 0/1."""
    from sklearn.metrics import f1_score
    return {"micro_f1": float(f1_score(gold, predicted, average="micro", zero_division=0)),
            "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
            "exact": float((gold == predicted).all(1).mean())}


def pearson(gold: Any, predicted: Any) -> float:
    """Compute Pearson correlation; 0 when either side is constant."""
    from scipy.stats import pearsonr
    return _correlation(pearsonr, gold, predicted)


def spearman(gold: Any, predicted: Any) -> float:
    """Compute Spearman rank correlation; 0 when either side is constant."""
    from scipy.stats import spearmanr
    return _correlation(spearmanr, gold, predicted)


def _correlation(function, gold, predicted) -> float:
    if len(gold) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a constant input
        value = float(function(np.asarray(gold, float), np.asarray(predicted, float))[0])
    return value if np.isfinite(value) else 0.0


def entities(gold: list, predicted: list) -> dict[str, float]:
    """Measure entity precision, recall and F1 (all entities together) and label accuracy, from lists of label names."""
    from seqeval.metrics import f1_score, precision_score, recall_score
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing found
        return {"entity_f1": float(f1_score(gold, predicted, zero_division=0)),
                "entity_precision": float(precision_score(gold, predicted, zero_division=0)),
                "entity_recall": float(recall_score(gold, predicted, zero_division=0)),
                "accuracy": accuracy(np.concatenate(gold), np.concatenate(predicted))}


def entity_counts(gold: list[str], predicted: list[str]) -> tuple[int, int, int]:
    """Count the entities of one sentence: (in both, in the prediction, in the gold labels)."""
    from seqeval.metrics.sequence_labeling import get_entities
    right, found = set(get_entities(gold)), set(get_entities(predicted))
    return len(right & found), len(found), len(right)


def entity_figures(hits: float, found: float, gold: float) -> tuple[float, float, float]:
    """Return (precision, recall, F1) from counts of entities; 0 where there is none."""
    return (hits / found if found else 0.0, hits / gold if gold else 0.0,
            2 * hits / (found + gold) if found + gold else 0.0)


def mrr(groups: Any, scores: Any, labels: Any) -> float:
    """Return the mean of ``reciprocal_ranks``."""
    return float(reciprocal_ranks(groups, scores, labels).mean())


def reciprocal_ranks(groups: Any, scores: Any, labels: Any) -> np.ndarray:
    """Return [groups], 1 / (rank of the first candidate of class 1) by descending score, in the order of their names.

    A group without such a candidate counts as 0; of equal scores the first in the file ranks first.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.lexsort((np.arange(len(group)), -np.asarray(scores), group))
    group, right = group[order], np.asarray(labels)[order] == 1
    rank = np.arange(len(group)) - np.searchsorted(group, group) + 1
    best = np.zeros(group[-1] + 1)
    np.maximum.at(best, group[right], 1 / rank[right])
    return best


def exact_match(answers: list, prediction: str) -> float:
    """Return 1 when an answer is the prediction, but for case, outer space and punctuation (CMRC 2018), else 0."""
    return float(any(_bare(answer) == _bare(prediction) for answer in answers))


def overlap_f1(answers: list, prediction: str) -> float:
    """Return the best F1 over answers of the longest common run of segments (CMRC 2018); 0 without answers.

    CMRC's scorer speaks of a longest common sequence and measures a contiguous one; so do we, to be comparable.
    """
    return max((_overlap(segments(answer), segments(prediction)) for answer in answers), default=0.0)


def squad_scores(answers: list, prediction: str) -> tuple[float, float]:
    """Return (exact match, best F1 over words) as SQuAD's scorer; without answers only an empty prediction is right.

    Case, punctuation, the articles a, an, the and surplus space count for nothing.
    """
    golds = [words for words in map(_squad_words, answers) if words] or [[]]
    found = _squad_words(prediction)
    exact = float(any(gold == found for gold in golds))
    return exact, max(_word_f1(gold, found) for gold in golds)


def _squad_words(text: str) -> list[str]:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _word_f1(gold: list, found: list) -> float:
    if not gold or not found:
        return float(gold == found)
    common = sum((Counter(gold) & Counter(found)).values())
    return 2 * common / (len(gold) + len(found))


def segments(text: str) -> list[str]:
    """Cut a text into Chinese characters and the words of other scripts; lower-cased, without punctuation.

    Words are cut as CMRC's scorer cuts them, by the rules of the Penn treebank: 3.5, 1,000 and u.s.a stay whole, a full
    stop is cut from the end of a run only, do n't and it 's are two words.
    """
    found: list[str] = []
    for run in re.split(f"({CHINESE.pattern})", "".join(c for c in text.lower().strip() if c not in PUNCTUATION)):
        found += [run] if CHINESE.match(run) else _words(run)
    return found


def _words(run: str) -> list[str]:
    for pattern, spaced in TREEBANK:
        run = pattern.sub(spaced, run)
    return run.split()


def _bare(text: str) -> str:
    return "".join(c for c in text.lower().strip() if c not in PUNCTUATION)


def _overlap(gold: list, found: list) -> float:
    common = _longest_common_run(gold, found)
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _longest_common_run(a: list, b: list) -> int:
    best, previous = 0, [0] * (len(b) + 1)
    for item in a:
        current = [0] * (len(b) + 1)
        for at, other in enumerate(b, 1):
            if item == other:
                current[at] = previous[at - 1] + 1
                best = max(best, current[at])
        previous = current
    return best
