"""Hugging Face transformers, ERNIE or BERT: model.safetensors or pytorch_model.bin, config.json, tokenizer files."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ernie.checkpoints.formats import casing
from ernie.checkpoints.formats.finetuned import TOKENIZER
from ernie.checkpoints.formats.paddlenlp import architecture
from ernie.checkpoints.formats.tensor_files import write_safetensors
from ernie.model.config import ErnieConfig, read_json
from reader.utils.errors import InputError

DEFAULTS = {"layer_norm_eps": 1e-12, "use_task_id": False, "task_type_vocab_size": 3, "type_vocab_size": 2}


def recognises(names: Collection[str], directory: Path) -> bool:
    """Tell whether tensor names and files are this family's."""
    return any("encoder.layer." in name and ".attention.self." in name for name in names)


def write_files(directory: Path, arrays: dict, config: ErnieConfig, vocabulary: list[str] | None,
                lower_case: bool) -> dict[str, Any]:
    """Write weights and the fast tokenizer; the tied decoder is left out, transformers ties it again."""
    write_safetensors(directory / "model.safetensors", arrays, format="pt")
    if vocabulary:
        _fast_tokenizer(vocabulary, lower_case).save(str(directory / "tokenizer.json"))
    model = architecture(arrays).replace("Pretraining", "PreTraining")
    values = {**config.to_dict(), "model_type": "ernie", "architectures": [model], "task_id": 0}
    del values["encoder"]
    return {"config.json": values,
            TOKENIZER: {**casing.settings(lower_case), "tokenizer_class": "BertTokenizer",
                        "model_max_length": config.max_position_embeddings, "pad_token": "[PAD]",
                        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}}


def vocabulary(path: str | Path) -> list[str]:
    """Read the tokens by id of a ``tokenizer.json``.

    Raises:
        InputError: it is not a WordPiece tokenizer, or its ids are not 0, 1, 2, ...
    """
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    model = model if isinstance(model, dict) else {}
    index = model.get("vocab")
    if not isinstance(index, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise InputError("does not hold a WordPiece vocabulary", path)
    if any(not isinstance(number, int) or not 0 <= number < len(index) for number in index.values()):
        raise InputError("its vocabulary's ids are not 0, 1, 2, ...", path)
    tokens = dict(zip(index.values(), index))
    if len(tokens) != len(index):
        raise InputError("two tokens of its vocabulary have the same id", path)
    return [tokens[number] for number in range(len(tokens))]


def _fast_tokenizer(vocabulary: list, lower_case: bool):
    """Make what BertTokenizerFast loads: the tokenizer with special tokens and the [CLS] ... [SEP] frame."""
    from tokenizers import AddedToken, processors

    from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer
    tokenizer = Tokenizer(vocabulary, lower_case)
    backend = tokenizer.backend
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    backend.post_processor = processors.BertProcessing(("[SEP]", tokenizer.sep_id), ("[CLS]", tokenizer.cls_id))
    return backend
