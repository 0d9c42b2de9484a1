"""Audit what shallow features give away of a task's labels: fit small classifiers, measure them on dev examples.

A label that a classifier finds without reading the text is a leak in how examples are drawn, or a part of the task that
needs no language model. Works for any task, also one of the user's own.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from ernie.baselines import features, sequences, tables
from ernie.baselines.samples import NOTHING, SequenceSample, TokenSample, sequence_sample, take, texts, token_sample
from ernie.training.metrics import Baseline
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.batches.examples import Batch
from reader.text.flags import CAPITAL
from reader.utils.labels import IGNORE

BATCH_TOKENS = 16384
MOST_TARGETS = 30_000  # of a token-level task that trees are fitted on


@dataclass
class TaskAudit:
    """The audit of one task.

    Attributes:
        classes: number of labels. train_targets, dev_targets: examples, or labelled tokens. majority: dev accuracy of
            the most frequent dev label. baselines: of every feature set, best first.
    """

    task: str
    level: str
    classes: int
    train_targets: int
    dev_targets: int
    majority: float
    baselines: list[Baseline] = field(default_factory=list)

    @property
    def noise(self) -> float:
        """Two standard errors of an accuracy at the majority's level on so many dev targets."""
        return 2 * math.sqrt(self.majority * (1 - self.majority) / max(1, self.dev_targets))

    def of(self, name: str) -> float:
        """Return the dev accuracy of the baseline of this name."""
        return next(baseline.accuracy for baseline in self.baselines if baseline.name == name)


@dataclass
class Drawn:
    """A task's examples from one corpus: the batches, and the token offsets of every example's segments."""

    corpus: Corpus
    separator: int
    mask: int
    batches: list[Batch]
    segments: list[tuple[tuple[int, int], ...]]


def audit(task: Any, train: Corpus, dev: Corpus, examples: int = 10_000, dev_examples: int = 5_000,
          seed: int = 1) -> TaskAudit:
    """Fit a classifier on every set of shallow features of a task, and measure it.

    Args:
        task: its declaration. train, dev: where examples are drawn; one corpus may be both, then other examples of the
            same texts are measured. examples, dev_examples: of a sequence-level task; a token-level one gets as many
            texts, at most.
    """
    drawn, measured = draw(task, train, examples, seed), draw(task, dev, dev_examples, seed + 0x0DE5)
    vocabulary = len(train.vocabulary)
    sample: Any = sequence_sample if task.level == "sequence" else token_sample
    probe: Any = of_sequences if task.level == "sequence" else of_tokens
    one, two = (sample(part.batches, task.name, part.separator) for part in (drawn, measured))
    found = probe(task, one, two, drawn, measured, vocabulary)
    counts = np.bincount(two.labels) if len(two) else np.zeros(1)
    found.sort(key=lambda baseline: -baseline.accuracy)
    return TaskAudit(task.name, task.level, vocabulary if task.head == "vocabulary" else len(task.classes), len(one),
                     len(two), float(counts.max() / max(1, len(two))), found)


def draw(task: Any, corpus: Corpus, examples: int, seed: int) -> Drawn:
    """Draw examples of a task as training does, labelled by the task alone."""
    budget = max(BATCH_TOKENS, corpus.max_length)
    source = Batches(task, [task] if task.level == "token" else [], corpus, seed=seed, task_id=0, batch_tokens=budget)
    limit = 10**12 if task.level == "sequence" else min(max(corpus.tokens, budget), 2_000_000)
    batches = take(source, limit, examples)
    segments = []
    for number in range(len(batches)):
        window, rows = source.rows(number)
        segments += [window.example(index).segments for index in rows.tolist()
                     if task.level == "token" or window.labels[index] != IGNORE]
    return Drawn(corpus, source.specials.sep_id, source.specials.mask_id, batches, segments)


def of_sequences(task: Any, train: SequenceSample, dev: SequenceSample, drawn: Drawn, dev_drawn: Drawn,
                 vocabulary: int) -> list[Baseline]:
    """Measure a baseline on every feature set of a sequence-level task."""
    found = sequences.baselines(task, train, dev, vocabulary)
    segments = features.told_apart(train, dev)
    tokens = drawn.corpus.vocabulary
    if segments > 1:
        letters, dev_letters = (features.characters(sample, segments, tokens) for sample in (train, dev))
        weights = features.rarity(letters)
        found.append(sequences.fit("overlap of characters", features.overlaps(letters, weights), train.labels,
                                   features.overlaps(dev_letters, weights), dev.labels))
    sets: dict[str, Callable[[SequenceSample, Drawn], Any]] = {
        "first and last token of each segment": lambda sample, part: features.edges(sample, segments, vocabulary),
        "punctuation and capitals at the edges": lambda sample, part: edge_marks(sample, part, segments, tokens),
        "place in the document": lambda sample, part: place_in_document(part.corpus, sample.store, sample.document,
                                                                        sample.first)}
    return found + [sequences.fit(name, values(train, drawn), train.labels, values(dev, dev_drawn), dev.labels)
                    for name, values in sets.items()]


def of_tokens(task: Any, train: TokenSample, dev: TokenSample, drawn: Drawn, dev_drawn: Drawn,
              vocabulary: int) -> list[Baseline]:
    """Measure a baseline on every feature set of a token-level task."""
    if task.head == "vocabulary":
        return tables.masked_lm(train, dev, texts(drawn.batches, task.name), vocabulary, drawn.mask)
    classes = len(task.classes)
    keys: dict[str, Callable[[TokenSample], np.ndarray]] = {
        "left neighbour": lambda sample: sample.left, "right neighbour": lambda sample: sample.right}
    sets: dict[str, Callable[[TokenSample, Drawn], np.ndarray]] = {
        "place in the segment and its length": lambda sample, part: np.column_stack(
            [sample.place, sample.size - sample.place, sample.size]),
        "place in the document": lambda sample, part: place_in_document(part.corpus, sample.store, sample.document,
                                                                        None)}
    found = [tables.label_of_token(train, dev, classes), tables.label_of_token_and_left(train, dev, classes)]
    found += [tables.label_table(name, train, dev, classes, key(train), key(dev)) for name, key in keys.items()]
    some, some_dev = (np.random.default_rng(0).permutation(len(sample))[:MOST_TARGETS] for sample in (train, dev))
    return found + [sequences.fit(name, values(train, drawn)[some], train.labels[some],
                                  values(dev, dev_drawn)[some_dev], dev.labels[some_dev])
                    for name, values in sets.items()]


def edge_marks(sample: SequenceSample, drawn: Drawn, segments: int, tokens: list[str]) -> np.ndarray:
    """Return [e, 4 * segments] 0/1: whether the first and the last word of each segment had a capital in the raw text,
    and whether the first and the last token are punctuation."""
    marks = np.zeros((len(sample), 4 * segments))
    for row, (parts, spans) in enumerate(zip(sample.segments(), drawn.segments)):
        flags = drawn.corpus.stores[sample.store[row]].flags
        for number, (ids, (start, stop)) in enumerate(list(zip(parts, spans))[:segments]):
            ends = tokens[ids[0]], tokens[ids[-1]]
            marks[row, 4 * number:4 * number + 4] = (flags[start] & CAPITAL > 0, flags[stop - 1] & CAPITAL > 0,
                                                     *(not any(map(str.isalnum, text)) for text in ends))
    return marks


def place_in_document(corpus: Any, store: np.ndarray, document: np.ndarray,
                      first: Optional[np.ndarray]) -> np.ndarray:
    """Return [n, 3] length of the document, where it stands among all, and where in it the example begins.

    Args:
        store, document, first: [n] address of each example: number of its store, document in it, first token; None for
            no place inside the document.
    """
    values = np.full((len(store), 3), float(NOTHING))
    for number, opened in enumerate(corpus.stores):
        mine = np.flatnonzero(store == number)
        bounds = opened.sentences[opened.paragraphs[opened.documents[:]]].astype(np.float64)
        start, stop = bounds[document[mine]], bounds[document[mine] + 1]
        values[mine, 0], values[mine, 1] = stop - start, document[mine] / max(1, len(bounds) - 1)
        if first is not None:
            values[mine, 2] = (first[mine] - start) / np.maximum(1, stop - start)
    return values
