"""Weights of a checkpoint of any family into a model, with an account of what went where."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints.checkpoint import resolve
from ernie.checkpoints.formats import Pretrained, read
from ernie.checkpoints.formats.families import TASK, WORDS
from ernie.utils.resources import locate_checkpoint
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError
from reader.utils.text import counted

BIAS = "cls.predictions.decoder_bias"
TABLES = {f"ernie.embeddings.{kind}_embeddings.weight" for kind in ("position", "token_type", "task_type")}


@dataclass
class LoadReport:
    """An account of a loaded checkpoint; ``str`` of it is for people.

    loaded, missing: parameters of the model. unexpected: arrays of the checkpoint that the model has no place for.
    padded: (parameter, rows of the checkpoint, rows of the model), where the numbers differ. notes: a line each.
    """

    family: str
    path: Path
    loaded: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    padded: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"loaded {counted(len(self.loaded), 'array')} from {self.path} ({self.family} family)"]
        lines += [f"  {name}: {counted(rows, 'row')} of the checkpoint in {ours} of the model"
                  + (", the others as initialised" if ours > rows else "") for name, rows, ours in self.padded]
        for what, names in (("not in the checkpoint, as initialised", self.missing),
                            ("not in the model, passed over", self.unexpected)):
            if names:
                lines.append(f"  {what}: {', '.join(names[:6])}" + (f" and {len(names) - 6} more" * (len(names) > 6)))
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def read_pretrained(path: str | Path, config_file: str | Path | None = None) -> Pretrained:
    """Read a model with ``formats.read``; a run or stage directory stands for its newest checkpoint.

    Args:
        path: as ``locate_checkpoint`` takes it. config_file: in place of the configuration beside the weights.
    """
    path = locate_checkpoint(path)
    return read(resolve(path) if path.is_dir() else path, config_file)


def load_pretrained(model: Any, path: str | Path | Pretrained, vocab: str | Path | None = None) -> LoadReport:
    """Start warm: take the weights of a checkpoint and nothing else.

    Args:
        model: a layer whose parameters carry our names (``ernie.*``, ``cls.*``, ``heads.*``); what the checkpoint has
            not stays as initialised, but a missing task embedding becomes zeros.
        path: of a checkpoint of any family, an archive of one, a run or a stage; or a ``Pretrained``.
        vocab: the vocabulary file that the model's ids belong to; when given, the checkpoint's must begin with the
            same tokens or the other way round, and rows are cut or padded to fit.
    Raises:
        InputError: nothing fits, a shape cannot fit, or the vocabularies differ.
    """
    found = path if isinstance(path, Pretrained) else read_pretrained(path)
    report = LoadReport(found.family, found.path, unexpected=list(found.unexpected), notes=list(found.notes))
    tokens = _known_tokens(found, vocab)
    parameters = model.state_dict()
    for name, parameter in parameters.items():
        array = found.arrays.get(name)
        fitted = None if array is None else _fitted(name, array, parameter, tokens, report)
        if fitted is not None:
            _set(parameter, fitted)
            report.loaded.append(name)
        elif array is not None:
            report.notes.append(f"{name} is {list(array.shape)} in the checkpoint and {list(parameter.shape)} in the "
                                "model: as initialised")
        elif name == TASK:
            _set(parameter, np.zeros(parameter.shape, np.float32))
            report.notes.append("the checkpoint has no task embedding: zeros")
        else:
            report.missing.append(name)
    report.unexpected += [name for name in found.arrays if name not in parameters]
    if not any(name.startswith("ernie.encoder") for name in report.loaded):
        raise InputError("no parameter of the model's encoder is in this checkpoint", found.path)
    return report


def _known_tokens(found: Pretrained, vocab) -> int:
    """Rows of the word embedding that mean something."""
    if found.vocab is None:
        return found.config.vocab_size
    theirs = read_vocab(found.vocab)
    if vocab is not None:
        ours = read_vocab(vocab)
        for row, (our, their) in enumerate(zip(ours, theirs)):
            if our != their:
                raise InputError(f"the checkpoint {found.path} has another vocabulary: token {row} is {their!r} there, "
                                 f"{our!r} here", vocab)
        return min(len(ours), len(theirs))
    return len(theirs)


def _fitted(name: str, array: np.ndarray, parameter, tokens: int, report: LoadReport) -> np.ndarray | None:
    """The array in the parameter's shape: embedding tables may have more rows, or lack rows that no id uses.
    None for the head of a task whose classes have changed.
    """
    rows, ours = array.shape[0] if array.ndim else 0, tuple(parameter.shape)
    if array.shape == ours:
        return array
    least = {WORDS: tokens, BIAS: tokens, "ernie.embeddings.position_embeddings.weight": 1}.get(name, rows)
    if name.startswith("heads."):  # another label set: a new head, as in going from one fine-tuned task to the next
        return None
    if name not in TABLES | {WORDS, BIAS} or array.shape[1:] != ours[1:] or ours[0] < least:
        raise InputError(f"{name} is {list(array.shape)} in the checkpoint and {list(ours)} in the model: cannot fit",
                         report.path)
    report.padded.append((name, rows, ours[0]))
    both = min(rows, ours[0])
    fitted = parameter.astype("float32").numpy().copy()
    fitted[:both] = array[:both]
    return fitted


def _set(parameter, array: np.ndarray) -> None:
    import paddle
    parameter.set_value(paddle.to_tensor(np.ascontiguousarray(array)).astype(parameter.dtype))
