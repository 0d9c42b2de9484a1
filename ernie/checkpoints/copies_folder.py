"""The folder of a run's copies, with the run's record beside them: by it another run is told and refused."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ernie.checkpoints.checkpoint import PREFIX
from ernie.utils.records import read_record
from reader.utils.errors import InputError
from reader.utils.files import atomic_write


class CopiesFolder:
    """The folder to which ``copy_checkpoints_to`` points, and whose copies are there.

    Args:
        path: the folder. record: the run's own record, of which a copy lies beside those of the checkpoints.
        parts: patterns of what stages or seeds are called. refuse: called with the file of the record that lies there,
            what it holds, and what this run is; raises InputError where this run would not continue that one.
    Attributes:
        file: the record that lies there, if any does.
    """

    def __init__(self, path: str | Path, record: Path, parts: Sequence[str],
                 refuse: Callable[[Path, dict, dict], None]):
        self.path, self.file = Path(path), Path(path) / record.name
        self._own, self._parts, self._refuse = record, parts, refuse

    def recorded(self) -> dict[str, Any] | None:
        """Return the record that lies there, or None."""
        try:
            there = self.file.exists()
        except OSError as error:  # a store that is not mounted as it should be
            raise InputError(f"cannot be read: {error.strerror or error}", self.file) from None
        return read_record(self.file) if there else None

    def check(self, new: dict[str, Any]) -> None:
        """Hold what a run is against the copies that are there.

        Raises:
            InputError: they are another run's, or nobody can tell whose.
        """
        old = self.recorded()
        if old is not None:
            self._refuse(self.file, old, new)
        elif any(True for part in self._parts for _ in self.path.glob(f"{part}/{PREFIX}*")):
            raise InputError(f"holds checkpoints and no {self.file.name} that says of which run: name another folder "
                             "in copy_checkpoints_to", self.path)

    def claim(self) -> None:
        """Lay the run's record there, before a checkpoint is copied.

        Raises:
            InputError: another run has done so since. OSError: it could not be read or written.
        """
        self.check(read_record(self._own))
        text = self._own.read_text("utf-8")
        if not self.file.exists() or self.file.read_text("utf-8") != text:
            with atomic_write(self.file) as file:
                file.write(text)
