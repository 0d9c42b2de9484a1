"""Kinds of fine-tuning tasks, one file each. Numbers in, numbers out; no paddle."""
from __future__ import annotations

from importlib import import_module
from typing import Any

from reader.utils.errors import InputError
from tasks.finetune.kind import Kind

KINDS = {
    "classification": "tasks.finetune.classification:Classification",
    "multi_label": "tasks.finetune.multi_label:MultiLabel",
    "multiple_choice": "tasks.finetune.multiple_choice:MultipleChoice",
    "regression": "tasks.finetune.regression:Regression",
    "ranking": "tasks.finetune.ranking:Ranking",
    "sequence_labelling": "tasks.finetune.sequence_labelling:SequenceLabelling",
    "reading_comprehension": "tasks.finetune.reading_comprehension:ReadingComprehension",
}


def metrics_of(kind: str) -> tuple[str, ...]:
    """Return all metrics of a kind of task, its main one first."""
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name).metrics


def load(kind: str, classes: Any, **options: Any) -> Kind:
    """Make a kind of task by name; InputError for an unknown one.

    Args:
        classes: of the labels, ``reader.finetune.labels``. options: the kind's own.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)(classes, **options)
