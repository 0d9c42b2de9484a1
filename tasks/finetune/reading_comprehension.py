"""The answer to a question as a span of a passage."""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from reader.finetune.rows import QuestionRow
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tasks.finetune import metrics
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind

SEPARATORS = re.compile(r"[\t\n\r]")  # what a cell of a table cannot hold


class Answer(NamedTuple):
    """A span: characters [start, stop) of the original passage. best: the runners-up, itself first."""

    text: str
    start: int
    stop: int
    probability: float
    score: float
    best: tuple = ()


class ReadingComprehension(Kind):
    """[CLS] question [SEP] part [SEP]: scores for the answer's first and last token, over parts of the passage.

    Args:
        max_query_length: pieces of the question that are read. doc_stride: pieces from one part to the next.
        max_answer_length: pieces of an answer. n_best: candidates that are kept.
        no_answer: a passage may hold no answer (SQuAD 2), which is told by both scores of [CLS]; then the answer is
            empty when the best span scores less than ``null_threshold`` above that.
    """

    name = "reading_comprehension"
    level = "token"
    loss = "span"
    metrics = ("em", "f1", "squad_em", "squad_f1")
    outputs = 2

    def __init__(self, classes: Any = None, *, max_query_length: int = 64, doc_stride: int = 128,
                 max_answer_length: int = 100, n_best: int = 20, no_answer: bool = False, null_threshold: float = 0.0):
        super().__init__(classes)
        self.no_answer, self.null_threshold = no_answer, null_threshold
        self.max_query_length, self.doc_stride = max_query_length, doc_stride
        self.max_answer_length, self.n_best = max_answer_length, n_best

    def features(self, rows: list[QuestionRow], tokenizer: Tokenizer, max_length: int) -> Features:
        """Make parts; one that does not hold the whole answer is labelled with [CLS], place 0, as in the release."""
        contexts = list(dict.fromkeys(row.context for row in rows))
        passages = dict(zip(contexts, tokenizer.encode_batch(contexts)))
        questions = tokenizer.encode_batch([row.question for row in rows])
        ids, first, owner, labels, starts, stops, central = [], [], [], [], [], [], []
        for number, (row, question) in enumerate(zip(rows, questions)):
            head = [tokenizer.cls_id, *question.ids[:self.max_query_length].tolist(), tokenizer.sep_id]
            passage = passages[row.context]
            parts = self.parts(len(passage.ids), max_length - len(head) - 1)
            span = answer_tokens(passage.offsets, row)
            for (begin, end), best in zip(parts, most_context(parts)):
                ids.append(head + passage.ids[begin:end].tolist() + [tokenizer.sep_id])
                first.append(len(head))
                owner.append(number)
                blank, offsets = [-1] * len(head), passage.offsets[begin:end]
                starts.append(blank + offsets[:, 0].tolist() + [-1])
                stops.append(blank + offsets[:, 1].tolist() + [-1])
                central.append([0] * len(head) + best.tolist() + [0])
                if span is None and not (self.no_answer and row.impossible):
                    labels.append((IGNORE, IGNORE))
                elif span is not None and begin <= span[0] and span[1] < end:
                    labels.append((len(head) + span[0] - begin, len(head) + span[1] - begin))
                else:
                    labels.append((0, 0))
        return Features.build(ids, first, owner, np.array(labels, np.int64).reshape(-1, 2),
                              start=starts, stop=stops, central=central)

    def parts(self, length: int, capacity: int) -> list[tuple[int, int]]:
        """Cut a passage of ``length`` pieces into parts [begin, end); InputError when ``capacity`` leaves no room."""
        if capacity < 1:
            raise InputError(f"a question of {self.max_query_length} pieces leaves no room for the passage: "
                             "raise max_length or lower max_query_length")
        parts, begin = [], 0
        while True:
            parts.append((begin, min(begin + capacity, length)))
            if parts[-1][1] == length:
                return parts
            begin += min(capacity, self.doc_stride)

    def decode(self, rows: list, features: Features, outputs: list) -> list[Answer]:
        candidates: list[list] = [[] for _ in rows]
        nothing = np.full(len(rows), np.inf)  # the lowest over the parts, as in the published reader of SQuAD 2
        for part, scores in enumerate(outputs):
            row, values = features.row[part], np.asarray(scores, np.float64)
            candidates[row] += self._spans(features, part, values)
            nothing[row] = min(nothing[row], float(values[0].sum()))
        return [self._best(row, found, none) for row, found, none in zip(rows, candidates, nothing)]

    def _spans(self, features: Features, part: int, scores: np.ndarray) -> list[tuple]:
        """(score, start, stop) in characters of the n best spans of a part.

        A span begins where this part, of all that hold the token, shows most of what surrounds it.
        """
        start, stop = features.values(part, "start"), features.values(part, "stop")
        scores = scores[:len(start)]
        begins = _top(np.where(features.values(part, "central") > 0, scores[:, 0], -np.inf), self.n_best)
        ends = _top(np.where(start >= 0, scores[:, 1], -np.inf), self.n_best)
        pairs = scores[begins, 0][:, None] + scores[ends, 1]
        length = ends[None, :] - begins[:, None] + 1
        pairs[(length < 1) | (length > self.max_answer_length)] = -np.inf
        best = _top(pairs.reshape(-1), self.n_best)
        return [(pairs.flat[at], int(start[begins[at // len(ends)]]), int(stop[ends[at % len(ends)]])) for at in best]

    def _best(self, row: QuestionRow, found: list, nothing: float) -> Answer:
        """The best span, or the empty answer where there is none; ``nothing``: the score of that.

        Of spans with the same score the first found is the best, as in the release: by part, then by start from the
        best one down, then by end.
        """
        spans: dict[str, tuple] = {}
        for score, start, stop in sorted(found, key=lambda item: -item[0]):
            stop = with_marks(row.original, stop)
            spans.setdefault(row.original[start:stop], (score, start, stop))
        chosen = list(spans.items())[:self.n_best]
        if self.no_answer:
            chosen.append(("", (nothing, 0, 0)))
            if len(chosen) == 1 or chosen[0][1][0] - nothing < self.null_threshold:
                chosen.insert(0, chosen.pop())
        if not chosen:  # an empty passage
            return Answer("", 0, 0, 0.0, 0.0)
        chances = metrics.softmax(np.array([[score for _, (score, _, _) in chosen]]))[0]
        best = tuple(Answer(text, start, stop, float(chance), float(score))
                     for chance, (text, (score, start, stop)) in zip(chances, chosen))
        return best[0]._replace(best=best)

    def score(self, rows: list, predictions: list) -> dict[str, float]:
        pairs = [(row.answers, prediction.text) for row, prediction in zip(rows, predictions)]
        squad = np.mean([metrics.squad_scores(*pair) for pair in pairs], axis=0)
        return {"em": float(np.mean([self._right(*pair) for pair in pairs])),
                "f1": float(np.mean([metrics.overlap_f1(*pair) if pair[0] else not pair[1] for pair in pairs])),
                "squad_em": float(squad[0]), "squad_f1": float(squad[1])}

    def resampled(self, rows: list, predictions: list, metric: str) -> Callable[[np.ndarray], float]:
        values = np.array([self.score([row], [prediction])[metric] for row, prediction in zip(rows, predictions)])
        return lambda chosen: float(values[chosen].mean())

    @staticmethod
    def _right(answers: list, text: str) -> bool:
        return bool(metrics.exact_match(answers, text)) if answers else not text

    @staticmethod
    def labelled(row: Any) -> bool:
        return bool(row.answers) or row.impossible

    def without_texts(self, prediction: Any) -> Answer:
        return prediction._replace(best=())

    def confidence(self, prediction: Any) -> float:
        return prediction.probability

    def right(self, row: Any, prediction: Any) -> bool:
        return self._right(row.answers, prediction.text)

    def gold(self, row: Any) -> str:
        return " | ".join(row.answers)

    def header(self) -> list[str]:
        return ["id", "answer", "start", "stop", "probability"]

    def cells(self, row: Any, prediction: Any) -> list[str]:
        name, text = (SEPARATORS.sub(" ", value) for value in (row.id, prediction.text))
        return [name, text, str(prediction.start), str(prediction.stop), f"{prediction.probability:.6f}"]


def answer_tokens(offsets: np.ndarray, row: QuestionRow) -> tuple[int, int] | None:
    """Return the first and last piece that overlap the first answer that the passage holds; None when it holds none."""
    start, answer = next(((start, text) for start, text in zip(row.starts, row.answers) if start >= 0), (-1, ""))
    if start < 0 or not len(offsets):
        return None
    stop = start + len(answer)
    first = int(np.searchsorted(offsets[:, 1], start, side="right"))
    last = int(np.searchsorted(offsets[:, 0], stop, side="left")) - 1
    return (first, last) if first <= last else None


def with_marks(text: str, stop: int) -> int:
    """Return ``stop``, moved behind the marks that combine with the last character, which no piece holds."""
    while stop < len(text) and unicodedata.category(text[stop]) in ("Mn", "Me"):
        stop += 1
    return stop


def most_context(parts: list) -> list[np.ndarray]:
    """Mark, for each part, the pieces that have most context in it, of all the parts that hold them (1 or 0).

    The context of a piece is the smaller of what is left and right of it, plus a hundredth of the part's length; the
    first part wins a tie (the max-context rule of BERT's reader).
    """
    length = parts[-1][1]
    best, owner = np.full(length, -1.0), np.zeros(length, np.int64)
    for number, (begin, end) in enumerate(parts):
        place = np.arange(begin, end)
        context = np.minimum(place - begin, end - 1 - place) + 0.01 * (end - begin)
        better = context > best[begin:end]
        best[begin:end][better], owner[begin:end][better] = context[better], number
    return [(owner[begin:end] == number).astype(np.int64) for number, (begin, end) in enumerate(parts)]


def _top(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of the largest finite values, largest first, the earlier of equals first."""
    order = np.argsort(-values, kind="stable")[:count]
    return order[np.isfinite(values[order])]
