"""The static graph release of 2019: ``params/``, one Fluid LoDTensor file per variable, beside ernie_config.json."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats import casing
from ernie.checkpoints.formats.finetuned import TOKENIZER
from ernie.checkpoints.formats.tensor_files import write_lod
from ernie.model.config import ErnieConfig

DEFAULTS: dict = {}


def recognises(names: Collection[str], directory: Path) -> bool:
    """Tell whether tensor names and files are this family's."""
    return "word_embedding" in names


def write_files(directory: Path, arrays: dict, config: ErnieConfig, vocabulary: list[str] | None,
                lower_case: bool) -> dict[str, Any]:
    """Write the params directory; that code knows sent_type_vocab_size and takes a task embedding where it is sized."""
    (directory / "params").mkdir()
    for name, array in arrays.items():
        write_lod(directory / "params" / name, array)
    return {"ernie_config.json": baidu_config(config), TOKENIZER: casing.settings(lower_case)}


def baidu_config(config: ErnieConfig) -> dict[str, Any]:
    """Return configuration values in the spelling of Baidu's releases."""
    values = config.to_dict()
    values["sent_type_vocab_size"] = values["type_vocab_size"]  # 2.0 English; type_vocab_size is how 1.0 spells it
    if not values.pop("use_task_id"):
        del values["task_type_vocab_size"]
    del values["encoder"]
    return values
