"""Discourse pairs, from a corpus or from Discovery: two sentences, the second carrying the class of its marker.

A document of such a store is a pair: two paragraphs of a sentence each.
"""
from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reader.store.integrity import check_together, verify_blocks
from reader.store.pairs import BATCH, EMPTY_DEV, PairEncoder, as_list, forget, fraction, split_parts
from reader.store.store import Store, StoreWriter
from reader.text.annotators.word_lists import DATA
from reader.text.documents import Rejected
from reader.text.flags import CAPITAL, UNIT_START, WORD_START
from reader.text.formats.compression import DAMAGE
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.files import Paths, StrPath, one_writer, open_maybe_gzip
from reader.utils.labels import IGNORE
from reader.utils.text import shortened

MARKERS = {"en": "markers_en.txt", "zh": "markers_zh.txt"}


def read_markers(path: StrPath) -> list[str]:
    """Read a marker list, a marker a line; lines that begin with # are comments."""
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"marker list cannot be read ({error})", path) from None
    markers = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not markers:
        raise InputError("marker list is empty", path)
    return list(dict.fromkeys(markers))


@one_writer
def mine_discourse(stores: Paths, output: StrPath, *, dev_stores: Paths = (), dev: float = 0.1,
                   markers: StrPath | None = None, cap: int = 10_000,
                   balance: float = 4.0, least: int = 20, across: bool = False, shortest: int = 4,
                   longest: int = 128) -> dict[str, dict[str, int]]:
    """Mine discourse pairs from corpus stores, as Discovery was made (Sileo et al. 2019).

    Two adjacent sentences of a paragraph, the second opening with a marker, which is removed with its comma and becomes
    the label; the new first word counts as capitalised. A marker that is listed with a comma must be followed by one.

    Args:
        stores: corpus stores of one vocabulary, language and case. output: gets train/ and dev/. dev_stores: where dev
            comes from, stores of the same vocabulary, language and case; without them it is the share ``dev`` of the
            documents. markers: file, or the list of the store's language.
        cap: most pairs of a marker. balance: at most so many times the median marker's. least: markers with fewer pairs
            in train are left out. across: sentences may be adjacent across paragraphs, for corpora with a sentence a
            line. shortest, longest: tokens of a sentence.
    Returns:
        {"train": {marker: pairs}, "dev": {...}}
    Raises:
        InputError: the stores do not go together, or no marker opens enough sentences.
    """
    given = {"train": [Store(path) for path in as_list(stores)], "dev": [Store(path) for path in as_list(dev_stores)]}
    opened = given["train"]
    check_together({store.path: store.manifest for store in (*opened, *given["dev"])})
    for store in (*opened, *given["dev"]):  # all of it is read: what is damaged must not become pairs
        verify_blocks(store)
    language = opened[0].language
    names = read_markers(markers or DATA / MARKERS[language])
    tokenizer = Tokenizer.load(opened[0].vocab_file, opened[0].manifest.get("lower_case", True))
    table = marker_table(names, tokenizer)
    chosen = {part: [find_marked(store, table, tokenizer, across, shortest, longest) for store in found]
              for part, found in given.items()}
    if not given["dev"]:
        (taken, every), found, given["dev"] = fraction(dev), chosen["train"], opened
        chosen = {part: [pairs[((pairs[:, 3] + 1) * taken // every > pairs[:, 3] * taken // every) == (part == "dev")]
                         for pairs in found] for part in ("train", "dev")}
    counts = np.bincount(np.concatenate([pairs[:, 2] for pairs in chosen["train"]]), minlength=len(names))
    kept = np.flatnonzero(counts >= least)
    if len(kept) < 2:
        raise InputError(f"fewer than two markers open {least} sentences: a larger corpus or a smaller --least is "
                         "needed", opened[0].path)
    limit = int(min(cap, balance * np.median(counts[kept])))
    classes = [names[k] for k in kept]
    if not any(np.isin(pairs[:, 2], kept).any() for pairs in chosen["dev"]):
        raise InputError(EMPTY_DEV, Path(output) / "dev")
    report = {}
    forget(output)
    for part, limits in (("train", limit), ("dev", max(1, round(limit * dev)))):
        pairs = [limit_classes(array, kept, limits) for array in chosen[part]]
        report[part] = write_pairs(given[part], pairs, Path(output) / part, classes, language)
    return report


def marker_table(names: list[str], tokenizer: Tokenizer) -> dict[int, dict[bytes, int]]:
    """Return {length: {token ids of a marker, as bytes: its class}}; the longest first."""
    table: dict[int, dict[bytes, int]] = {}
    for label, encoding in enumerate(tokenizer.encode_batch(names)):
        if tokenizer.unk_id not in encoding.ids:
            table.setdefault(len(encoding.ids), {}).setdefault(encoding.ids.tobytes(), label)
    return dict(sorted(table.items(), reverse=True))


def find_marked(store: Store, table: dict, tokenizer: Tokenizer, across: bool, shortest: int,
                longest: int) -> np.ndarray:
    """Find marked sentences: [k, 4] int64 of sentence, token at which it goes on after the marker, class, document.

    The sentence before is its partner, in the same paragraph, or document where they may be adjacent ``across``.
    """
    commas = [k for k, token in enumerate(tokenizer.vocab) if token in (",", "，", "、")]
    bounds, rows = np.asarray(store.sentences), []
    alone = np.zeros(len(bounds), bool)  # sentences with none before them
    alone[store.paragraphs[store.documents] if across else store.paragraphs] = True
    lengths = np.diff(bounds)
    good = (lengths >= shortest) & (lengths <= longest)
    sentences = 1 + np.flatnonzero(good[:-1] & good[1:] & ~alone[1:-1])
    for step in range(0, len(sentences), 1 << 16):
        group = sentences[step:step + (1 << 16)]
        label, after = np.full(len(group), -1), bounds[group].copy()
        for length, markers in table.items():
            open_ = np.flatnonzero((label < 0) & (lengths[group] > length))
            following = np.asarray(store.ids)[bounds[group[open_], None] + np.arange(length + 1)].astype(np.int64)
            ends = np.asarray(store.flags)[bounds[group[open_]] + length] & WORD_START > 0
            for place, start in zip(open_[ends].tolist(), following[ends]):
                match = markers.get(start[:length].tobytes())
                if match is not None:
                    label[place] = match
                    after[place] += length + (start[length] in commas)
        keep = (label >= 0) & (bounds[group + 1] - after >= shortest)
        rows.append(np.stack([group, after, label, np.zeros_like(group)], 1)[keep])
    pairs = np.concatenate(rows) if rows else np.zeros((0, 4), np.int64)
    paragraph = np.searchsorted(store.paragraphs, pairs[:, 0], side="right") - 1
    pairs[:, 3] = np.searchsorted(store.documents, paragraph, side="right") - 1
    return pairs


def limit_classes(pairs: np.ndarray, kept: np.ndarray, limit: int) -> np.ndarray:
    """Keep the pairs of the kept classes, renumbered 0, 1, ...; of each at most ``limit``, evenly from the whole."""
    parts = []
    for label, old in enumerate(kept):
        mine = pairs[pairs[:, 2] == old]
        mine = mine[np.linspace(0, len(mine) - 1, limit).astype(np.int64)] if len(mine) > limit else mine
        mine[:, 2] = label
        parts.append(mine)
    together = np.concatenate(parts)
    return together[np.argsort(together[:, 0], kind="stable")]


def write_pairs(stores: list[Store], pairs: list[np.ndarray], output: Path, classes: list[str],
                language: str) -> dict[str, Any]:
    """Copy the tokens of pairs from their corpora into a pair store."""
    output.parent.mkdir(parents=True, exist_ok=True)
    writer = StoreWriter(output, stores[0].vocab_file, language, "pairs")
    counts: Counter = Counter()
    for store, rows in zip(stores, pairs):
        for step in range(0, len(rows), BATCH):
            sentence, after, label, _ = rows[step:step + BATCH].T
            starts = np.stack([store.sentences[sentence - 1], after], 1).ravel()
            stops = np.stack([store.sentences[sentence], store.sentences[sentence + 1]], 1).ravel()
            sizes = stops - starts
            first = np.cumsum(sizes) - sizes
            places = np.arange(sizes.sum()) + np.repeat(starts - first, sizes)
            flags = np.array(store.flags[places])
            open_second(flags, first[1::2])
            labels = np.stack([np.full(len(label), IGNORE), label], 1).ravel()
            one = np.ones(len(sizes), np.int64)
            writer.add(store.ids[places], flags, sizes, one, np.full(len(label), 2), labels)
            counts.update(label.tolist())
        store.release()
    by_name = {classes[label]: count for label, count in sorted(counts.items())}
    writer.close(classes=classes, counts=by_name, lower_case=stores[0].manifest.get("lower_case", True))
    return by_name


def open_second(flags: np.ndarray, first: np.ndarray) -> None:
    """Let tokens open their sentence, in place: they start a word and a unit, and the word is capitalised."""
    flags[first] |= WORD_START | UNIT_START
    inside = first
    while len(inside):
        flags[inside] |= CAPITAL
        inside = inside[inside + 1 < len(flags)] + 1
        inside = inside[(flags[inside] & WORD_START == 0)]


@one_writer
def build_discovery(files: Paths, like: StrPath, output: StrPath, *, dev_files: Paths = (), dev: float = 0.1,
                    labels: StrPath | None = None) -> tuple[dict, Rejected]:
    """Pair stores from the Discovery distribution: tsv with the header sentence1, sentence2, label.

    Args:
        files: a folder with train.tsv and dev.tsv (kept as published; test.tsv is passed over), or files. dev_files:
            where dev comes from; without them the share ``dev`` of files. like: a corpus store, see PairEncoder.
            labels: file with the class names; the data's otherwise.
    Returns:
        ({"train": {label: pairs}, "dev": {...}}, what could not be used)
    """
    parts = split_parts(files, dev_files)
    encoder, rejected = PairEncoder(like), Rejected()
    if labels:
        classes = read_markers(labels)
    else:
        classes = sorted({label for _, paths in parts for path in paths
                          for _, _, label in discovery_rows(path, Rejected())})
    index = {label: number for number, label in enumerate(classes)}
    taken, every = fraction(dev)

    def rows(paths: list[Path], part: str | None, noted: Rejected) -> Iterator:
        for path in paths:
            for first, second, label in discovery_rows(path, noted):
                if label not in index:
                    noted.add("label that is not in the list", path, None, repr(label))
                elif part is None or (zlib.crc32(first.encode()) % every < taken) == (part == "dev"):
                    yield [first, second], [IGNORE, index[label]]

    report = {}
    forget(output)
    for name, paths in parts:
        for part in (name,) if name else ("train", "dev"):
            first_reading = name or part == "train"  # a file that we split is read twice, its faults are noted once
            documents = rows(paths, None if name else part, rejected if first_reading else Rejected())
            report[part] = encoder.write(documents, Path(output) / part, classes, rejected)
    return report, rejected


def discovery_rows(path: Path, rejected: Rejected) -> Iterator[tuple[str, str, str]]:
    """Yield (sentence1, sentence2, label) of a tsv quoted as by pandas; runs of white space become a space.

    A damaged file is counted in ``rejected``; what precedes the damage is used.

    Raises:
        InputError: the header lacks a column.
    """
    csv.field_size_limit(1 << 24)
    number = 0
    try:
        with open_maybe_gzip(path, "rt", encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            header = next(reader, [])
            try:
                columns = [header.index(name) for name in ("sentence1", "sentence2", "label")]
            except ValueError:
                raise InputError(f"header {shortened(str(header))} lacks sentence1, sentence2 or label", path,
                                 1) from None
            for row in reader:
                number = reader.line_num
                values = [" ".join(row[column].split()) for column in columns] if len(row) == len(header) else []
                if not values:
                    rejected.add(f"row of other than {len(header)} columns", path, number)
                elif not all(values):
                    rejected.add("empty field", path, number)
                else:
                    yield values[0], values[1], values[2]
    except (*DAMAGE, csv.Error) as error:
        rejected.add("file cannot be read to its end", path, number + 1, str(error))
