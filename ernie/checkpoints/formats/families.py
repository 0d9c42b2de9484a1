"""Reading a checkpoint of any family into our names, and writing one."""
from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints.formats import archives, dygraph, huggingface, own, paddlenlp, pickles, static, tensor_files
from ernie.checkpoints.formats.arrays import as_float32, plain
from ernie.checkpoints.formats.casing import lower_cases
from ernie.checkpoints.formats.finetuned import FinetunedHead, foreign_head, own_head
from ernie.checkpoints.formats.names import COPIES, Name, head, normal_spelling, stored_head, table
from ernie.model.config import FILE_NAMES, ErnieConfig, find_config, read_json
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError
from reader.utils.files import place_of
from reader.utils.text import counted

FAMILIES = {"own": own, "static": static, "dygraph": dygraph, "paddlenlp": paddlenlp, "huggingface": huggingface}
TASK = "ernie.embeddings.task_type_embeddings.weight"
MOST_DIRECTORIES = 1_000  # that are looked through for weights
WORDS = "ernie.embeddings.word_embeddings.weight"
SENTENCES = "ernie.embeddings.token_type_embeddings.weight"
NO_TASK = "; one of its rows is added to every token here and none there, so that the vectors differ"


@dataclass
class Pretrained:
    """A checkpoint in our terms.

    arrays: our parameter name -> float32 array, dense weights [in, out]. vocab: its vocabulary file, if there is one.
    unexpected: stored names that have no place in our model. notes: what else a person should know, one line each.
    top: the head of a fine-tuned model.
    """

    family: str
    path: Path
    config: ErnieConfig
    arrays: dict
    vocab: Path | None = None
    lower_case: bool = True
    unexpected: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    top: FinetunedHead | None = None


def read(path: str | Path, config_file: str | Path | None = None) -> Pretrained:
    """Read a checkpoint directory, its weights (file or ``params`` directory), or an archive of either.

    Args:
        config_file: the configuration, where it does not lie beside the weights.
    Raises:
        InputError: nothing known is there, or it is damaged, or arrays and configuration disagree.
    """
    source = Path(path)
    directory, weights, notes = _locate(archives.unpacked(source) if archives.is_archive(source) else source, source)
    stored = _container(weights)(weights)
    family = next((name for name, module in FAMILIES.items() if module.recognises(stored, directory)), None)
    if family is None:
        some = plain(", ".join(sorted(stored)[:3]))
        raise InputError(f"not an ERNIE or BERT checkpoint of a known family: it holds {some or 'nothing'}", weights)
    values = _config_values(config_file or directory)
    config = ErnieConfig.from_dict({**FAMILIES[family].DEFAULTS, **values}, directory)
    if family == "own":
        arrays = {name: as_float32(array) for name, array in stored.items()}
        unexpected: list[str] = []
        top = own_head(directory)
    else:
        top = foreign_head(family, stored, values, directory)
        arrays, unexpected = _renamed(family, stored, config.num_hidden_layers, top)
    found = Pretrained(family, source, config, arrays, unexpected=unexpected, notes=notes, top=top)
    _agree(found)
    _find_vocabulary(found, directory)
    return found


def write(checkpoint: Pretrained, directory: str | Path, family: str) -> list[str]:
    """Write as a family's directory, which must not exist or be empty. Returns notes on what could not travel.

    Raises:
        InputError: the directory is in use, or the family cannot hold this model.
    """
    directory, config = place_of(directory), checkpoint.config
    notes: list[str] = []
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError("exists already and is not an empty directory", directory)
    if family != "own" and config.encoder != "transformer":
        raise InputError(f"the {family} family has no room for a {config.encoder} encoder", checkpoint.path)
    arrays = _stored(checkpoint, family, notes) if family != "own" else checkpoint.arrays
    vocabulary = read_vocab(checkpoint.vocab) if checkpoint.vocab else None
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        texts = FAMILIES[family].write_files(partial, arrays, config, vocabulary, checkpoint.lower_case)
        if checkpoint.top:
            checkpoint.top.describe(texts, family)
        for name, content in texts.items():
            text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
            (partial / name).write_text(text, "utf-8")
        if vocabulary:
            (partial / "vocab.txt").write_bytes("".join(token + "\n" for token in vocabulary).encode())
        else:
            notes.append("no vocabulary was found beside the weights: none was written")
        if directory.exists():
            directory.rmdir()
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return notes


def _locate(path: Path, source: Path) -> tuple[Path, Path, list[str]]:
    """(directory with the configuration, weights file or params directory, notes)."""
    if not path.exists():
        raise InputError("no such checkpoint", source)
    if path.is_file():
        return path.parent, path, []
    if (path / "word_embedding").is_file():
        return path.parent if not _has_config(path) else path, path, []
    found = [(directory, weights) for directory in _directories(path) if (weights := _weights_in(directory))]
    if not found:
        raise InputError("no weights here (looked for params/, model.safetensors, *.pdparams, pytorch_model.bin)",
                         source)
    (directory, weights), depth = found[0], len(found[0][0].parts)
    beside = sum(len(other.parts) == depth for other, _ in found)
    notes = [f"{source} holds {beside} models: {directory.relative_to(path)} is taken"] if beside > 1 else []
    return directory, weights, notes


def _weights_in(directory: Path) -> Path | None:
    if (directory / "params" / "word_embedding").is_file():
        return directory / "params"
    for name in ("model.safetensors", "model_state.pdparams", "saved_weights.pdparams", "pytorch_model.bin"):
        if (directory / name).is_file():
            return directory / name
    others = sorted(directory.glob("*.pdparams"))
    return others[0] if len(others) == 1 else None


def _directories(path: Path) -> list[Path]:
    """A directory and what lies up to three levels below it, as an archive's own folder does; the nearest first."""
    found = level = [path]
    for _ in range(3):
        level = sorted(inner for outer in level for inner in outer.iterdir() if inner.is_dir())
        found = found + level
        if len(found) > MOST_DIRECTORIES:
            raise InputError(f"more than {MOST_DIRECTORIES:,} directories: not one checkpoint", path)
    return found


def _has_config(directory: Path) -> bool:
    return any((directory / name).is_file() for name in FILE_NAMES)


def _container(weights: Path):
    if weights.is_dir():
        return tensor_files.read_lod_directory
    readers = {".safetensors": tensor_files.read_safetensors, ".pdparams": pickles.read_paddle,
               ".bin": pickles.read_torch, ".pt": pickles.read_torch}
    if weights.suffix not in readers:
        raise InputError("not a weights file of a known kind (.safetensors, .pdparams, .bin)", weights)
    return readers[weights.suffix]


def _config_values(place) -> dict[str, Any]:
    """The configuration, a file or in a directory, as a flat mapping; PaddleNLP once nested it under init_args."""
    path = find_config(place)
    values = read_json(path)
    for _ in range(4):
        nested = values.get("init_args") if isinstance(values, dict) else None
        if not (isinstance(nested, (list, tuple)) and nested and isinstance(nested[0], dict)):
            break
        values = {**nested[0], **{key: value for key, value in values.items() if key != "init_args"}}
    if not isinstance(values, dict):
        raise InputError(f"model configuration is a {type(values).__name__}, not a mapping", path)
    if values.get("model_type", "ernie") not in ("ernie", "bert"):
        raise InputError(f"model_type {plain(values['model_type'])!r} is not ernie or bert", path)
    positions = values.get("position_embedding_type", "absolute")
    if positions not in ("absolute", None):
        raise InputError(f"position_embedding_type {plain(positions)!r} is not absolute", path)
    return values


def _renamed(family: str, stored: dict, layers: int, top: FinetunedHead | None) -> tuple[dict, list]:
    """(our name -> array as float32, names without a place)."""
    names, arrays, unexpected = table(family, layers), {}, []
    names.update(top.names(family) if top else {})
    for name, array in stored.items():
        spelling = normal_spelling(name) if family in ("paddlenlp", "huggingface") else name
        ours = names.get(spelling) or head(family, spelling)
        if ours:
            arrays[ours.ours] = as_float32(array.T if ours.transposed and array.ndim == 2 else array)
        elif spelling not in COPIES and not spelling.endswith("position_ids"):
            unexpected.append(plain(name))
    for name, array in stored.items():  # an untied decoder cannot be ours
        original = arrays.get(COPIES.get(normal_spelling(name), ""))
        if original is None and normal_spelling(name) == "cls.predictions.decoder.bias":
            arrays["cls.predictions.decoder_bias"] = as_float32(array)
        elif original is not None and not (original.shape == array.shape and np.array_equal(original, array)):
            unexpected.append(f"{plain(name)} (differs from the array it should be tied to)")
    return arrays, sorted(unexpected)


def _agree(found: Pretrained) -> None:
    """Arrays against the configuration: shapes, the task embedding, nothing of the encoder missing."""
    config, arrays = found.config, found.arrays
    rows = arrays[TASK].shape[0] if TASK in arrays and arrays[TASK].ndim == 2 else 0
    if rows and not config.use_task_id:
        config.use_task_id, config.task_type_vocab_size = True, rows
    expected = shapes(config)
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            raise InputError(f"{name} is {list(arrays[name].shape)}, its configuration says {list(shape)}", found.path)
    absent = [name for name in expected if name.startswith("ernie.e") and name not in arrays and name != TASK]
    if absent:
        lacking = counted(len(absent), "array")
        raise InputError(f"the checkpoint lacks {lacking} of the encoder, {absent[0]} first", found.path)


def shapes(config: ErnieConfig) -> dict[str, tuple]:
    """Return the shape of each of our parameters, of everything but the heads of tasks and a recurrent encoder."""
    size, vocabulary = config.hidden_size, config.vocab_size
    wide = config.intermediate_size or 4 * size
    rows = {"word": vocabulary, "position": config.max_position_embeddings, "token_type": config.type_vocab_size}
    if config.use_task_id:
        rows["task_type"] = config.task_type_vocab_size
    found: dict[str, tuple] = {}
    found.update({f"ernie.embeddings.{name}_embeddings.weight": (count, size) for name, count in rows.items()})
    layers = config.num_hidden_layers if config.encoder == "transformer" else 0
    for name in {ours.ours for ours in table("own", layers).values()} - set(found):
        if name == TASK or name.startswith("cls.seq"):
            continue
        wide_in, wide_out = "linear2.weight" in name, "linear1." in name
        ends = vocabulary if name.endswith("decoder_bias") else wide if wide_out else size
        vector = name.endswith("bias") or "norm" in name
        found[name] = (ends,) if vector else (wide if wide_in else size, ends)
    return found


def _find_vocabulary(found: Pretrained, directory: Path) -> None:
    found.lower_case = lower_cases(directory, found.family == "own")
    if (directory / "vocab.txt").is_file():
        found.vocab = directory / "vocab.txt"
    elif (directory / "tokenizer.json").is_file():  # all that transformers writes since version 5
        found.vocab = _unpacked_vocabulary(directory / "tokenizer.json")
    if found.vocab:
        tokens, rows = len(read_vocab(found.vocab)), found.config.vocab_size
        if tokens > rows:
            raise InputError(f"{tokens} tokens, but the word embedding has {rows} rows", found.vocab)


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="ernie-")


def _unpacked_vocabulary(path: Path) -> Path:
    """A vocabulary file with the tokens of a ``tokenizer.json``; it lasts as long as the process."""
    tokens = huggingface.vocabulary(path)
    odd = next((token for token in tokens if "\n" in token or "\r" in token), None)
    if odd is not None:
        raise InputError(f"token {plain(repr(odd))} has a line break in it: it fits no vocabulary file", path)
    file = Path(_scratch().name) / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.txt"
    file.write_bytes("".join(token + "\n" for token in tokens).encode())
    return file


def _with_its_task(checkpoint: Pretrained, family: str, notes: list) -> dict[str, np.ndarray]:
    """The arrays of a fine-tuned model, so that a family adds the task embedding that it was trained with."""
    arrays, top = dict(checkpoint.arrays), checkpoint.top
    if top is None or TASK not in arrays or not 0 <= top.task_id < len(arrays[TASK]):
        return arrays
    if family == "huggingface" and top.task_id:
        arrays[TASK] = arrays[TASK].copy()
        arrays[TASK][[0, top.task_id]] = arrays[TASK][[top.task_id, 0]]
        notes.append(f"task embeddings 0 and {top.task_id} have changed places: transformers adds number 0, this model "
                     f"was trained with {top.task_id}")
    elif family == "dygraph":
        arrays[SENTENCES] = arrays[SENTENCES] + arrays.pop(TASK)[top.task_id]
        notes.append(f"the dygraph family has no task embedding: number {top.task_id}, which this model was trained "
                     "with, is part of its sentence embeddings")
    return arrays


def _stored(checkpoint: Pretrained, family: str, notes: list) -> dict[str, Any]:
    """Arrays under the family's names, in its orientation."""
    config = checkpoint.config
    names = {ours.ours: Name(theirs, ours.transposed)
             for theirs, ours in {**table(family, config.num_hidden_layers),
                                  **(checkpoint.top.names(family) if checkpoint.top else {})}.items()}
    arrays = {}
    for name, array in _with_its_task(checkpoint, family, notes).items():
        place = names.get(name)
        if place is None and name.startswith("heads."):
            place = Name(stored_head(family, name), family == "huggingface" and name.endswith(".weight"))
        if place is None:
            notes.append(f"{name} has no place in the {family} family: not written"
                         + (NO_TASK if name == TASK and array.any() else ""))
        else:
            arrays[place.ours] = np.ascontiguousarray(array.T if place.transposed else array)
    return arrays
