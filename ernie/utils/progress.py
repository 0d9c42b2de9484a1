"""Progress on a terminal: rank 0 writes how far it is into a file, the launcher of its node draws a bar of it.

The ranks of a launch write to log files, so they cannot draw; the launcher has the terminal. Without a terminal on
standard error nothing is written and nothing drawn. ``NO_COLOR`` is honoured (by rich).
"""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "ERNIE_PROGRESS"  # the file, for the ranks
POLL = 0.25                  # seconds
WIDTH = 120                  # columns of a line where there is no terminal

_last_written = 0.0


def report(what: str, step: int, total: int) -> None:
    """Write down how far training is, if somebody looks, at most every ``POLL`` seconds; called by the main rank."""
    global _last_written
    file, now = os.environ.get(VARIABLE), time.monotonic()
    if not file or (now - _last_written < POLL and step < total):
        return
    _last_written = now
    with contextlib.suppress(OSError):  # a bar is no reason to end a run
        Path(f"{file}.new").write_text(json.dumps([what, step, total]), "utf-8")
        os.replace(f"{file}.new", file)


@contextlib.contextmanager
def shown(file: Path) -> Iterator[None]:
    """Draw a bar of what ``report`` writes into ``file`` while the block runs, where standard error is a terminal.

    Processes that are started in the block are told the file, and the width of the terminal.
    """
    if sys.stdout.isatty():
        os.environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining
    file.unlink(missing_ok=True)
    os.environ[VARIABLE] = str(file)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(),
                   TimeElapsedColumn(), TextColumn("{task.fields[left]}"), Remaining(), console=Console(stderr=True),
                   transient=True, redirect_stdout=sys.stdout.isatty())
    ended = threading.Event()

    def draw() -> None:
        task = bar.add_task("starting", total=None, left="")
        while not ended.wait(POLL):
            with contextlib.suppress(OSError, ValueError):  # not there yet, or just being replaced
                what, step, total = json.loads(file.read_text("utf-8"))
                bar.update(task, description=what or "training", completed=step, total=total, left="left")

    thread = threading.Thread(target=draw, name="progress", daemon=True)
    try:
        with bar:
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
    finally:
        os.environ.pop(VARIABLE, None)
        file.unlink(missing_ok=True)


def folded(parts: list[str], width: int | None = None) -> str:
    """Join the parts of a console line with two spaces, folded between parts so that no line is wider than it can be.

    Args:
        width: columns; None: of the terminal, of ``COLUMNS``, or 120.
    """
    width = width or shutil.get_terminal_size((WIDTH, 24)).columns
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += "  " + part
        else:
            lines.append("    " + part)
    return "\n".join(lines)
