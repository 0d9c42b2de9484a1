"""Text to vectors: a pre-trained encoder with its tokenizer, batched by length."""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import paddle

from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
from ernie.finetuning.predictor import find_weights
from ernie.model.config import ErnieConfig
from ernie.model.cpu_kernels import from_numpy
from ernie.model.encoder import Encoder
from ernie.model.exported import INPUTS, Exported, is_exported
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.files import place_of
from reader.utils.text import did_you_mean

HEADER = 128  # bytes of a .npy header
CHUNK = 4096  # texts that are tokenized and sorted by length together
POOLINGS = ("mean", "cls", "first")


class Vectors:
    """An encoder and its tokenizer, for inference.

    Args:
        path: a checkpoint of any family, a run, an output of fine-tuning, an archive, or an encoder that ``ernie
            export`` wrote.
        max_length: longer texts are cut. task_id: whose embedding is added, where the model has task embeddings; by
            default that which a fine-tuned model was trained with, or else number 0.
    Attributes: model (``Encoder`` in eval mode, or ``Exported``), tokenizer, config, report (what was loaded).
    """

    def __init__(self, path: str | Path, max_length: int = 512, task_id: int | None = None):
        self._trained_with = 0
        vocab, lower_case = (self._open_export if is_exported(path) else self._open_checkpoint)(path)
        if vocab is None:
            raise InputError("no vocab.txt beside the weights", path)
        self.task_id = task_id = self._trained_with if task_id is None else task_id
        if self.config.use_task_id and not 0 <= task_id < self.config.task_type_vocab_size:
            raise InputError(f"task id {task_id} is not one of the model's {self.config.task_type_vocab_size}", path)
        if task_id and not self.config.use_task_id:
            self.report += f"\nthe model has no task embedding: task id {task_id} changes nothing"
        self.max_length = min(max_length, self.config.max_position_embeddings)
        if self.max_length < 3:
            raise InputError(f"max_length {max_length} leaves no room for text between [CLS] and [SEP]")
        self.tokenizer = Tokenizer.load(vocab, lower_case)

    def _open_checkpoint(self, path):
        found = read_pretrained(find_weights(path))
        self.config = found.config
        holder = paddle.nn.Layer()
        holder.ernie = self.model = Encoder(found.config)
        self.report = str(load_pretrained(holder, found))
        self.model.eval()
        if found.top and 0 <= found.top.task_id < found.config.task_type_vocab_size:
            self._trained_with = found.top.task_id
        return found.vocab, found.lower_case

    def _open_export(self, path):
        self.model, self.config = Exported(path), ErnieConfig.load(path)
        facts = self.model.facts
        if facts["outputs"] != ["hidden", "pooled"]:
            raise InputError("is an exported fine-tuned model, not an encoder: use `ernie predict`", path)
        loaded = f", {facts['loaded']}" if facts.get("loaded") else ""  # what was in the checkpoint and what was not
        self.report = f"exported encoder {path} ({facts['to']}, {facts['precision']}){loaded}"
        vocab = Path(path) / "vocab.txt"
        return vocab if vocab.is_file() else None, bool(facts.get("lower_case", True))

    def encode(self, texts: Sequence[str], pooling: str = "mean", batch_tokens: int = 4096) -> np.ndarray:
        """Return [n, H] float32, a vector for each text, in order.

        Args:
            texts: list of str. pooling: "mean" of the hidden states of all tokens, [CLS] and [SEP] included; "first",
                the hidden state of [CLS]; or "cls", the pooled output (a dense layer and tanh over it).
            batch_tokens: positions of a padded batch.
        Raises:
            InputError: ``texts`` is no list of str, there is no such pooling, or batch_tokens is below 1.
        """
        if pooling not in POOLINGS:
            near = did_you_mean(pooling, POOLINGS) or f": expected one of {', '.join(POOLINGS)}"
            raise InputError(f"unknown pooling {pooling!r}{near}")
        texts = _checked(texts, batch_tokens)
        out = np.empty((len(texts), self.config.hidden_size), np.float32)
        for start in range(0, len(texts), CHUNK):
            for rows, hidden, pooled, lengths in self._batches(texts[start:start + CHUNK], batch_tokens):
                out[start + rows] = _pool(hidden, pooled, lengths, pooling)
        return out

    def encode_tokens(self, texts: Sequence[str], batch_tokens: int = 4096) -> list[np.ndarray]:
        """Return, for each text, [its tokens with [CLS] and [SEP], H] float32."""
        texts = _checked(texts, batch_tokens)
        out: list[np.ndarray] = [np.empty(0, np.float32)] * len(texts)
        for start in range(0, len(texts), CHUNK):
            for rows, hidden, _, lengths in self._batches(texts[start:start + CHUNK], batch_tokens):
                for row, states, length in zip(rows, hidden, lengths):
                    out[start + row] = states[:length]
        return out

    def _batches(self, texts, batch_tokens: int):
        """Yields (rows [r], hidden [r, L, H], pooled [r, H], lengths [r]) in numpy, batches of similar lengths."""
        frame = self.tokenizer.cls_id, self.tokenizer.sep_id
        ids = [np.r_[frame[0], found.ids[:self.max_length - 2], frame[1]]
               for found in self.tokenizer.encode_batch(list(texts))]
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")
        while len(order):
            width = lengths[order[0]]
            rows, order = np.split(order, [max(1, batch_tokens // width)])
            tokens = np.full((len(rows), width), self.tokenizer.pad_id)
            for place, row in enumerate(rows):
                tokens[place, :lengths[row]] = ids[row]
            hidden, pooled = self.forward(tokens, lengths[rows])
            yield rows, hidden, pooled, lengths[rows]

    def forward(self, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode [r, L] ids of single-segment rows with their lengths [r] to (hidden [r, L, H], pooled [r, H])."""
        positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        arrays = (tokens, np.zeros_like(tokens), positions, lengths, np.full((len(tokens), 1), self.task_id))
        if isinstance(self.model, Exported):
            hidden, pooled = self.model(**dict(zip(INPUTS, arrays)))
            return hidden, pooled
        with paddle.no_grad():
            hidden, pooled = self.model(*(from_numpy(np.ascontiguousarray(a, np.int64)) for a in arrays))
        return hidden.numpy(), pooled.numpy()


def _checked(texts: Sequence[str], batch_tokens: int) -> list[str]:
    """The texts as a list; InputError for what is none."""
    if isinstance(texts, str):
        raise InputError(f"expected a list of texts, found one text: encode([{texts!r:.40}])")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts[{number}] is {text!r:.40} ({type(text).__name__}), expected str")
    if batch_tokens < 1:
        raise InputError(f"batch_tokens is {batch_tokens}, must be at least 1")
    return texts


def _pool(hidden, pooled, lengths, pooling: str) -> np.ndarray:
    if pooling == "cls":
        return pooled
    if pooling == "first":
        return hidden[:, 0]
    inside = np.arange(hidden.shape[1]) < lengths[:, None]
    return (hidden * inside[..., None]).sum(1) / lengths[:, None].astype(np.float32)


def encode_file(vectors: Vectors, source: str | Path, target: str | Path, pooling: str, batch_tokens: int,
                progress: Callable[[int], None]) -> int:
    """Write the vectors of a text file's lines to a ``.npy`` file, in constant memory.

    Args:
        pooling: of ``Vectors.encode``, or "tokens": then the array holds the vectors of all tokens one after another
            and ``.offsets.npy`` beside it says where each line begins and the last ends.
        progress: called with the number of lines done.
    Returns: the number of lines.
    Raises: InputError: a missing or undecodable file.
    """
    target, done, offsets = place_of(target), 0, [0]
    partial = target.with_name(target.name + ".partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(bytes(HEADER))
            for lines in _chunks(Path(source)):
                if pooling == "tokens":
                    found = vectors.encode_tokens(lines, batch_tokens)
                    offsets += (offsets[-1] + np.cumsum([len(states) for states in found])).tolist()
                    file.writelines(np.ascontiguousarray(states).data for states in found)
                else:
                    file.write(vectors.encode(lines, pooling, batch_tokens).data)
                done += len(lines)
                progress(done)
            file.seek(0)
            file.write(_npy_header(offsets[-1] if pooling == "tokens" else done, vectors.config.hidden_size))
        if pooling == "tokens":
            np.save(target.with_suffix(".offsets.npy"), np.array(offsets))
        partial.replace(target)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", target) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return done


def _npy_header(rows: int, size: int) -> bytes:
    """Return the header of a float32 array, written last: the number of rows is known at the end."""
    header = repr({"descr": "<f4", "fortran_order": False, "shape": (rows, size)})
    room = HEADER - 10
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + header.ljust(room - 1).encode() + b"\n"


def _chunks(source: Path):
    lines, number = [], 0
    try:
        with open(source, "rb") as file:
            for raw in file:
                number += 1
                lines.append(raw.decode("utf-8").rstrip("\r\n"))
                if len(lines) == CHUNK:
                    yield lines
                    lines = []
    except UnicodeDecodeError as error:
        raise InputError(f"not valid UTF-8 ({error.reason})", source, number) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source) from None
    if lines:
        yield lines
