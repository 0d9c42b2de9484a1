"""Take away again what an attempt has added to a directory, when it ends before it has done anything."""
from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ernie.utils.files import lock
from reader.utils.errors import InputError

OURS = {".lock", "alive"}  # what a process writes before it holds the directory


class Footprint:
    """The state of a directory before something is written there.

    Args:
        directory: which may not exist yet, nor its parents.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        try:
            self.names = set(os.listdir(self.directory))
        except OSError:
            self.names = set()
        self.absent = [path for path in (self.directory, *self.directory.parents) if not os.path.lexists(path)]

    def locked(self) -> None:
        """Say that nobody else writes there from now on: what others have added while we waited is not ours."""
        with contextlib.suppress(OSError):
            self.names |= set(os.listdir(self.directory)) - OURS

    def undo(self, keep: Collection[str] = ()) -> None:
        """Remove what has come into the directory since, but for names to ``keep``, and the directories that were
        absent, where they are empty then. Nothing that was there before is touched; what cannot be removed stays."""
        with contextlib.suppress(OSError):
            for path in list(self.directory.iterdir()):
                if path.name in self.names or path.name in keep:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            for path in self.absent:
                path.rmdir()


@contextlib.contextmanager
def hold(directory: str | Path, say: Callable[[str], None] = print, keep: Collection[str] = ()) -> Iterator[None]:
    """Hold a directory as ``lock`` does; when the block ends in an InputError, undo what it has added there.

    Args:
        say: see ``lock``. keep: names that stay.
    """
    before = Footprint(directory)
    with lock(directory, say=say):
        before.locked()
        try:
            yield
        except InputError:
            before.undo(keep)
            raise
