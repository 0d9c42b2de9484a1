"""PaddleNLP: model_state.pdparams (a pickle), config.json or the older model_config.json, tokenizer_config.json."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats import casing
from ernie.checkpoints.formats.finetuned import TOKENIZER
from ernie.checkpoints.formats.pickles import write_pickle
from ernie.model.config import ErnieConfig

DEFAULTS = {"layer_norm_eps": 1e-12, "use_task_id": False, "task_type_vocab_size": 3, "type_vocab_size": 16}


def recognises(names: Collection[str], directory: Path) -> bool:
    """Tell whether tensor names and files are this family's."""
    return any("encoder.layers." in name and ".self_attn." in name for name in names)


def write_files(directory: Path, arrays: dict, config: ErnieConfig, vocabulary: list[str] | None,
                lower_case: bool) -> dict[str, Any]:
    """Write weights; the tied decoder is stored once more, as PaddleNLP's pre-training model expects."""
    if "cls.predictions.decoder_bias" in arrays:
        arrays = {**arrays, "cls.predictions.decoder.weight": arrays["ernie.embeddings.word_embeddings.weight"],
                  "cls.predictions.decoder.bias": arrays["cls.predictions.decoder_bias"]}
    write_pickle(directory / "model_state.pdparams", arrays)
    values = {**config.to_dict(), "model_type": "ernie", "architectures": [architecture(arrays)], "task_id": 0}
    del values["encoder"]
    return {"config.json": values,
            TOKENIZER: {**casing.settings(lower_case), "tokenizer_class": "ErnieTokenizer",
                                      "model_max_length": config.max_position_embeddings}}


def architecture(arrays: dict) -> str:
    """Return the name of the smallest of the peers' classes that has a place for the weights."""
    if "cls.seq_relationship.weight" in arrays:
        return "ErnieForPretraining"
    return "ErnieForMaskedLM" if any(name.startswith("cls.predictions.") for name in arrays) else "ErnieModel"
