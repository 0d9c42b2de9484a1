"""Baidu's own pre-training text, as its released programs read it, to a store; from there on all is the same.

An instance is a line ``token_ids;sentence_type_ids;position_ids;seg_labels;label`` of a (gzipped) file; seg_labels are
0 where a word starts, 1 where it goes on, -1 at [CLS] and [SEP]. A file list names files with
``path<TAB>mask_word_prob``, the chance that an instance is masked by word and not piece by piece.

An instance becomes a document of pairs: each of its sentences a paragraph, the last one with the label. The words of
seg_labels may be words, phrases or names; which, the format does not tell: those of several pieces are kept as phrases.
"""
from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reader.store.store import StoreWriter
from reader.text.documents import Rejected
from reader.text.flags import KIND_SHIFT, PHRASE, UNIT_START, WORD_START
from reader.text.special_ids import SpecialIds
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError
from reader.utils.files import StrPath, one_writer, open_maybe_gzip
from reader.utils.labels import IGNORE
from reader.utils.text import counted, shortened

START, INSIDE, SPECIAL = 0, 1, -1  # values of seg_labels
FIELDS = ("token_ids", "sentence_type_ids", "position_ids", "seg_labels")
BATCH = 4096  # instances written at once
MOST_CLASSES = 1 << 16


class Instance(NamedTuple):
    """Text tokens of one line, special ones taken out. sizes: tokens of each sentence."""

    ids: np.ndarray
    flags: np.ndarray
    sizes: np.ndarray
    label: int


@one_writer
def build_from_baidu(inputs: Sequence[StrPath], vocab_file: StrPath, output: StrPath,
                     language: str = "zh") -> tuple[dict, Rejected]:
    """Build a store from files in Baidu's format.

    Args:
        inputs: data files (``.gz``, or names without that whose first line has semicolons), file lists, or both.
        vocab_file: the vocabulary that the ids belong to. output: directory of the store.
    Returns:
        the manifest of the store, what was rejected.
    Raises:
        InputError: a file or the vocabulary is missing, or no line is usable.
    """
    files = [entry for path in inputs for entry in listed_files(path)]
    vocabulary, specials = read_vocab(vocab_file), SpecialIds.from_file(vocab_file)
    rejected, tokens = Rejected(), 0
    chances: list[list[float]] = []
    labels: Counter[int] = Counter()
    writer = StoreWriter(output, vocab_file, language, "pairs")
    try:
        for path, chance in files:
            instances = read_instances(path, len(vocabulary), specials, rejected)
            while batch := list(islice(instances, BATCH)):
                add(writer, batch)
                labels.update(instance.label for instance in batch)
                tokens += sum(len(instance.ids) for instance in batch)
            chances.append([tokens, chance])
        if not labels:
            where = counted(len(files), "file")
            raise InputError(f"no usable line in {where}; {rejected.line}" if rejected.total else "no line",
                             files[0][0])
        classes = [str(number) for number in range(max(labels) + 1)]
        manifest = writer.close(classes=classes, unit_chances=chances, source="baidu", rejected=rejected.total)
        return manifest, rejected
    except BaseException:
        writer.abandon()
        raise


def listed_files(path: StrPath) -> list[tuple[Path, float]]:
    """Read the (file, mask_word_prob) pairs of a file list; a data file stands for itself, always masked by word.

    Paths in a list are relative to where the command was started, or to the list.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise InputError("no such file", path)
    if path.suffix == ".gz":
        return [(path, 1.0)]
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"neither gzipped data nor a file list ({error})", path) from None
    if lines and lines[0].count(";") == len(FIELDS):
        return [(path, 1.0)]
    files = [listed(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not files:
        raise InputError("file list is empty", path)
    return files


def listed(path: Path, number: int, line: str) -> tuple[Path, float]:
    """Parse one line of a file list: the file and its mask_word_prob, clipped to [0, 1]."""
    name, _, chance = line.strip().partition("\t")
    file = next((place for place in (Path(name), path.parent / name) if os.path.isfile(place)), None)
    if file is None:
        raise InputError(f"no such file: {shortened(name)}", path, number)
    try:
        return file, min(1.0, max(0.0, float(chance or 1)))
    except ValueError:
        raise InputError(f"mask_word_prob {chance!r} is not a number", path, number) from None


def read_instances(path: Path, vocab_size: int, specials: SpecialIds, rejected: Rejected) -> Iterator[Instance]:
    """Yield the usable lines of a file; the others go to ``rejected``, with the line number and the reason."""
    number = 0
    try:
        with open_maybe_gzip(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield parse(line, vocab_size, specials)
                except ValueError as error:
                    rejected.add("malformed line", path, number, str(error))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        rejected.add("file cut short or damaged", path, number + 1, str(error))


def parse(line: str, vocab_size: int, specials: SpecialIds) -> Instance:
    """Parse one line. Raises ValueError with the reason where the model could not read exactly what the line says."""
    fields = line.strip().split(";")
    if len(fields) != len(FIELDS) + 1:
        raise ValueError(f"{len(fields)} fields, not {len(FIELDS) + 1}")
    ids, sentences, positions, words = (numbers(name, field) for name, field in zip(FIELDS, fields))
    if len({len(ids), len(sentences), len(positions), len(words)}) > 1:
        raise ValueError(f"{len(ids)} token_ids, {len(sentences)} sentence_type_ids, {len(positions)} position_ids, "
                         f"{len(words)} seg_labels")
    ends = np.flatnonzero(ids == specials.sep_id)
    text = words != SPECIAL
    if len(ids) < 3 or ids[0] != specials.cls_id or not len(ends) or ends[-1] != len(ids) - 1 \
            or np.flatnonzero(~text).tolist() != [0, *ends.tolist()]:
        raise ValueError("not [CLS] text [SEP] text [SEP] with seg_labels of -1 at those tokens only")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(f"token id {ids.max()} is not in the vocabulary of {vocab_size}")
    sizes = np.diff(np.r_[0, ends]) - 1
    if (sizes < 1).any():
        raise ValueError("a sentence without text")
    if (positions != np.arange(len(ids))).any() or (sentences[1:] != np.repeat(np.arange(len(sizes)), sizes + 1)).any():
        raise ValueError("position_ids or sentence_type_ids that do not count up from 0")
    if not np.isin(words[text], (START, INSIDE)).all():
        raise ValueError("seg_labels other than -1, 0 and 1")
    label = int(numbers("label", fields[-1])[0])
    if label < 0:
        raise ValueError(f"label {label} is negative")
    if label >= MOST_CLASSES:  # classes are the numbers up to the largest label: one odd line would make millions
        raise ValueError(f"label {label} is not below {MOST_CLASSES}")
    return Instance(ids[text], word_flags(words[text], sizes), sizes, label)


def numbers(name: str, field: str) -> np.ndarray:
    """Parse the [n] integers of a field. Raises ValueError with the name of the field."""
    try:
        return np.array(field.split(), np.int64).reshape(-1) if field.strip() else np.zeros(0, np.int64)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def word_flags(words: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Compute the [t] flags of a store from seg_labels without the special tokens."""
    starts = words == START
    starts[np.cumsum(sizes) - sizes] = True
    word = np.cumsum(starts) - 1
    kinds = np.where(np.bincount(word)[word] > 1, PHRASE, 0)
    return (starts * (WORD_START | UNIT_START) | kinds << KIND_SHIFT).astype(np.uint8)


def add(writer: StoreWriter, batch: list[Instance]) -> None:
    """Write some instances."""
    sizes = [len(instance.sizes) for instance in batch]
    labels = np.full(sum(sizes), IGNORE)
    labels[np.cumsum(sizes) - 1] = [instance.label for instance in batch]
    writer.add(np.concatenate([instance.ids for instance in batch]),
               np.concatenate([instance.flags for instance in batch]),
               np.concatenate([instance.sizes for instance in batch]), np.ones(sum(sizes), np.int64), sizes,
               labels=labels)
