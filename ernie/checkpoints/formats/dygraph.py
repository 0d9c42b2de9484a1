"""The dygraph release of 2020: saved_weights.pdparams (a pickle) beside ernie_config.json. It has no task embedding."""
from __future__ import annotations

from ernie.checkpoints.formats.pickles import write_pickle
from ernie.checkpoints.formats.static import baidu_config

DEFAULTS: dict = {}


def recognises(names, directory) -> bool:
    """Whether tensor names or files are this family\'s."""
    return "word_emb.weight" in names


def write_files(directory, arrays: dict, config, vocabulary, lower_case: bool) -> dict:
    """Write the weights; returns the json files that belong beside them."""
    write_pickle(directory / "saved_weights.pdparams", arrays)
    values = baidu_config(config)
    values.pop("task_type_vocab_size", None)
    return {"ernie_config.json": values}
