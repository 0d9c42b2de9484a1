"""Tasks in a file of the user's own, which is no module that could be imported by name."""
from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from reader.utils.errors import InputError


def load_file(path: str | Path) -> ModuleType:
    """Import a Python file by its path, once in a process. What it prints goes to standard error.

    Raises:
        InputError: the file is missing or does not import.
    """
    path = Path(path).resolve()
    module_name = "tasks_from_" + hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    if module_name in sys.modules:
        return sys.modules[module_name]
    if not path.is_file():
        raise InputError("no such file of tasks", path)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise InputError("a file of tasks must be Python (.py)", path)
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output belongs to the command that loads the file
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InputError(f"cannot be imported: {type(error).__name__}: {error}", path, line) from error
    return module


def rebuild(file: str | None, module: str, cls: str, state: dict) -> Any:
    """Make a task again as it was in another process, which may have loaded its class from a file."""
    home = load_file(file) if file and module.startswith("tasks_from_") else importlib.import_module(module)
    task = object.__new__(getattr(home, cls))
    task.__dict__.update(state)
    return task
