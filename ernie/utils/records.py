"""Records of what runs were started with, and their comparison with what is started now."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reader.utils.errors import InputError


def read_record(file: Path) -> dict[str, Any]:
    """Read what a run was started with. Raises InputError where the file is damaged."""
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"is not readable ({error})", file) from None


def refuse_another_run(file: Path, old: Any, new: Any, instead: str = "--output") -> None:
    """Raise InputError, with every difference spelled out, where ``new`` would not continue what ``file`` records.

    Args:
        instead: what else to name, where the other run is to stay.
    """
    changed = differences(old, new)
    if changed:
        raise InputError(f"this run was started differently; use another {instead}, or undo:\n  "
                         + "\n  ".join(changed), file)


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
