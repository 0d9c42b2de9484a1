"""One writer in a directory at a time."""
from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from reader.utils.errors import InputError


def lock(directory: str | Path, patience: float = 30.0, say: Callable[[str], None] = print) -> IO:
    """Hold ``directory`` against a second writer until the returned file is closed or this process ends.

    The directory is created if it is absent.

    Args:
        patience: seconds to wait for another holder. say: takes one line when there is a wait.
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
                raise InputError(f"another process ({holder}) is training in this directory", directory) from None
            if not told:
                say(f"waiting for another process ({holder}) to leave {directory}")
                told = True
            time.sleep(0.5)
    file.truncate(0)
    file.write(f"pid {os.getpid()} on {os.uname().nodename}")
    file.flush()
    return file
