"""The pre-training tasks. ``load`` finds one by the name that curricula use."""
from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path

from reader.errors import InputError

TASKS = {
    "knowledge_masking": "tasks.knowledge_masking:KnowledgeMasking",
    "capitalization": "tasks.capitalization:Capitalization",
    "token_document": "tasks.token_document:TokenDocument",
    "sentence_reordering": "tasks.sentence_reordering:SentenceReordering",
    "sentence_distance": "tasks.sentence_distance:SentenceDistance",
    "discourse_relation": "tasks.discourse_relation:DiscourseRelation",
    "ir_relevance": "tasks.ir_relevance:IRRelevance",
    "given_label": "tasks.given_label:GivenLabel",
    "next_sentence": "tasks.next_sentence:NextSentence",
}


def load(name: str, options: dict | None = None, tasks_from=()):
    """A task by its name.

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


def load_file(path):
    """Import a Python file by its path, once. Raises InputError when it is missing or does not import."""
    path = Path(path).resolve()
    module_name = "tasks_from_" + hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    if module_name in sys.modules:
        return sys.modules[module_name]
    if not path.is_file():
        raise InputError("no such file of tasks", path)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        raise InputError("a file of tasks must be Python (.py)", path)
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InputError(f"cannot be imported: {type(error).__name__}: {error}", path, line) from error
    return module


def tasks_in(module) -> list:
    """The task classes that a module defines itself and gives a name."""
    from tasks.base import Task
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Task)]
    return [cls for cls in classes if cls.__module__ == module.__name__ and cls.name]


def rebuild(file, module: str, cls: str, state: dict):
    """A task as it was in another process, which may have loaded its class from a file."""
    home = load_file(file) if module.startswith("tasks_from_") else importlib.import_module(module)
    task = object.__new__(getattr(home, cls))
    task.__dict__.update(state)
    return task


def _make(cls, options: dict):
    known = [name for name in inspect.signature(cls).parameters if name not in ("args", "kwargs")]
    for option in options:
        if option not in known:
            raise InputError(f"task {cls.name} has no option {option!r}" + _nearest(option, known))
    try:
        return cls(**options)
    except TypeError as error:
        raise InputError(f"task {cls.name}: {error}") from error


def _nearest(name: str, known: list) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f": did you mean {near[0]!r}?" if near else f"; known: {', '.join(known) or 'none'}"
