"""JSON that is not a value a line: one array of documents, or objects written over several lines one after another.

Values are found one by one, so that memory does not grow with the file.
"""
from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Optional

from reader.text.formats.base import Document, ReadOptions, Record, Span
from reader.text.formats.compression import DAMAGE, open_compressed
from reader.text.formats.json_lines import Unusable, parse_record
from reader.text.formats.lines import MAX_LINE
from reader.text.rejected import Rejected

READ = 1 << 20  # characters
_SPACE = re.compile(r"[ \t\r\n]*")
_NO_UTF8 = re.compile("[\udc80-\udcff]")


def value_records(span: Span, options: ReadOptions, rejected: Rejected) -> Iterator[Record]:
    """Yield a record for each item of the array, or for each value; what cannot be used is named by its line.

    What follows a value that is no JSON, or one of more than MAX_LINE characters, is lost and said to be.
    """
    with open_compressed(span.path) as file:
        reader = Values(file)
        for value, text, line in reader:
            if _NO_UTF8.search(text):
                rejected.add("invalid UTF-8", span.path, line)
            else:
                yield Record(len(text), partial(_parse, value, options, rejected, span.path, line))
        if reader.fault:
            rejected.add("file cannot be read to its end", span.path, reader.line, reader.fault)


def _parse(value: Any, options: ReadOptions, rejected: Rejected, path: str, line: int) -> Iterator[Document]:
    try:
        yield parse_record(value, options)
    except Unusable as problem:
        rejected.add(problem.reason, path, line, problem.detail)


class Values:
    """The (value, its text, 1-based line at which it begins) of an open file: the items of one array, or all values."""

    def __init__(self, file: io.BufferedReader):
        self.file, self.line = file, 1
        self._fault = self._damage = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._place, self._ended = "", 0, False

    @property
    def fault(self) -> str:
        """Return why what stands from ``line`` on could not be read, or ""."""
        return self._damage or self._fault

    def __iter__(self) -> Iterator[tuple[Any, str, int]]:
        array = self._next() == "["
        self._place += array
        between = ""  # before an item: nothing before the first one, then a comma
        while (sign := self._next()) and not (array and sign == "]"):
            if between:
                if sign != between:
                    self._fault = f"{sign!r} where a comma or ] should be"
                    return
                self._place += 1
                self._next()
            found = self._value()
            if found is None:
                return
            yield found
            between = "," if array else ""
        if array and not sign:
            self._fault = "the array has no end"
        elif array:
            self._place += 1
            if self._next():
                self._fault = "text behind the end of the array"

    def _next(self) -> str:
        """Return the next character that is no white space, left unread; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            assert match is not None
            self._go(match.end())
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def _value(self) -> Optional[tuple[Any, str, int]]:
        while True:
            try:
                value, end = self._decode(self._text, self._place)
                problem = ""
            except RecursionError:
                self._fault = "nested too deeply"
                return None
            except ValueError as error:
                end, problem = len(self._text), f"not JSON: {getattr(error, 'msg', error)}"
            if end == len(self._text) and len(self._text) - self._place <= MAX_LINE and self._more():
                continue  # it may go on
            if problem:
                self._fault = problem if len(self._text) - self._place <= MAX_LINE else \
                    f"no JSON, or a value of over {MAX_LINE >> 20} MiB"
                return None
            line, text = self.line, self._text[self._place:end]
            self._go(end)
            return value, text, line

    def _go(self, place: int) -> None:
        self.line += self._text.count("\n", self._place, place)
        self._place = place

    def _more(self) -> bool:
        """Read on, twice as much as what is unread; return False at the end of the file, or where it is damaged."""
        wanted, parts, size = max(READ, len(self._text) - self._place), [], 0
        while size < wanted and not self._ended:
            try:
                packed = self.file.read1(min(wanted - size, 1 << 16))
            except DAMAGE as error:
                packed, self._damage = b"", str(error)
            self._ended = not packed
            parts.append(self._utf8.decode(packed, self._ended))
            size += len(parts[-1])
        if size:
            self._text, self._place = self._text[self._place:] + "".join(parts), 0
        return size > 0
