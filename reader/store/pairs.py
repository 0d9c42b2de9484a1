"""Parts that the stores of the two semantic tasks share: text to tokens, and the split into train and dev.

Both are split by document, and a store's manifest names its ``classes``.
"""
from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from reader.store.build import LEARNT
from reader.store.pipeline import BuildRecipe, Pipeline
from reader.store.store import Store, StoreWriter
from reader.text.documents import Rejected
from reader.utils.errors import InputError
from reader.utils.files import Paths, StrPath, place_of
from reader.utils.labels import IGNORE

BATCH = 4096  # documents written at once
EMPTY_DEV = "nothing for dev: more input, a larger --dev or --dev-input is needed"


def forget(output: StrPath) -> None:
    """Drop the stores of an earlier build: the train of one and the dev of another would share examples."""
    for part in ("train", "dev"):
        if (Path(output) / part / "manifest.json").exists():
            shutil.rmtree(place_of(Path(output) / part))


class PairEncoder:
    """Text paragraphs to the tokens of pair stores, annotated like a corpus.

    Args:
        like: a corpus store whose vocabulary, annotator, phrases and names are used.
    """

    def __init__(self, like: StrPath):
        self.like = Store(Path(like))
        manifest = self.like.manifest
        if "annotator" not in manifest:
            raise InputError("not a store of `ernie build-corpus`", like)
        recipe = BuildRecipe(manifest["language"], str(self.like.vocab_file), annotator=manifest["annotator"],
                        options=manifest.get("options", {}), lower_case=manifest["lower_case"])
        self.language, self.pipeline = manifest["language"], Pipeline(recipe, Path(like) / LEARNT)

    def write(self, rows: Iterable[tuple[list[str], list[int]]], output: Path, classes: list[str],
              rejected: Rejected) -> dict[str, Any]:
        """Write a pair store of (paragraphs, labels) documents, without paragraphs that have no token.

        A document whose first paragraph has none, or that has one paragraph left, is left out.

        Raises:
            InputError: nothing is left; ``rejected`` tells why.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        writer = StoreWriter(output, self.like.vocab_file, self.language, "pairs")
        counts: Counter = Counter()
        for group in grouped(rows, BATCH):
            group = [row for row in (self._readable(row, rejected) for row in group) if len(row[0]) > 1]
            tokens = self.pipeline.tokens([paragraphs for paragraphs, _ in group], split=False) if group else None
            if tokens is not None:
                labels = [label for _, row in group for label in row]
                writer.add(tokens.ids, tokens.flags, tokens.sentences, tokens.paragraphs, tokens.documents, labels)
                counts.update(label for label in labels if label != IGNORE)
        if not counts:
            writer.abandon()
            why = f"; {rejected.line}" if rejected.total else ""
            what = EMPTY_DEV if output.name == "dev" else "nothing in the input for this store"
            raise InputError(what + why, output)
        by_name = {classes[label]: count for label, count in sorted(counts.items())}
        writer.close(classes=classes, counts=by_name, lower_case=self.like.manifest["lower_case"])
        return by_name

    def _readable(self, row: tuple[list[str], list[int]], rejected: Rejected) -> tuple[list[str], list[int]]:
        """Return the paragraphs of a row that have tokens, with their labels; none where the first has none."""
        good = [self._has_tokens(paragraph) for paragraph in row[0]]
        if all(good):
            return row
        kept: tuple[list[str], list[int]] = [], []
        for paragraph, label, fine in zip(*row, good):
            if not fine:
                rejected.add("text without a token", None, None, ascii(paragraph[:80]))
            elif good[0]:
                kept[0].append(paragraph)
                kept[1].append(label)
        return kept

    def _has_tokens(self, paragraph: str) -> bool:
        return paragraph.isascii() and any(map(str.isalnum, paragraph)) or \
            bool(self.pipeline.chunk_cache.tokenizer.encode(paragraph).ids.size)


def fraction(share: float) -> tuple[int, int]:
    """Return a share as whole numbers, (so many, of so many): 0.15 as (3, 20)."""
    found = Fraction(share).limit_denominator(10**6)
    return found.numerator, found.denominator


def grouped(rows: Iterable, size: int) -> Iterator[list]:
    """Yield lists of ``size`` items."""
    group = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def split_parts(files: Paths, dev_files: Paths = ()) -> list[tuple[str | None, list[Path]]]:
    """Return [("train", paths), ("dev", paths)] of a published or given split; [(None, paths)] where there is none.

    Raises:
        InputError: a path does not exist.
    """
    paths, dev_paths = ([Path(path) for path in as_list(given)] for given in (files, dev_files))
    for path in paths + dev_paths:
        if not os.path.exists(path):
            raise InputError("input not found", path)
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths, published = (sorted(folder.glob(f"{name}.tsv*")) for name in ("train", "dev"))
        dev_paths = dev_paths or published
        if not paths:
            raise InputError("no train.tsv in this folder", folder)
    return [("train", paths), ("dev", dev_paths)] if dev_paths else [(None, paths)]


def as_list(paths: Paths) -> list:
    """Return one path or several as a list."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
