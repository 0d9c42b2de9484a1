"""Lower case or capitals: the file that says how a model reads texts, and where outputs of older versions say it."""
from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats.finetuned import DESCRIPTION, TOKENIZER
from ernie.model.config import read_json


def settings(lower_case: bool) -> dict[str, Any]:
    """Return the content of the file for families whose readers ask for nothing else."""
    return {"do_lower_case": lower_case}


def lower_cases(directory: Path, own: bool) -> bool:
    """Tell whether the model in a directory reads texts in lower case, as all released ones do where nothing is said.

    Args:
        own: it was trained here, and perhaps before the file was written.
    Raises:
        InputError: the file is there and cannot be read.
    """
    file = directory / TOKENIZER
    said = read_json(file) if file.is_file() else None
    if isinstance(said, dict) and "do_lower_case" in said:
        return bool(said["do_lower_case"])
    with contextlib.suppress(AttributeError, KeyError, TypeError):  # odd records: they are no part of a model
        return next((found for found in _older(directory) if own and isinstance(found, bool)), True)
    return True


def _older(directory: Path) -> Iterator[Any]:
    """Yield what the records of a fine-tuned model, of joint training and of a pre-training run say."""
    yield _entry(directory / DESCRIPTION, "recipe", "lower_case")
    for run in (directory, *directory.absolute().parents[:2]):
        for task in (_entry(run / "together.json", "tasks") or {}).values():
            yield task.get("lower_case")
        curriculum = _entry(run / "run.json", "curriculum") or {}
        for source in [*curriculum.get("corpora", {}).values(), *curriculum.get("pairs", {}).values()]:
            yield _entry(Path(source["path"], "manifest.json"), "lower_case")


def _entry(file: Path, *keys: str) -> Any:
    """An entry of a json file; None where either is missing."""
    try:
        found = json.loads(file.read_text("utf-8"))
        for key in keys:
            found = found[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found
