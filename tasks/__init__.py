"""The pre-training tasks. ``load`` finds one by the name that curricula use."""
from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean
from tasks.base import Task
from tasks.files import load_file
from tasks.survey import survey

__all__ = ["TASKS", "Task", "load", "survey", "tasks_in"]

TASKS = {
    "knowledge_masking": "tasks.knowledge_masking:KnowledgeMasking",
    "capitalization": "tasks.capitalization:Capitalization",
    "token_document": "tasks.token_document:TokenDocument",
    "sentence_reordering": "tasks.sentence_reordering:SentenceReordering",
    "sentence_distance": "tasks.sentence_distance:SentenceDistance",
    "discourse_relation": "tasks.discourse_relation:DiscourseRelation",
    "ir_relevance": "tasks.ir_relevance:IRRelevance",
    "given_label": "tasks.given_label:GivenLabel",
    "dialogue": "tasks.dialogue:Dialogue",
    "next_sentence": "tasks.next_sentence:NextSentence",
}


def load(name: str, options: dict | None = None, tasks_from: str | Path | Iterable[str | Path] | None = ()) -> Any:
    """Make a task by its name.

    Args:
        name: of a task here, or of one that a file in ``tasks_from`` defines (which comes first).
        options: keyword arguments of the task's class, as the curriculum gives them.
        tasks_from: Python files, or one of them, with the user's own tasks.
    Raises:
        InputError: no such task, option or file; the nearest name is suggested.
    """
    files = [tasks_from] if isinstance(tasks_from, (str, Path)) else list(tasks_from or ())
    own = {task.name: task for file in files for task in tasks_in(load_file(file))}
    for file in files:
        if not tasks_in(load_file(file)):
            raise InputError("defines no task: a class derived from TokenTask or SequenceTask, with a name", file)
    if name in own:
        return _make(own[name], options or {})
    if name not in TASKS:
        raise InputError(f"unknown task {name!r}" + _nearest(name, [*own, *TASKS]))
    module, _, cls = TASKS[name].partition(":")
    return _make(getattr(importlib.import_module(module), cls), options or {})


def tasks_in(module: ModuleType) -> list[type[Task]]:
    """Return the task classes that a module defines itself and gives a name."""
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Task)]
    return [cls for cls in classes if cls.__module__ == module.__name__ and cls.name]


def _make(cls, options: dict):
    known = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]
    for option in options:
        if option not in known:
            raise InputError(f"task {cls.name} has no option {option!r}" + _nearest(option, known))
    try:
        task = cls(**options)
    except TypeError as error:
        raise InputError(f"task {cls.name}: {error}") from error
    for word, known in (("level", ["token", "sequence"]), ("head", ["classes", "vocabulary"])):
        if getattr(task, word) not in known:
            raise InputError(f"task {cls.name}: {word} {getattr(task, word)!r} is not one of {', '.join(known)}")
    return task


def _nearest(name: str, known: list) -> str:
    return did_you_mean(name, known) or f"; known: {', '.join(known) or 'none'}"
