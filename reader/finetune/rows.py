"""Rows that the fine-tuning readers give, and the account of what was read and what was not."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional, Union

from reader.utils.errors import InputError
from reader.utils.files import StrPath, open_maybe_gzip
from reader.utils.text import counted


class TextRow(NamedTuple):
    """One or two texts with a class index, a tuple of them (multi-label) or a score; None where there is no label."""

    texts: tuple
    label: Union[int, float, tuple, None]
    id: str      # the row's own index in the file, which a submission repeats; its number when it has none
    group: str   # the question that a candidate belongs to (ranking); empty otherwise
    line: int


class ChoiceRow(NamedTuple):
    """One or two texts and the choices that may follow them, with the index of the right one or None."""

    texts: tuple
    choices: tuple
    label: Optional[int]
    id: str
    line: int


class TagRow(NamedTuple):
    """A sentence as words (characters in Chinese) with one label index for each, None where the file has none."""

    words: list
    labels: Optional[list]
    line: int


class QuestionRow(NamedTuple):
    """A question about a passage.

    context is what the model reads; original has the same length and is what answers are cut from (they differ when
    traditional characters were converted). answers and starts (character offsets into context) are parallel; a start
    is -1 where the answer does not occur in the passage. impossible: the file says that the passage holds no answer.
    """

    id: str
    question: str
    context: str
    original: str
    answers: list
    starts: list
    impossible: bool = False


Row = Union[TextRow, ChoiceRow, TagRow, QuestionRow]


def row_texts(row: Row) -> list[str]:
    """Return every text of a row; the words of a tagged sentence are joined into one."""
    if isinstance(row, TagRow):
        return ["".join(row.words)]
    if isinstance(row, QuestionRow):
        return [row.question, row.context]
    return [*row.texts, *(row.choices if isinstance(row, ChoiceRow) else ())]


def without_texts(row: Row) -> Row:
    """Return a row without the texts that no metric needs; labels, answers and groups are kept."""
    if isinstance(row, TagRow):
        return row._replace(words=[])
    if isinstance(row, QuestionRow):
        return row._replace(question="", context="", original="")
    return row._replace(texts=())


class Skipped(NamedTuple):
    """Number of rows that were left out, or noted, for one reason, and the place of the first of them."""

    times: int
    line: int


@dataclass
class Account:
    """Account of the rows of a file, printed with every file that is read, so that nothing is lost in silence.

    Args:
        strict: raise at the first malformed row instead of leaving it out.
        counted: what the numbers of places count: lines, or the rows or articles of a json file.
    """

    path: StrPath
    strict: bool = True
    counted: str = "line"
    rows: int = 0
    skipped: dict = field(default_factory=dict)  # reason -> Skipped
    noted: dict = field(default_factory=dict)    # the same for rows that were kept

    def note(self, reason: str, line: int) -> None:
        """Record something about a row that is kept all the same."""
        seen = self.noted.get(reason)
        self.noted[reason] = Skipped(seen.times + 1, seen.line) if seen else Skipped(1, line)

    def skip(self, reason: str, line: int) -> None:
        """Leave out a row that is known to be of no use."""
        seen = self.skipped.get(reason)
        self.skipped[reason] = Skipped(seen.times + 1, seen.line) if seen else Skipped(1, line)

    def reject(self, reason: str, line: int, detail: str = "") -> None:
        """Raise InputError for a malformed row when strict; leave it out and count it otherwise."""
        if self.strict:
            place = f"row {line}: " if self.counted == "row" else ""
            raise InputError(place + (detail or reason), self.path, line if self.counted == "line" else None)
        self.skip(reason, line)

    def finish(self) -> None:
        """Raise InputError when nothing at all was read."""
        if not self.rows:
            why = "; ".join(f"{reason} ({self.counted} {seen.line})" for reason, seen in self.skipped.items())
            raise InputError("holds no rows" + (f": {why}" if why else ""), self.path)

    def __str__(self) -> str:
        text = f"{self.path}: {counted(self.rows, 'row')}"
        for reason, seen in self.skipped.items():
            text += f"; {seen.times:,} left out: {reason} (first at {self.counted} {seen.line})"
        for reason, seen in self.noted.items():
            text += f"; {seen.times:,} with {reason} (first at {self.counted} {seen.line})"
        return text


def _lines(file):
    r"""The lines of a binary file. A file without any ``\n`` is parted at its ``\r``, as old Macintosh files are."""
    first = file.readline()
    if b"\r" in first and not first.endswith(b"\n"):  # no \n in the whole file
        yield from first.removesuffix(b"\r").split(b"\r")
    elif first:
        yield first
    yield from file


class NumberedLines:
    r"""The lines of a UTF-8 file, numbered from 1, in constant memory; .gz as well.

    Only ``\n`` (or ``\r\n``) ends a line: texts hold other characters that Unicode calls line breaks; in a file without
    any ``\n`` it is ``\r``. A byte order mark is dropped.

    Args:
        reject: takes (reason, line, detail) of a line that is no text, as ``Account.reject`` does; without it such a
            line is an error.
    """

    def __init__(self, path: str | Path, reject: Callable[[str, int, str], None] | None = None):
        self.path, self.reject = path, reject

    def __iter__(self):
        import zlib
        try:
            with open_maybe_gzip(self.path) as file:
                for number, raw in enumerate(_lines(file), 1):
                    text = self._decode(raw, number)
                    if text is not None:
                        yield number, text
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", self.path) from None
        except (EOFError, zlib.error) as error:
            raise InputError(f"cut short or damaged: {error}", self.path) from None

    def _decode(self, raw: bytes, number: int) -> str | None:
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            hint = " (the file looks like UTF-16)" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            detail = f"not UTF-8 at byte {error.start} of the line{hint}"
            if self.reject:
                return self.reject("not UTF-8", number, detail)
            raise InputError(detail, self.path, number) from None
        return text.rstrip("\n").rstrip("\r")
