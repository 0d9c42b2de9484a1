"""Places to write: one writer in a directory at a time, and mistakes with paths told in one line."""
from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from reader.utils.errors import InputError

LONGEST_NAME = 240  # bytes: suffixes are added to a name while a file is written
PLACES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
          errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.ENXIO, errno.ENODEV}
MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}


def check_output(path: str | Path, folder: bool = False) -> None:
    """Raise InputError where nothing can be written at ``path``, before any work is done for it.

    Args:
        folder: what is written is a directory, so that a file in its place will not do.
    """
    path = Path(path)
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST_NAME:
            raise InputError(f"a name of {len(os.fsencode(part))} bytes: at most {LONGEST_NAME}", path)
    if "\0" in str(path):
        raise InputError("a name with a zero byte in it", path)
    place = path.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if place == path.absolute() and not place.is_dir():
        if folder:
            what = "file, not a directory" if place.exists() else "link to a directory that does not exist"
            raise InputError(f"cannot be written: it is a {what}", path)
        place = place.parent  # a file, which a command may write anew, or a pipe
    if not place.is_dir():
        raise InputError(f"cannot be written: {place} is not a directory", path)
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise InputError(f"cannot be written: {place} is on a read-only file system", path)
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"cannot be written: no permission to write in {place}", path)


def told(error: OSError) -> tuple[str, int] | None:
    """Return the line and the exit code for what the system says about a place; None for other errors.

    A place that cannot be used is a mistake of the user (2); a full disk or a failing one is not (1).
    """
    if error.errno not in PLACES | MACHINE or not (error.filename or error.errno in MACHINE):
        return None
    names = [str(name) for name in (error.filename, error.filename2) if name]
    line = str(InputError(error.strerror or str(error), " and ".join(names) or None))
    return line, 2 if error.errno in PLACES else 1


def lock(directory: str | Path, patience: float = 30.0, say: Callable[[str], None] = print,
         name: str | Path | None = None) -> IO:
    """Hold ``directory`` against a second writer until the returned file is closed or this process ends.

    The directory is created if it is absent.

    Args:
        patience: seconds to wait for another holder. say: takes one line when there is a wait.
        name: directory that messages name, by default the locked one.
    Raises:
        InputError: somebody else still holds it after ``patience`` seconds; ranks of a launch that was just killed
            may need a moment to go.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    file = open(directory / ".lock", "a+")  # noqa: SIM115  (held for as long as the process trains)
    deadline, told = time.monotonic() + patience, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            if time.monotonic() > deadline:
                file.close()
                raise InputError(f"another process ({holder}) is training in this directory",
                                 name or directory) from None
            if not told:
                say(f"waiting for another process ({holder}) to leave {name or directory}")
                told = True
            time.sleep(0.5)
    file.truncate(0)
    file.write(f"pid {os.getpid()} on {os.uname().nodename}")
    file.flush()
    return file
