"""Survey of the files of a task before anything is trained: counts, labels, lengths, examples. No paddle."""
from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ernie.finetuning.data import CHUNK, FinetuningData, chunks, find_vocabulary
from ernie.finetuning.recipe import Recipe
from reader.finetune.rows import ChoiceRow, QuestionRow, Row, TagRow, row_texts
from reader.text.tokenizer import Tokenizer
from reader.utils.text import counted
from tasks.finetune.features import Features

WHOLE = 1 << 20  # a length at which nothing is cut
SHOWN = 2        # examples
PERCENTILES = (50, 90, 95, 99, 100)


@dataclass
class Found:
    """Findings in one file. lengths: tokens of every model input if nothing was cut."""

    labels: Counter = field(default_factory=Counter)
    scores: list[float] = field(default_factory=list)
    lengths: list[np.ndarray] = field(default_factory=list)
    texts: set[int] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)


def check(recipe: Recipe, directory: str | Path, init: str | Path | None = None, vocab: str | Path | None = None,
          say: Callable[[str], None] = print) -> None:
    """Read every file of a task as a run would and say what is in it.

    Args:
        init, vocab: whose vocabulary cuts the texts; without both one is learnt from the training texts.
    Raises:
        InputError: the first thing that a run would stumble over.
    """
    data = FinetuningData(recipe, directory, say)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = Tokenizer.load(*find_vocabulary(recipe, data, init, vocab, Path(scratch)))
    names = [*(["train"] if not recipe.predicted_with else []), *recipe.splits("dev"), *recipe.splits("test")]
    training: set[int] = set()
    for name in names:
        path = recipe.reader.find(directory, name, required=name == "train")
        if path is None:
            say(data.no_dev() if name == "dev" else f"{name}: no file")
            continue
        source = data.open(path, name)
        found = examine(source, data, tokenizer)
        say(f"{name}: {source.account}")
        for line in lines(found, recipe, data):
            say(f"  {line}")
        if name == "train":
            training = found.texts
            steps = -(-min(source.account.rows, recipe.train_rows or source.account.rows) // recipe.batch_size)
            if recipe.batch_unit == "examples" and recipe.kind != "reading_comprehension":
                say(f"  {counted(steps, 'step')} of {counted(recipe.batch_size, 'row')} an epoch, "
                    f"{counted(recipe.epochs, 'epoch')}")
        elif found.texts & training:
            say(f"  {len(found.texts & training):,} of its {len(found.texts):,} texts are in the training file as well")


def examine(source: Iterable[Row], data: FinetuningData, tokenizer: Tokenizer) -> Found:
    """Go through the rows of a file."""
    found = Found()
    for rows in chunks(source, CHUNK):
        features = data.kind.features(rows, tokenizer, WHOLE)
        found.lengths.append(features.lengths)
        for row in rows:
            found.texts.add(hash(tuple(row_texts(row))))
            for label in _labels(row, data):
                if isinstance(label, float):
                    found.scores.append(label)
                else:
                    found.labels[label] += 1
        if len(found.examples) < SHOWN:
            cut = data.kind.features(rows[:SHOWN], tokenizer, data.recipe.max_length)
            found.examples += list(_decoded(cut, rows, data, tokenizer))
    return found


def lines(found: Found, recipe: Recipe, data: FinetuningData) -> Iterator[str]:
    """Describe the findings in a file, line by line."""
    total = sum(found.labels.values())
    if found.labels:
        counted = {"sequence_labelling": "labels", "reading_comprehension": "questions"}.get(recipe.kind, "labels")
        shares = [f"{name} {count:,} ({100 * count / total:.1f} %)" for name, count in _sorted(found.labels, data)]
        yield f"{counted}: " + ", ".join(shares[:40]) + (", ..." if len(shares) > 40 else "")
        absent = [name for name in data.classes.names if name not in found.labels]
        if absent and total and recipe.kind != "multiple_choice":
            yield f"no row has {', '.join(absent[:20])}"
    if found.scores:
        scores = np.array(found.scores)
        yield f"scores: {len(scores):,}, from {scores.min():g} to {scores.max():g}, mean {scores.mean():.3f}"
    if not found.labels and not found.scores:
        yield "no labels"
    lengths = np.concatenate(found.lengths)
    shown = ", ".join(f"{'longest' if share == 100 else f'{share} %'} {int(value)}" for share, value in
                      zip(PERCENTILES, np.percentile(lengths, PERCENTILES, method="inverted_cdf")))
    yield f"tokens: {shown}"
    longer = int((lengths > recipe.max_length).sum())
    if longer:
        done = "are read in several parts" if data.kind.level == "token" else "will be truncated"
        yield (f"{longer:,} ({100 * longer / len(lengths):.1f} %) are longer than max_length {recipe.max_length} and "
               f"{done}")
    yield from found.examples[:SHOWN]


def _sorted(labels: Counter, data: FinetuningData) -> list[tuple[str, int]]:
    order = {name: number for number, name in enumerate(data.classes.names)}
    return sorted(labels.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def _labels(row: Row, data: FinetuningData) -> Iterator[str | float]:
    names = data.classes.names
    if isinstance(row, QuestionRow):
        yield "no answer" if row.impossible else "an answer" if any(start >= 0 for start in row.starts) \
            else "an answer that is not in the passage" if row.answers else "nothing known"
    elif isinstance(row, TagRow):
        yield from (names[label] for label in row.labels or ())
    elif isinstance(row, ChoiceRow):
        if row.label is not None:
            yield names[row.label] if row.label < len(names) else str(row.label)
    elif isinstance(row.label, tuple):
        yield from (names[label] for label in row.label)
    elif row.label is not None:
        yield names[int(row.label)] if names else float(row.label)


def _decoded(features: Features, rows: list, data: FinetuningData, tokenizer: Tokenizer) -> Iterator[str]:
    """The first model input of the first rows as tokens, and the label."""
    for number, row in enumerate(rows[:SHOWN]):
        first = int(np.flatnonzero(features.row == number)[0])
        ids = features.ids[features.offsets[first]:features.offsets[first + 1]]
        tokens = " ".join(tokenizer.vocab[token] for token in ids.tolist())
        shown = tokens if len(tokens) <= 600 else tokens[:600] + " ..."
        label = data.kind.gold(row).replace("\x02", " ") if data.kind.labelled(row) else "none"
        yield f"example, line {row.line}: {shown}  label: {label}" if not isinstance(row, QuestionRow) else \
            f"example, question {row.id}: {shown}  answer: {label}"
