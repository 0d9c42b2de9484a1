"""The lines of a file or of a span of it, in linear time and constant memory, whatever the file holds."""
from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import Optional

from reader.text.formats.base import Span
from reader.text.formats.compression import DAMAGE, open_compressed
from reader.text.rejected import Rejected

MAX_LINE = 1 << 24
BUFFER = 1 << 20


class Lines:
    """The lines of a span as (byte offset, text); lines that cannot be used are rejected and their text is None.

    Iteration goes past ``span.stop`` and leaves it to the caller to stop. A run of empty lines comes as one empty
    line, cut at ``span.stop``.

    Args:
        strip: characters that are taken off both ends of a line; None: all white space.
    Attributes:
        number: lines read so far. empty: how many lines the last empty line stands for. broken: the file could not be
            read to its end.
    """

    def __init__(self, span: Span, rejected: Rejected, strip: Optional[str] = None):
        self.span, self.rejected, self.strip = span, rejected, strip
        self.number, self.empty, self.broken = 0, 0, False

    def __iter__(self) -> Iterator[tuple[int, Optional[str]]]:
        span = self.span
        try:
            with open_compressed(span.path, BUFFER) as file:
                if span.start and not self._go_to_first_line(file):
                    return
                offset = file.tell()
                while line := self._read_line(file):
                    self.number += 1
                    text = self._decode(line, offset == 0)
                    if text == "":
                        skipped = self._skip_empty(file, offset + len(line))
                        yield offset, text
                        self.number += self.empty - 1
                        offset += len(line) + skipped
                    else:
                        yield offset, text
                        offset += len(line) if len(line) <= MAX_LINE else file.tell() - offset
        except (*DAMAGE, zlib.error) as error:
            self.broken = True
            self.reject("file cannot be read to its end", str(error))

    def _go_to_first_line(self, file: io.BufferedReader) -> bool:
        """Go to the first line that begins in the span; return False when none does."""
        stop = self.span.stop
        file.seek(self.span.start - 1)
        while stop is None or file.tell() < stop:
            part = file.readline(BUFFER)
            if part.endswith(b"\n"):
                return True
            if not part:
                return False
        return False

    def _skip_empty(self, file: io.BufferedReader, offset: int) -> int:
        """Pass over the line ends that follow an empty line, up to ``span.stop``; return the bytes passed over."""
        skipped, self.empty = 0, 1
        while True:
            ahead = file.peek(1)
            run = len(ahead) - len(ahead.lstrip(b"\r\n"))
            if self.span.stop is not None:
                left = self.span.stop - offset - skipped
                if left <= run:  # a line end of two bytes is not cut: its second half would be an empty line
                    run = max(0, left) - (left > 0 and ahead[left - 1:left] == b"\r")
            if run <= 0:
                return skipped
            self.empty += file.read(run).count(b"\n")
            skipped += run

    @staticmethod
    def _read_line(file: io.BufferedReader) -> bytes:
        line = file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            while (more := file.readline(MAX_LINE)) and not more.endswith(b"\n"):
                pass
        return line

    def _decode(self, line: bytes, first: bool) -> Optional[str]:
        if len(line) > MAX_LINE:
            self.reject(f"line longer than {MAX_LINE >> 20} MiB")
            return None
        try:
            return line.decode("utf-8-sig" if first else "utf-8").strip(self.strip)
        except UnicodeDecodeError as error:
            self.reject("invalid UTF-8", f"byte 0x{line[error.start]:02x} at column {error.start + 1}")
            return None

    def reject(self, reason: str, detail: str = "", line: Optional[int] = None, count: int = 1) -> None:
        """Count what could not be used, at the current line or at ``line`` (0: the file as a whole)."""
        number = self.number if line is None else line
        self.rejected.add(reason, self.span.path, self._before + number if number else None, detail, count)

    @cached_property
    def _before(self) -> int:
        """Lines that begin before the span's first one."""
        start, count = self.span.start, 0
        if not start:
            return 0
        with open(self.span.path, "rb") as file:
            while file.tell() < start:
                count += file.read(min(BUFFER, start - file.tell())).count(b"\n")
            file.seek(start - 1)
            return count + (file.read(1) != b"\n")
