"""The types that all input formats share."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Optional

LAYOUTS = ("file", "lines")


class Document(NamedTuple):
    """The text of a document.

    Attributes:
        paragraphs: strings without line breaks; in a dialogue, one for each turn.
        speakers: the number of each paragraph's speaker, 0 for the first one who speaks; None where nobody speaks.
    """

    paragraphs: list[str]
    speakers: Optional[list[int]] = None


class Record(NamedTuple):
    """A stretch of input that has not been parsed yet.

    Attributes:
        size: upper bound of its characters, or None where it is unknown before reading.
        read: parses it into documents.
    """

    size: Optional[int]
    read: Callable[[], Iterable[Document]]


class Span(NamedTuple):
    """A piece of an input file: the records that begin in bytes (rows, in a table) [start, stop); stop None: all."""

    path: str
    start: int = 0
    stop: Optional[int] = None


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading input files.

    Attributes:
        layout: of .txt files, one of LAYOUTS. language: "en" or "zh". text_field, title_field: names of the fields
            of a record in .jsonl, parquet and Arrow files.
    """

    layout: str = "file"
    language: str = "en"
    text_field: str = "text"
    title_field: str = "title"


def number_speakers(names: list) -> list[int]:
    """Number speakers 0, 1, 2 ... in the order in which they first speak."""
    numbers: dict = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]
