"""Comparison of the record of a run with what it is started with now."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from reader.utils.errors import InputError


def refuse_another_run(file: Path, old: Any, new: Any) -> None:
    """Raise InputError, with every difference spelled out, where ``new`` would not continue what ``file`` records."""
    changed = differences(old, new)
    if changed:
        raise InputError("this run was started differently; use another --output, or undo:\n  " + "\n  ".join(changed),
                         file)


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return a line for each value in nested dicts and lists that differs; a dict that one side lacks is one value."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in [*old, *(k for k in new if k not in old)]
                for line in differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for k, (a, b) in enumerate(zip(old, new)) for line in differences(a, b, f"{where}[{k}]")]
    if old == new:
        return []
    if new is None and isinstance(old, dict):
        return [f"{where}: was there, is not now"]
    if old is None and isinstance(new, dict):
        return [f"{where}: was not there, is now"]
    return [f"{where}: was {old!r}, is now {new!r}"]
