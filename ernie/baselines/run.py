"""The shallow baselines of the tasks of a run, measured on the run's own dev examples and kept in its directory."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ernie.baselines import sequences, tables
from ernie.baselines.samples import sequence_sample, take, texts, token_sample
from ernie.training.metrics import Baseline
from reader.batches.batches import Batches
from reader.batches.examples import Batch
from reader.utils.errors import InputError
from reader.utils.files import write_json

TRAIN_TOKENS, TRAIN_EXAMPLES = 2_000_000, 6_000  # at most so much training text is looked at, of sequence-level tasks
VERSION = 2  # of the baselines: a run with others computes them anew


def shallow_baselines(task: Any, train: Batches, dev: Batches, dev_batches: int, vocabulary: int) -> list[Baseline]:
    """Measure all shallow baselines of a task on the dev targets of its dev metrics; return them best first.

    Args:
        task: its declaration. train, dev: its batches, labelled by itself alone. vocabulary: number of tokens.
        dev_batches: global batches to measure on, from the first.
    Returns:
        Best accuracy first; of a task over the vocabulary lowest loss first. Empty where dev data give it no target.
    """
    specials = train.specials
    limit = min(TRAIN_TOKENS, max(train.corpus.tokens, train.batch_tokens))
    taken = take(train, limit, TRAIN_EXAMPLES if task.level == "sequence" else TRAIN_TOKENS)
    measured: list[Batch] = [batch for number in range(dev_batches) for batch in dev.at(number)]
    if task.level == "sequence":
        found = _of_sequences(task, taken, measured, specials.sep_id, vocabulary)
    else:
        found = _of_tokens(task, taken, measured, specials, vocabulary)
    return sorted(found, key=lambda baseline: (baseline.loss or 0.0) if baseline.by_loss else -baseline.accuracy)


def _of_sequences(task: Any, taken: list[Batch], measured: list[Batch], separator: int,
                  vocabulary: int) -> list[Baseline]:
    train, dev = (sequence_sample(batches, task.name, separator) for batches in (taken, measured))
    return sequences.baselines(task, train, dev, vocabulary) if len(train) and len(dev) else []


def _of_tokens(task: Any, taken: list[Batch], measured: list[Batch], specials: Any, vocabulary: int) -> list[Baseline]:
    train, dev = (token_sample(batches, task.name, specials.sep_id) for batches in (taken, measured))
    if not len(train) or not len(dev):
        return []
    if task.head == "vocabulary":
        return tables.masked_lm(train, dev, texts(taken, task.name), vocabulary, specials.mask_id)
    classes = len(task.classes)
    return [tables.label_of_token(train, dev, classes), tables.label_of_token_and_left(train, dev, classes)]


class RunBaselines:
    """Baselines that a run has computed, in ``baselines.json`` of its directory.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: str | Path):
        self.file = Path(directory) / "baselines.json"
        self.known: dict[str, list[Baseline]] = {}
        if self.file.exists():
            try:
                content = json.loads(self.file.read_text("utf-8"))
                if content["version"] == VERSION:
                    self.known = {name: [Baseline(**entry) for entry in entries]
                                  for name, entries in content["tasks"].items()}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"is not readable ({type(error).__name__}: {error}); it may be deleted",
                                 self.file) from None

    def complete(self, compute: Mapping[str, Callable[[], list[Baseline]]]) -> dict[str, Baseline]:
        """Return the best baseline of each task; compute and write down those that are not known yet.

        Args:
            compute: task name -> a function that gives its baselines, best first.
        """
        missing = [name for name in compute if name not in self.known]
        if missing:
            self.known.update({name: compute[name]() for name in missing})
            write_json(self.file, {"version": VERSION, "tasks": {name: [asdict(entry) for entry in entries]
                                                                 for name, entries in self.known.items()}})
        return {name: self.known[name][0] for name in compute if self.known[name]}
