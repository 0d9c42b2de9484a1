"""Checkpoints inside a .tar.gz: unpacked into a temporary directory that lasts as long as the process."""
from __future__ import annotations

import functools
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from ernie.checkpoints.formats.arrays import plain
from reader.utils.errors import InputError

ENDINGS = (".tar.gz", ".tgz", ".tar")
MOST_PER_BYTE, FREE = 20, 1 << 26  # weights hardly compress: more than this is no checkpoint


def is_archive(path) -> bool:
    """Whether a path is a tar archive by its name."""
    return Path(path).is_file() and str(path).endswith(ENDINGS)


def unpacked(path) -> Path:
    """The directory of an archive's content.

    Raises:
        InputError: damaged, a member would leave the directory or is not a plain file, or it unpacks to absurd sizes.
    """
    path = Path(path)
    return Path(_unpack(path.resolve(), path.stat().st_mtime_ns).name)


@functools.cache
def _unpack(path: Path, _modified: int) -> tempfile.TemporaryDirectory:
    target = tempfile.TemporaryDirectory(prefix="ernie-")
    room = FREE + MOST_PER_BYTE * path.stat().st_size
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if place.is_absolute() or ".." in place.parts:
                    raise InputError(f"member '{plain(member.name)}' would leave the target directory: refused", path)
                if member.isdir():
                    continue
                if not member.isreg():
                    raise InputError(f"member '{plain(member.name)}' is neither a file nor a directory: refused", path)
                room -= member.size
                if room < 0:
                    raise InputError("unpacks to far more than a checkpoint of this size can hold: refused", path)
                file = Path(target.name, *place.parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.extractfile(member) as source, open(file, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        target.cleanup()
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a whole archive ({plain(error)})", path) from None
    return target
