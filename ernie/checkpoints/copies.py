"""Copies of the kept checkpoints in another folder, such as a mounted object store, made beside training."""
from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ernie.checkpoints import checkpoint
from ernie.checkpoints.manifest import FILE, check
from reader.utils.files import present, replace_directory

OPENINGS = 20   # attempts at a directory that is replaced while its files are opened
BEST = "best"   # directory of the best weights beside the checkpoints, without which they cannot be resumed


class Copier:
    """Copies checkpoints of a stage or seed one after the other; training neither waits for it nor fails by it.

    While a copy is under way only the newest of the checkpoints that follow waits for its turn.

    Args:
        target: folder of the copies of this stage or seed. keep: how many of the newest stay there.
        report: called with a line for each copy that was made or failed. claim: called before each copy; raises where
            none may be made there.
    Attributes:
        failed: number of copies that could not be made. left_out: of those that a newer one overtook.
    """

    def __init__(self, target: Path, keep: int, report: Callable[[str], None],
                 claim: Callable[[], None] = lambda: None):
        self.target, self.keep, self.report, self._claim = target, keep, report, claim
        self.failed = self.left_out = 0
        self.busy: Path | None = None   # what is read now, which must not be deleted
        self._waiting: Path | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._whole: set[Path] = set()

    def add(self, path: Path) -> None:
        """Have a checkpoint copied that is whole on disk. Returns at once."""
        with self._lock:
            if self._waiting is not None:
                self.left_out += 1
            self._waiting = path
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="copies of checkpoints", daemon=True)
                self._thread.start()

    def in_use(self) -> set[Path]:
        """Return the checkpoints that must not be deleted yet."""
        with self._lock:
            return {path for path in (self.busy, self._waiting) if path is not None}

    def wait(self, seconds: float) -> bool:
        """Wait for the copies under way, at most so long. Returns whether all that could be made are there."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            if thread.is_alive():
                self.report(f"the copies in {self.target} are not ready after {seconds:.0f} s and are left unfinished")
                return False
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                self.busy, self._waiting = self._waiting, None
                if self.busy is None:
                    self._thread = None
                    return
            self._copy(self.busy)

    def _copy(self, path: Path) -> None:
        begun = time.perf_counter()
        try:
            self._claim()
            best = path.parent / BEST
            if present(best).is_dir():
                copy(best, self.target / BEST)
            copy(path, self.target / path.name)
            self._whole.add(self.target / path.name)
            checkpoint.prune(self.target, self.keep, self._whole)
        except Exception as error:  # whatever a mounted store raises; the run has its checkpoint
            self.failed += 1
            self.report(f"checkpoint {path.name} could not be copied to {self.target} ({error}); copies that failed so "
                        f"far: {self.failed}; training goes on")
            return
        overtaken = f"; overtaken by newer ones so far: {self.left_out}" if self.left_out else ""
        self.report(f"checkpoint {path.name}: copied to {self.target} in {time.perf_counter() - begun:.1f} s"
                    + overtaken)


def copy(source: Path, target: Path) -> None:
    """Copy a checkpoint file by file under another name, hold it to its manifest, rename it. An equal one stays.

    Raises:
        OSError: it could not be read, written or renamed, or is not what was written.
    """
    temporary = checkpoint.partial(target)
    with contextlib.ExitStack() as opened:
        files = _opened(source, opened)
        manifest = files[FILE].read()
        files[FILE].seek(0)
        if (target / FILE).is_file() and (target / FILE).read_bytes() == manifest and not check(target):
            return
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, file in files.items():
            with open(temporary / name, "wb") as written:
                shutil.copyfileobj(file, written, 1 << 22)
                written.flush()
                os.fsync(written.fileno())
    damage = check(temporary)
    if damage:
        raise OSError(f"the copy is not what was written: {damage}")
    replace_directory(temporary, target)


def _opened(source: Path, stack: contextlib.ExitStack) -> dict[str, IO[bytes]]:
    """Open all files of a directory at once: they stay readable when training replaces the directory (best weights)."""
    for attempt in range(OPENINGS):
        with contextlib.ExitStack() as opened:
            try:
                folder = os.open(present(source), os.O_RDONLY | os.O_DIRECTORY)
                opened.callback(os.close, folder)
                files: dict[str, IO[bytes]] = {}
                for name in sorted(os.listdir(folder)):
                    files[name] = opened.enter_context(os.fdopen(os.open(name, os.O_RDONLY, dir_fd=folder), "rb"))
                # A directory that was replaced meanwhile may have lost files before they were listed.
                if os.path.samestat(os.fstat(folder), os.stat(present(source))):
                    stack.push(opened.pop_all())
                    return files
            except FileNotFoundError:  # it was being replaced
                if attempt == OPENINGS - 1:
                    raise
        time.sleep(0.01 * attempt)
    raise OSError(f"{source} was replaced {OPENINGS} times while it was opened")


def newer(copies: Path, local: Path | None, report: Callable[[str], None]) -> Path | None:
    """Find the newest whole copy of a checkpoint that is newer than the ``local`` one, if there is any."""
    found = checkpoint.newest(copies, report, above=local.name if local else "")
    if found:
        report(f"{found} is newer than " + (f"{local}" if local else "what is here, which is nothing"))
    return found


def bring_back(found: Path, directory: Path) -> None:
    """Copy a checkpoint back to where it was, and the best weights unless they are there.

    A training that is at its end writes no further checkpoint, and what follows it looks for this one in ``directory``.
    """
    copy(found, directory / found.name)
    best = found.parent / BEST
    if best.is_dir() and (not (directory / BEST).is_dir() or check(directory / BEST)):
        copy(best, directory / BEST)
