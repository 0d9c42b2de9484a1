"""This project's own checkpoints: model.safetensors, ernie_config.json, vocab.txt; names as the model has them."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats.tensor_files import write_safetensors
from ernie.model.config import ErnieConfig

DEFAULTS: dict = {}


def recognises(names: Collection[str], directory: Path) -> bool:
    """Tell whether tensor names and files are this family's."""
    return (directory / "ernie_config.json").is_file() and (directory / "model.safetensors").is_file() and any(
        name.startswith(("ernie.encoder.layers.", "ernie.encoder.rnn.")) for name in names)


def write_files(directory: Path, arrays: dict, config: ErnieConfig, vocabulary: list[str] | None,
                lower_case: bool) -> dict[str, Any]:
    """Write the weights; the configuration's values and file name are returned by every family."""
    write_safetensors(directory / "model.safetensors", arrays, format="np")
    return {"ernie_config.json": config.to_dict()}
