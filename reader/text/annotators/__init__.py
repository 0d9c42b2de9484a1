"""Annotators: they find sentences, words, phrases and named entities. The protocol, and those that ship.

An annotator is any class with the members of ``Annotator``; ``--annotator package.module:Class`` names a user's own.
"""
from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reader.text.chunks import Block
from reader.utils.errors import InputError
from reader.utils.files import StrPath

ANNOTATORS = {
    "english": "reader.text.annotators.english:English",
    "chinese": "reader.text.annotators.chinese:Chinese",
    "spacy": "reader.text.annotators.spacy_models:Spacy",
    "lac": "reader.text.annotators.lac:Lac",
}
DEFAULTS = {"en": "english", "zh": "chinese"}
LANGUAGES = {"english": "en", "chinese": "zh", "lac": "zh"}  # of annotators that find nothing in text of another


@dataclass
class Annotation:
    """Sentences and units found in a block of n chunks.

    sentences: [s] chunks that open a sentence (those that open a paragraph may be left out).
    starts, stops: [u] chunk ranges of the units, in order, not overlapping; what is not covered is single words.
    kinds: [u] WORD, PHRASE or ENTITY of reader.store.store.
    continues: [n] bool, chunks that are not the first of their word; None when every chunk is a word.
    """

    sentences: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    kinds: np.ndarray
    continues: np.ndarray | None = None


class Annotator:
    """The protocol. ``options`` are strings and numbers that can be sent to worker processes and hashed."""

    language = "en"
    sample = 4_000_000  # characters of text that ``mine`` is given

    def __init__(self, **options):
        if options:
            raise InputError(f"annotator {type(self).__name__} knows no option {', '.join(options)}")

    @classmethod
    def mine(cls, sample: Iterable[list[str]], path: StrPath, **options: Any) -> None:
        """Learn what the annotator needs from a sample of documents and write it to the folder ``path``."""

    def open(self, path: StrPath) -> None:
        """Read what ``mine`` has written."""

    def convert(self, document: list[str]) -> list[str]:
        """Change the text of a document before anything else is done with it."""
        return document

    def describe(self, word: str) -> int:
        """Return the bits that ``annotate`` needs of a chunk, worked out once per distinct chunk (Block.features)."""
        return 0

    def annotate(self, block: Block) -> Annotation:
        """Find sentences and units."""
        raise TypeError(f"{type(self).__name__} annotates nothing: define annotate()")


def find_annotator(name: str) -> type[Annotator]:
    """Load the class behind a name of ANNOTATORS or ``package.module:Class``.

    Raises:
        InputError: there is none, it lacks members of the protocol, or it needs an extra that is not installed.
    """
    module, _, attribute = ANNOTATORS.get(name, name).partition(":")
    if not attribute:
        raise InputError(f"unknown annotator {name!r}: one of {', '.join(ANNOTATORS)}, or package.module:Class")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"annotator {name!r} cannot be loaded: {error}") from error
    lacking = [member for member in ("annotate", "convert", "describe", "mine", "open", "sample")
               if not hasattr(found, member)]
    if lacking:
        raise InputError(f"annotator {name!r} is none: it lacks {', '.join(lacking)} of "
                         "reader.text.annotators.Annotator")
    return found
