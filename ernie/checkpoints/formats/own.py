"""This project's own checkpoints: model.safetensors, ernie_config.json, vocab.txt, tokenizer_config.json; our names."""
from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats import casing
from ernie.checkpoints.formats.finetuned import TOKENIZER
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
    return {"ernie_config.json": config.to_dict(), TOKENIZER: casing.settings(lower_case)}


def texts(config: ErnieConfig, vocabulary: str, lower_case: bool) -> dict[str, str]:
    """Return what lies beside the weights of a model that is trained here, file name -> text.

    Args:
        vocabulary: text of vocab.txt. lower_case: how texts are read.
    """
    return {"ernie_config.json": json.dumps(config.to_dict(), indent=2) + "\n", "vocab.txt": vocabulary,
            TOKENIZER: json.dumps(casing.settings(lower_case), indent=2) + "\n"}
