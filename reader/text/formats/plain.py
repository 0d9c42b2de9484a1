"""Plain text: a file that is one document, or documents parted by blank lines."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator

from reader.text.formats.base import Document, Record
from reader.text.formats.compression import compression
from reader.text.formats.lines import Lines

MAX_PARAGRAPH = 1 << 18
MAX_DOCUMENT = 1 << 22
BREAKS = re.compile("[\n\r\u2028\u2029]+")
_BETWEEN_HANZI = re.compile("(?<=[\u2e80-\u9fff\uff00-\uffef]) (?=[\u2e80-\u9fff\uff00-\uffef])")


def whole_file(lines: Lines, language: str) -> Iterator[Record]:
    """Yield one record: the file as a document. Blank lines part paragraphs, wrapped lines are joined."""
    path = lines.span.path
    yield Record(None if compression(path) else os.path.getsize(path), lambda: _joined(lines, language))


def blank_line_documents(lines: Lines) -> Iterator[Record]:
    """Yield records: documents parted by blank lines, a line being a paragraph (the input form of BERT)."""
    span = lines.span
    document: list[str] = []
    good, inside, size = True, span.start == 0, 0
    for offset, line in lines:
        if line == "":
            if document and good:
                yield _record(document)
            document, good, inside, size = [], True, True, 0
            if span.stop is not None and offset >= span.stop:
                return
        elif line is None:
            good = good and not inside
        elif inside:
            document += [line] if line.isprintable() else BREAKS.split(line)
            size += len(line)
            if size > MAX_DOCUMENT:  # a file without blank lines does not fill memory
                if good:
                    yield _record(document)
                document, size = [], 0
    if document and good:
        yield _record(document)


def _record(paragraphs: list[str]) -> Record:
    return Record(sum(map(len, paragraphs)), lambda: (Document(paragraphs),))


def _joined(lines: Lines, language: str) -> Iterator[Document]:
    paragraphs: list[str] = []
    wrapped: list[str] = []
    length = size = 0
    for _, line in lines:
        if line is None:
            return  # a file is one document
        if wrapped and (not line or length + len(line) > MAX_PARAGRAPH):
            paragraphs.append(_join(wrapped, language))
            size, length, wrapped = size + length, 0, []
        if line:
            wrapped.append(line if line.isprintable() else BREAKS.sub(" ", line))
            length += len(line) + 1
        if size > MAX_DOCUMENT:
            yield Document(paragraphs)
            paragraphs, size = [], 0
    if wrapped:
        paragraphs.append(_join(wrapped, language))
    if paragraphs:
        yield Document(paragraphs)
    elif not size and not lines.broken:
        lines.reject("empty document", line=0)


def _join(wrapped: list[str], language: str) -> str:
    text = " ".join(wrapped)
    return _BETWEEN_HANZI.sub("", text) if language == "zh" else text


