"""Raw corpora as streams of documents: the file layouts, and what is done with input that cannot be used.

Layouts (any file may be gzipped; folders are walked in sorted order):
    file    .txt: a file is a document, blank lines part paragraphs, wrapped lines are joined.
    lines   .txt: blank lines part documents, a line is a paragraph (BERT's form).
    .jsonl  in either layout: a line is a document, its ``text`` holds paragraphs parted by newlines; an optional
            ``title`` becomes the first paragraph.

A document that cannot be used is rejected with its reason, file and line; the others survive. Limits that keep memory
constant: a line of more than MAX_LINE bytes rejects its document; a paragraph of more than MAX_PARAGRAPH characters is
cut at a line end or a space, a document of more than MAX_DOCUMENT characters at a paragraph end.
"""
from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reader.utils.errors import InputError
from reader.utils.files import open_maybe_gzip

MAX_LINE = 1 << 24
MAX_PARAGRAPH = 1 << 18
MAX_DOCUMENT = 1 << 22
LAYOUTS = ("file", "lines")
_TEXT, _JSON = (".txt", ".text"), (".jsonl",)
_BREAKS = re.compile("[\n\r\u2028\u2029]+")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Span(NamedTuple):
    """A piece of an input file: the documents that begin in bytes [start, stop); stop None means all of the file."""

    path: str
    start: int = 0
    stop: int | None = None


@dataclass
class Rejected:
    """What could not be used. reasons: how often, by reason. examples: the first ones as printable lines."""

    reasons: Counter = field(default_factory=Counter)
    examples: list = field(default_factory=list)
    LIMIT = 20

    def add(self, reason: str, path, line: int | None = None, detail: str = "") -> None:
        """Note one rejected document or file."""
        self.reasons[reason] += 1
        if len(self.examples) < self.LIMIT:
            self.examples.append(str(InputError(f"{reason}{': ' if detail else ''}{detail}", path, line)))

    def merge(self, reasons: dict, examples: list) -> None:
        """Add what another process collected."""
        self.reasons.update(reasons)
        self.examples = (self.examples + examples)[:self.LIMIT]

    @property
    def total(self) -> int:
        return sum(self.reasons.values())

    def __str__(self) -> str:
        lines = [f"rejected {self.total}: " + ", ".join(f"{count} {reason}" for reason, count in
                                                       self.reasons.most_common())]
        more = self.total - len(self.examples)
        return "\n  ".join(lines + self.examples + ([f"... and {more} more"] if more > 0 else []))


def find_inputs(paths) -> list[Path]:
    """The files behind paths: files as given, folders walked for .txt, .text, .jsonl and their .gz.

    Raises:
        InputError: a path does not exist, or a folder holds no such file.
    """
    files = []
    for path in map(Path, [paths] if isinstance(paths, (str, Path)) else paths):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _suffix(file) in _TEXT + _JSON
                            and not any(part.startswith(".") for part in file.relative_to(path).parts))
            if not inside:
                raise InputError("no .txt, .text or .jsonl file (plain or .gz) in this folder", path)
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise InputError("input not found", path)
    if not files:
        raise InputError("no input given")
    return files


def plan_parts(files: list[Path], layout: str, part_bytes: int) -> list[list[Span]]:
    """Cut the input into parts of about ``part_bytes``; concatenated they are the whole input, in order.

    Plain files are cut between documents; gzipped ones and files that are one document stay whole.
    """
    parts, size = [[]], 0
    for path in files:
        total = path.stat().st_size
        splittable = path.suffix != ".gz" and (layout == "lines" or _suffix(path) in _JSON)
        step = part_bytes if splittable else max(1, total)
        for start in range(0, max(1, total), step):
            stop = min(start + step, total) if splittable else None
            if size and size + (total if stop is None else stop - start) > part_bytes:
                parts, size = parts + [[]], 0
            parts[-1].append(Span(str(path), start, stop))
            size += total if stop is None else stop - start
    return parts


def read_documents(span: Span, layout: str, rejected: Rejected, language: str = "en") -> Iterator[list[str]]:
    """The documents that begin in a span, lists of paragraphs without newlines; the useless go to ``rejected``."""
    lines = _Lines(span, rejected)
    if _suffix(Path(span.path)) in _JSON:
        documents = _json_documents(lines)
    elif layout == "lines":
        documents = _line_documents(lines)
    else:
        documents = _file_documents(lines, language)
    for paragraphs in documents:
        paragraphs = [part for paragraph in map(str.strip, paragraphs) if paragraph for part in _cut(paragraph)]
        size, first = 0, 0
        for index, paragraph in enumerate(paragraphs):
            size += len(paragraph)
            if size > MAX_DOCUMENT:
                yield paragraphs[first:index + 1]
                size, first = 0, index + 1
        if first < len(paragraphs):
            yield paragraphs[first:]


def _cut(paragraph: str) -> Iterator[str]:
    while len(paragraph) > MAX_PARAGRAPH:
        place = paragraph.rfind(" ", 1, MAX_PARAGRAPH)
        place = place if place > 0 else MAX_PARAGRAPH
        yield paragraph[:place]
        paragraph = paragraph[place:].lstrip()
    if paragraph:
        yield paragraph


def sample_documents(files: list[Path], layout: str, language: str, characters: int,
                     rejected: Rejected) -> Iterator[list[str]]:
    """Documents from the files until there are ``characters``; from 64 evenly spaced files when there are more."""
    total = sum(path.stat().st_size for path in files)
    chosen = files if total <= characters else [
        files[index] for index in sorted({int(x) for x in np.linspace(0, len(files) - 1, 64)})]
    for path in chosen:
        room = characters if chosen is files else characters // len(chosen)
        for document in read_documents(Span(str(path)), layout, rejected, language):
            yield document
            room -= sum(map(len, document))
            if room < 0:
                break


class _Lines:
    """The lines of a span with their place; ``bad`` ones are noted as rejected and come as None.

    Iterating gives (offset of the line, text or None), goes past ``span.stop`` and leaves it to the reader to stop.
    """

    def __init__(self, span: Span, rejected: Rejected):
        self.span, self.rejected, self.number, self.broken = span, rejected, 0, False

    def __iter__(self) -> Iterator[tuple[int, str | None]]:
        span = self.span
        try:
            with open_maybe_gzip(span.path) as file:
                if span.start and not self._next_line(file):
                    return
                offset = file.tell()
                while True:
                    line = self._readline(file)
                    if not line:
                        return
                    self.number += 1
                    yield offset, self._text(line, offset == 0)
                    offset += len(line) if len(line) <= MAX_LINE else file.tell() - offset
        except (OSError, EOFError, zlib.error) as error:
            self.broken = True
            self.reject("file cannot be read to its end", str(error))

    def _next_line(self, file) -> bool:
        """Go to the first line that begins in the span; False when none does (inside one enormous line)."""
        file.seek(self.span.start - 1)
        while file.tell() < self.span.stop:
            if file.readline(1 << 20).endswith(b"\n"):
                return True
        return False

    @staticmethod
    def _readline(file) -> bytes:
        line = file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            while True:  # too long: pass over the rest of it
                more = file.readline(MAX_LINE)
                if not more or more.endswith(b"\n"):
                    break
        return line

    def _text(self, line: bytes, first: bool) -> str | None:
        if len(line) > MAX_LINE:
            self.reject(f"line longer than {MAX_LINE >> 20} MiB")
            return None
        try:
            return line.decode("utf-8-sig" if first else "utf-8").strip()
        except UnicodeDecodeError as error:
            self.reject("invalid UTF-8", f"byte 0x{line[error.start]:02x} at column {error.start + 1}")
            return None

    def reject(self, reason: str, detail: str = "", line: int | None = None) -> None:
        before = _count_lines(self.span.path, self.span.start) if self.span.start else 0
        number = self.number if line is None else line
        self.rejected.add(reason, self.span.path, before + number if number else None, detail)


def _count_lines(path: str, stop: int) -> int:
    """Lines that begin before a byte offset and end at or after it are counted too: the number of the line there."""
    count = 0
    with open(path, "rb") as file:
        while file.tell() < stop:
            count += file.read(min(1 << 20, stop - file.tell())).count(b"\n")
        file.seek(stop - 1)
        return count + (file.read(1) != b"\n")


def _json_documents(lines: _Lines) -> Iterator[list[str]]:
    stop = lines.span.stop
    for offset, line in lines:
        if stop is not None and offset >= stop:
            return
        if line is None:
            continue
        problem, paragraphs = _json_paragraphs(line)
        if problem:
            lines.reject(*problem)
        else:
            yield paragraphs


def _json_paragraphs(line: str) -> tuple[tuple | None, list[str]]:
    if not line:
        return ("empty line in jsonl",), []
    try:
        record = json.loads(line)
    except ValueError as error:
        return ("line is not JSON", str(error)), []
    except RecursionError:
        return ("line is not JSON", "nested too deeply"), []
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return ("no string field 'text'",), []
    title = record.get("title")
    text = (title + "\n" if isinstance(title, str) else "") + record["text"]
    paragraphs = _BREAKS.split(_SURROGATES.sub("\ufffd", text))
    return (None, paragraphs) if record["text"].strip() else (("empty document",), [])


def _line_documents(lines: _Lines) -> Iterator[list[str]]:
    start, stop = lines.span.start, lines.span.stop
    document, good, inside = [], True, start == 0
    for offset, line in lines:
        if line == "":
            if document and good:
                yield document
            document, good, inside = [], True, True
            if stop is not None and offset >= stop:
                return
        elif line is None:
            good = good and not inside
        elif inside:
            document += [line] if line.isprintable() else _BREAKS.split(line)
    if document and good:
        yield document


def _file_documents(lines: _Lines, language: str) -> Iterator[list[str]]:
    paragraphs, wrapped, length, size = [], [], 0, 0
    for _, line in lines:
        if line is None:
            return  # a file is one document
        if wrapped and (not line or length + len(line) > MAX_PARAGRAPH):
            paragraphs.append(_join(wrapped, language))
            size, length, wrapped = size + length, 0, []
        if line:
            wrapped.append(line if line.isprintable() else _BREAKS.sub(" ", line))
            length += len(line) + 1
        if size > MAX_DOCUMENT:
            yield paragraphs
            paragraphs, size = [], 0
    if wrapped:
        paragraphs.append(_join(wrapped, language))
    if paragraphs:
        yield paragraphs
    elif not size and not lines.broken:
        lines.reject("empty document", line=0)


def _join(wrapped: list[str], language: str) -> str:
    text = " ".join(wrapped)
    return re.sub("(?<=[\u2e80-\u9fff\uff00-\uffef]) (?=[\u2e80-\u9fff\uff00-\uffef])", "", text) if language == "zh" \
        else text


def _suffix(path: Path) -> str:
    return os.path.splitext(path.stem if path.suffix == ".gz" else path.name)[1].lower()
