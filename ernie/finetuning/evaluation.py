"""Evaluation of a model on labelled rows, and tests whether two models differ. No paddle."""
from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reader.finetune.rows import QuestionRow, row_texts
from reader.utils.files import atomic_write
from reader.utils.text import counted
from tasks.finetune.kind import Kind

BINS = 10          # of the calibration
RESAMPLES = 1000   # of the bootstrap
SEED = 0xB007


@dataclass
class ClassReport:
    """Precision, recall and F1 of one class or type of entity; support: how many there are."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass
class Bin:
    """Answers of similar confidence: how many, their mean confidence, and the share of right ones."""

    count: int
    confidence: float
    right: float


@dataclass
class Evaluation:
    """Metrics and errors of a model on labelled rows.

    Attributes:
        metrics: by name, as fractions of 1. majority: accuracy of the most frequent class, for classes. confusion:
            [gold, predicted] counts in the order of ``names``. classes: a report for each class or type of entity.
            bins, calibration_error: of the confidence; the error is the mean gap to the share of right answers,
            weighted by the size of the bins. wrong: indices of the rows with a wrong answer, the most confident first.
    """

    rows: int
    metrics: dict[str, float]
    majority: float | None = None
    names: list[str] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    classes: list[ClassReport] = field(default_factory=list)
    bins: list[Bin] = field(default_factory=list)
    calibration_error: float | None = None
    wrong: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers; the wrong rows as their number."""
        return {**dataclasses.asdict(self), "wrong": len(self.wrong)}


@dataclass
class Comparison:
    """Difference of two models on the same rows, with its tests.

    Attributes:
        only_first, only_second: rows that one model alone gets right. mcnemar: p of the exact test on them; None where
            answers are not right or wrong, or rows not independent. difference: second minus first, of ``metric``.
        low, high: its 95 % interval. p: two-sided, of the paired bootstrap; None, as the interval, where there is one
            part only. drawn: what the bootstrap draws.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    drawn: str = "row"
    only_first: int = 0
    only_second: int = 0
    mcnemar: float | None = None


def evaluate(kind: Kind, rows: list, predictions: list) -> Evaluation:
    """Measure the answers about labelled rows."""
    found = Evaluation(len(rows), kind.score(rows, predictions))
    right = np.array([kind.right(row, prediction) for row, prediction in zip(rows, predictions)])
    confidence = np.array([kind.confidence(prediction) for prediction in predictions], np.float64)
    wrong = np.flatnonzero(~right)
    found.wrong = wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    pairs = kind.class_pairs(rows, predictions)
    if pairs is not None:
        _confusion(found, list(kind.classes.names), *pairs)
    if kind.name == "sequence_labelling":
        found.classes = _entities(kind, rows, predictions)
    if kind.percent:
        _calibrate(found, confidence, right)
    return found


def _confusion(found: Evaluation, names: list[str], gold: np.ndarray, chosen: np.ndarray) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
    labels = list(range(len(names)))
    found.names = names
    found.confusion = confusion_matrix(gold, chosen, labels=labels).tolist()
    figures = precision_recall_fscore_support(gold, chosen, labels=labels, zero_division=0)
    found.classes = [ClassReport(name, float(p), float(r), float(f), int(s)) for name, p, r, f, s in
                     zip(names, *figures)]
    found.majority = float(np.bincount(gold, minlength=len(names)).max() / len(gold))


def _entities(kind: Any, rows: list, predictions: list) -> list[ClassReport]:
    from seqeval.metrics import classification_report
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # types that were not found
        report = classification_report([kind.chunks(row.labels) for row in rows],
                                       [kind.chunks(prediction.labels) for prediction in predictions],
                                       output_dict=True, zero_division=0)
    return [ClassReport(name, float(values["precision"]), float(values["recall"]), float(values["f1-score"]),
                        int(values["support"])) for name, values in report.items() if not name.endswith(" avg")]


def _calibrate(found: Evaluation, confidence: np.ndarray, right: np.ndarray) -> None:
    places = np.minimum((np.clip(confidence, 0, 1) * BINS).astype(int), BINS - 1)
    for place in range(BINS):
        inside = places == place
        if inside.any():
            found.bins.append(Bin(int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean())))
    found.calibration_error = float(sum(each.count * abs(each.confidence - each.right) for each in found.bins)
                                    / len(confidence))


def compare(kind: Kind, rows: list, first: list, second: list, metric: str) -> Comparison:
    """Test whether two models differ on the same labelled rows: McNemar's exact test and a paired bootstrap."""
    from scipy.stats import binomtest
    measures = [kind.resampled(rows, predictions, metric) for predictions in (first, second)]
    parts, name = kind.drawn(rows)
    values = [measure(np.arange(parts)) for measure in measures]
    found = Comparison(metric, values[0], values[1], values[1] - values[0], drawn=name)
    if parts > 1:
        found.low, found.high, found.p = _bootstrap(measures, parts)
    if kind.percent and parts == len(rows):  # the test counts rows, which must be independent
        rights = [np.array([kind.right(row, prediction) for row, prediction in zip(rows, predictions)])
                  for predictions in (first, second)]
        found.only_first, found.only_second = int((rights[0] & ~rights[1]).sum()), int((rights[1] & ~rights[0]).sum())
        apart = found.only_first + found.only_second
        found.mcnemar = float(binomtest(found.only_first, apart, 0.5).pvalue) if apart else 1.0
    return found


def _bootstrap(measures: list[Callable[[np.ndarray], float]], parts: int) -> tuple[float, float, float]:
    """(low, high, p) of the second measure minus the first over the same resamples."""
    generator = np.random.Generator(np.random.Philox(key=SEED))
    differences = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        chosen = generator.integers(parts, size=parts)
        differences[number] = measures[1](chosen) - measures[0](chosen)
    low, high = np.quantile(differences, [0.025, 0.975])
    # the share of resamples on the other side of no difference, both sides; never 0 of a finite number of them
    tail = min((differences <= 0).sum(), (differences >= 0).sum()) + 1
    return float(low), float(high), float(min(1.0, 2 * tail / (RESAMPLES + 1)))


def render(found: Evaluation, kind: Kind) -> str:
    """Format the evaluation for a person to read; shares in percent."""
    factor, sign = (100.0, " %") if kind.percent else (1.0, "")
    lines = [f"{counted(found.rows, 'row')}: " + ", ".join(f"{name} {factor * value:.{1 if kind.percent else 4}f}{sign}"
                                                for name, value in found.metrics.items())]
    if found.majority is not None:
        lines.append(f"always the most frequent class: {100 * found.majority:.1f} %")
    if found.classes:
        lines += ["", *_table([("", "precision", "recall", "f1", "rows" if found.confusion else "entities")] + [
            (each.name, *(f"{100 * value:.1f}" for value in (each.precision, each.recall, each.f1)),
             f"{each.support:,}") for each in found.classes])]
    if found.confusion and len(found.names) <= 20:
        lines += ["", "confusion (rows: label, columns: answer)", *_table(
            [("", *found.names)] + [(name, *(f"{count:,}" for count in row))
                                    for name, row in zip(found.names, found.confusion)])]
    if found.bins:
        lines += ["", f"calibration error {100 * found.calibration_error:.1f} %" if found.calibration_error is not None
                  else "", *_table([("confidence", "right", "answers")] + [
                      (f"{100 * each.confidence:.1f}", f"{100 * each.right:.1f}", f"{each.count:,}")
                      for each in found.bins])]
    return "\n".join(lines)


def render_comparison(found: Comparison) -> str:
    """Format the comparison of two models for a person to read."""
    test = f"one {found.drawn} alone: no interval" if found.low is None else (
        f"95 % of {RESAMPLES:,} resamples of the {found.drawn}s: {found.low:+.4f} to {found.high:+.4f}; "
        f"p = {found.p:.3f}")
    lines = [f"{found.metric}: {found.first:.4f} and {found.second:.4f}, difference {found.difference:+.4f} ({test})"]
    if found.mcnemar is not None:
        lines.append(f"right in one model alone: {found.only_first:,} and {found.only_second:,} rows "
                     f"(McNemar's exact test: p = {found.mcnemar:.3g})")
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                      for at, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]


def write_wrong(path: Path, kind: Kind, rows: list, predictions: list, found: Evaluation) -> None:
    """Write the rows with a wrong answer as a table, the most confident first; a column for each text of a row."""
    width = max(len(row_texts(row)) for row in rows)
    columns = ["text", *(f"text_{number}" for number in range(2, width + 1))]
    with atomic_write(path, newline="\n") as file:
        file.write("\t".join(["confidence", "label", "answer", "id", *columns]) + "\n")
        for at in found.wrong:
            row, prediction = rows[at], predictions[at]
            cells = kind.cells(row, prediction)
            answer = cells[1] if isinstance(row, QuestionRow) or kind.name == "sequence_labelling" else cells[0]
            name = str(row.line) if kind.name == "sequence_labelling" else row.id
            texts = [" ".join(text.split()) for text in row_texts(row)]
            file.write("\t".join([f"{kind.confidence(prediction):.4f}", _flat(kind.gold(row)), _flat(answer),
                                  _flat(name), *texts, *[""] * (width - len(texts))]) + "\n")


def _flat(text: str) -> str:
    return " ".join(text.replace("\x02", " ").split())
