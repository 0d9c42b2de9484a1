"""Write examples of a task for a person: the text as the model sees it, with the labels beside it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reader.batches.batches import Batches
from reader.batches.collator import Collator, Window, read_tokens
from reader.batches.corpus import Corpus, join_pieces
from reader.batches.examples import Example
from reader.batches.sampling import generator, hash_int
from reader.batches.walk import Walk
from reader.batches.windows import draw as draw_one
from reader.text.flags import WORD_START
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from reader.utils.text import counted
from tasks.base import Task

TRIED = 4  # excerpts that are looked at for each example shown: a task may pass over some
BOLD, RED, GREEN, DIM, PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[2m", "\033[0m"


def draw(task: Task, corpus: Corpus, count: int, seed: int) -> Window:
    """Draw the first examples of the walk that ``seed`` names. Raises InputError if there are none."""
    task.bind(corpus)
    rng = generator(seed, "inspect", task.name)
    walk = Walk(corpus, task.excerpt, corpus.max_length, hash_int(seed, "inspect"))
    examples = (draw_one(task, corpus, anchor, rng) for anchor in walk.sample(TRIED * count))
    found = [example for example in examples if example is not None][:count]
    if not found:
        raise InputError(f"{task.name} finds no text that it can make an example of", corpus.stores[0].path)
    return Window.of(found, hash_int(seed, "mask", task.name))


def pages(task: Task, corpus: Corpus, window: Window, rows: np.ndarray, colour: bool = False) -> Iterator[str]:
    """Yield the text of one example after the other, then a summary of the labels."""
    writer = Writer(task, corpus, read_tokens(corpus, window, rows, Collator(window, rows)), colour)
    examples = [window.example(index) for index in rows.tolist()]
    for row, example in enumerate(examples):
        yield "\n".join([*writer.head(row, example), *writer.body(row, example)]) + "\n"
    yield writer.summary(examples)


def step_of_run(directory: str | Path, number: int, step: int) -> tuple[Batches, int, list[Task]]:
    """Find what a run reads in a step: the drawn task's ``Batches``, the number of the batch, the tasks that label it.

    Args:
        directory: of the run. number: of the stage, step: inside it, both from 1 as the log counts them.
    Raises:
        InputError: no such run, stage or step; its corpora are no longer where they were.
    """
    from ernie.pretraining.curriculum import Curriculum
    from ernie.pretraining.data import PretrainingData
    from ernie.pretraining.run_directory import RunDirectory
    from ernie.pretraining.stage_sampler import StageBatches
    from ernie.pretraining.stages import Stage
    from ernie.utils.config_io import build
    run = RunDirectory(directory)
    record = run.recorded()
    if record is None:
        raise InputError("not the directory of a run (no run.json)", directory)
    curriculum = build(Curriculum, record["curriculum"], str(run.file))
    stages = [Stage(entry["number"], entry["budgets"], entry["new"]) for entry in record["stages"]]
    if not 1 <= number <= len(stages) or not 1 <= step <= stages[number - 1].steps:
        known = ", ".join(f"{stage.number} ({counted(stage.steps, 'step')})" for stage in stages)
        raise InputError(f"no step {step} in stage {number}; the run has the stages {known}", directory)
    data, stage = PretrainingData(curriculum), stages[number - 1]
    consumed = {name: sum(earlier.budgets.get(name, 0) for earlier in stages[:number - 1]) for name in stage.budgets}
    sources = {name: data.batches(name, list(stage.budgets), 1) for name in stage.budgets}
    drawn = StageBatches(stage, curriculum.seed, sources, consumed)
    name = drawn.names[drawn.draws[step - 1]]
    return sources[name], int(drawn.numbers[step - 1]), sources[name].token_tasks


class Writer:
    """Writes examples; what it shows depends on the level of the task."""

    def __init__(self, task: Any, corpus: Corpus, tokens: Any, colour: bool):
        self.task, self.corpus, self.tokens, self.colour = task, corpus, tokens, colour
        self.read = tokens.ids
        self.groups = self.unit_starts = np.zeros(0, np.int64)  # of tasks that corrupt what is read
        self.labels = np.full(len(tokens.ids), IGNORE)
        if task.corrupts:
            self.read, self.labels, self.groups = task.corrupt(tokens, corpus.specials)
            self.unit_starts = task.unit_starts(tokens)
        elif task.level == "token":
            self.labels = task.labels(tokens)

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self.colour else text

    def head(self, row: int, example: Example) -> Iterator[str]:
        """Yield the header of an example: its place in the store, and its label."""
        start = example.segments[0][0]
        sentence = self.corpus.stores[example.store].sentence_at(start)
        paragraph = self.corpus.stores[example.store].paragraph_at(sentence)
        document = self.corpus.stores[example.store].document_at(paragraph)
        place = f"{self.corpus.stores[example.store].path} document {document}, {example.length} tokens"
        yield f"{self.paint(f'example {row + 1}', BOLD)}  {self.paint(place, DIM)}"
        if self.task.level == "sequence":
            given = example.label != IGNORE
            label = f"label {example.label}: {self.task.explain(example.label)}" if given else "no label"
            yield self.paint(label, GREEN)

    def body(self, row: int, example: Example) -> Iterator[str]:
        """Yield a line for each segment."""
        mine = np.flatnonzero(self.tokens.row == row)
        segments = self.tokens.segment[mine] - self.tokens.segment[mine[0]]
        for number, kind in enumerate(example.types):
            line = self.line(mine[segments == number])
            yield f"[{kind}] {line}" if len(example.segments) > 1 else line

    def line(self, places: np.ndarray) -> str:
        """Write one segment, word by word or unit by unit."""
        pieces = self.masked_units(places) if self.task.corrupts else self.labelled_words(places)
        return ("" if self.corpus.language == "zh" else " ").join(pieces)

    def masked_units(self, places: np.ndarray) -> Iterator[str]:
        """Yield words, and chosen units as {kind: original > as the model reads it}."""
        for chosen, run in runs(places, self.unit_numbers(places)):
            text = self.text(self.tokens.ids[run])
            if not chosen:
                yield text
                continue
            kind = self.task.groups[self.groups[run[0]]]
            yield self.paint("{" + f"{kind}: {text} > {self.pieces(self.read[run])}" + "}", RED)

    def unit_numbers(self, places: np.ndarray) -> np.ndarray:
        # A word that is left alone is written whole; a chosen unit stands apart from its neighbours.
        chosen = self.labels[places] != IGNORE
        units = self.unit_starts[places]
        word = np.cumsum(self.tokens.flags[places] & WORD_START > 0)
        return np.where(chosen, units * 2 + 1, word * 2)

    def labelled_words(self, places: np.ndarray) -> Iterator[str]:
        """Yield words with their class behind them, unless it is class 0; piece by piece where pieces differ."""
        starts = (self.tokens.flags[places] & WORD_START > 0) | (self.tokens.offset[places] == 0)
        for word in np.split(places, np.flatnonzero(starts)[1:]):
            labels = self.labels[word]
            if (labels == labels[0]).all():
                yield self.marked(self.text(self.tokens.ids[word]), int(labels[0]))
            else:
                yield "|".join(self.marked(self.pieces(self.tokens.ids[place:place + 1]), int(label))
                               for place, label in zip(word, labels))

    def marked(self, text: str, label: int) -> str:
        if label in (0, IGNORE):
            return text
        return self.paint(f"{text}/{label}", RED)

    def text(self, ids: np.ndarray) -> str:
        """Join pieces to words."""
        return join_pieces(self.vocabulary(ids), self.corpus.language)

    def pieces(self, ids: np.ndarray) -> str:
        return " ".join(self.vocabulary(ids))

    def vocabulary(self, ids: np.ndarray) -> list[str]:
        return [self.corpus.vocabulary[index] for index in ids.tolist()]

    def summary(self, examples: list[Example]) -> str:
        """Count how often each label was given."""
        if self.task.corrupts:
            return "\n".join(self.masking_rates())
        given = [example.label for example in examples] if self.task.level == "sequence" else self.labels.tolist()
        counts = Counter(label for label in given if label != IGNORE)
        total = max(1, sum(counts.values()))
        return "labels: " + "; ".join(f"{label} {self.task.classes[label]}: {count} ({100 * count / total:.1f}%)"
                                      for label, count in sorted(counts.items())) if counts else "labels: none"

    def masking_rates(self) -> Iterator[str]:
        chosen, kinds = self.labels != IGNORE, self.groups
        for group, name in enumerate(self.task.groups):
            tokens = int((kinds == group).sum())
            if tokens:
                hit = int((chosen & (kinds == group)).sum())
                yield f"{name}: {hit} of {tokens} tokens chosen ({100 * hit / tokens:.1f}%)"


def runs(places: np.ndarray, numbers: np.ndarray) -> Iterator[tuple[bool, np.ndarray]]:
    """Yield (chosen, places) of each run of one number; odd numbers are chosen units."""
    edges = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    for run in np.split(places, edges[1:]):
        yield bool(numbers[np.searchsorted(places, run[0])] & 1), run

