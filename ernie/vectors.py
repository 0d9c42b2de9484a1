"""Text to vectors: a pre-trained encoder with its tokenizer, batched by length."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle

from ernie.encoder import Encoder
from ernie.loading import load_pretrained, read_pretrained
from reader.errors import InputError
from reader.tokenizer import Tokenizer

POOLINGS = ("mean", "cls", "first")
CHUNK = 4096  # texts that are tokenized and sorted by length together


class Vectors:
    """An encoder and its tokenizer, for inference.

    Attributes: model (``Encoder``, in eval mode), tokenizer, config, report (what was loaded).
    """

    def __init__(self, path, max_length: int = 512, task_id: int = 0):
        found = read_pretrained(path)
        if found.vocab is None:
            raise InputError("no vocab.txt beside the weights", path)
        self.config, self.task_id = found.config, task_id
        if found.config.use_task_id and not 0 <= task_id < found.config.task_type_vocab_size:
            raise InputError(f"task id {task_id} is not one of the model's {found.config.task_type_vocab_size}", path)
        self.max_length = min(max_length, found.config.max_position_embeddings)
        if self.max_length < 3:
            raise InputError(f"max_length {max_length} leaves no room for text between [CLS] and [SEP]")
        self.tokenizer = Tokenizer.load(found.vocab, found.lower_case)
        holder = paddle.nn.Layer()
        holder.ernie = self.model = Encoder(found.config)
        self.report = load_pretrained(holder, found)
        self.model.eval()

    def encode(self, texts, pooling: str = "mean", batch_tokens: int = 4096) -> np.ndarray:
        """[n, H] float32, a vector for each text, in order.

        Args:
            texts: list of str. pooling: "mean" of the hidden states of all tokens, [CLS] and [SEP] included; "first",
                the hidden state of [CLS]; or "cls", the pooled output (a dense layer and tanh over it).
            batch_tokens: places of a padded batch.
        """
        out = np.empty((len(texts), self.config.hidden_size), np.float32)
        for start in range(0, len(texts), CHUNK):
            for rows, hidden, pooled, lengths in self._batches(texts[start:start + CHUNK], batch_tokens):
                out[start + rows] = _pool(hidden, pooled, lengths, pooling)
        return out

    def encode_tokens(self, texts, batch_tokens: int = 4096) -> list[np.ndarray]:
        """For each text, [its tokens with [CLS] and [SEP], H] float32."""
        out = [None] * len(texts)
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
        """[r, L] ids of single-segment rows and their lengths to (hidden [r, L, H], pooled [r, H])."""
        positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        arrays = (tokens, np.zeros_like(tokens), positions, lengths, np.full((len(tokens), 1), self.task_id))
        with paddle.no_grad():
            hidden, pooled = self.model(*(paddle.to_tensor(np.ascontiguousarray(a, np.int64)) for a in arrays))
        return hidden.numpy(), pooled.numpy()


def _pool(hidden, pooled, lengths, pooling: str) -> np.ndarray:
    if pooling == "cls":
        return pooled
    if pooling == "first":
        return hidden[:, 0]
    inside = np.arange(hidden.shape[1]) < lengths[:, None]
    return (hidden * inside[..., None]).sum(1) / lengths[:, None].astype(np.float32)


def encode_file(vectors: Vectors, source, target, pooling: str, batch_tokens: int, progress) -> int:
    """Vectors of a text file's lines into a ``.npy`` file, in constant memory.

    Args:
        pooling: of ``Vectors.encode``, or "tokens": then the array holds the vectors of all tokens one after another
            and ``<target>.offsets.npy`` says where each line begins and the last ends.
        progress: called with the number of lines done.
    Returns: the number of lines.
    Raises: InputError: a missing or undecodable file.
    """
    source, target = Path(source), Path(target)
    size, done, offsets = vectors.config.hidden_size, 0, [0]
    partial = target.with_name(target.name + ".partial")
    with open(partial, "wb") as file:
        file.write(b"\0" * 128)
        for lines in _chunks(source):
            if pooling == "tokens":
                found = vectors.encode_tokens(lines, batch_tokens)
                offsets += (offsets[-1] + np.cumsum([len(states) for states in found])).tolist()
                file.writelines(np.ascontiguousarray(states) for states in found)
            else:
                file.write(vectors.encode(lines, pooling, batch_tokens))
            done += len(lines)
            progress(done)
        rows = offsets[-1] if pooling == "tokens" else done
        header = repr({"descr": "<f4", "fortran_order": False, "shape": (rows, size)})
        file.seek(0)
        file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n")
    partial.replace(target)
    if pooling == "tokens":
        np.save(str(target.with_suffix("")) + ".offsets.npy", np.array(offsets))
    return done


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
