"""The dygraph release of 2020: saved_weights.pdparams (a pickle) beside ernie_config.json. It has no task embedding."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats import casing
from ernie.checkpoints.formats.finetuned import TOKENIZER
from ernie.checkpoints.formats.pickles import write_pickle
from ernie.checkpoints.formats.static import baidu_config
from ernie.model.config import ErnieConfig

DEFAULTS: dict = {}


def recognises(names: Collection[str], directory: Path) -> bool:
    """Tell whether tensor names and files are this family's."""
    return "word_emb.weight" in names


def write_files(directory: Path, arrays: dict, config: ErnieConfig, vocabulary: list[str] | None,
                lower_case: bool) -> dict[str, Any]:
    """Write the weights; returns the json files that belong beside them."""
    write_pickle(directory / "saved_weights.pdparams", arrays)
    values = baidu_config(config)
    values.pop("task_type_vocab_size", None)
    return {"ernie_config.json": values, TOKENIZER: casing.settings(lower_case)}
