"""The console: what commands tell beside their results, through ``logging``; and streams that survive a full disk.

Results go to standard output. Everything else is a record of the logger "ernie", which the command line shows on
standard error with the prefix ``ernie:``; a program that imports the package decides itself what becomes of it.
"""
from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Any, TextIO

LOG = logging.getLogger("ernie")  # what commands tell beside their results
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LossyStream:
    """A text stream that drops what a full disk does not take."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, or lose it."""
        try:
            return self.stream.write(text)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return len(text)

    def flush(self) -> None:
        """Flush, or lose what is buffered."""
        try:
            self.stream.flush()
        except OSError as error:
            if error.errno not in FULL:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_console_lossy() -> None:
    """Let standard output and error of this process lose what a full disk does not take."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), LossyStream):
            setattr(sys, name, LossyStream(getattr(sys, name)))


def close_console() -> None:
    """Flush standard output; where that fails for want of space, let the interpreter's own flush at exit not fail."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Console(logging.Handler):
    """Writes to what standard error is at the time, which may have been replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"ernie: {record.getMessage()}\n")
        sys.stderr.flush()


def show_log() -> None:
    """Show the records of the logger "ernie" on standard error, a line each; once."""
    if not any(isinstance(handler, _Console) for handler in LOG.handlers):
        LOG.addHandler(_Console())
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
