"""Checkpoints inside a .tar.gz: unpacked into a temporary directory that lasts as long as the process."""
from __future__ import annotations

import functools
import gzip
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from ernie.checkpoints.formats.arrays import plain
from reader.utils.errors import InputError

ENDINGS = (".tar.gz", ".tgz", ".tar")
MOST_PER_BYTE, FREE = 20, 1 << 26  # weights hardly compress: more than this is no checkpoint
MOST_MEMBERS = 10_000
DEEPEST, LONGEST = 16, 512         # parts and characters of a member's name
PIECE = 1 << 20                    # bytes that are read at once
MOST_READS = 8 * MOST_MEMBERS      # of at most a header's size: a member takes two, a long name two more


class _Bounded:
    """An open file that refuses what only a hostile archive asks for: one very long header, or headers without end."""

    def __init__(self, file: IO[bytes]):
        self.file, self.reads = file, 0
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes, at most ``PIECE``."""
        self.reads += size <= tarfile.BLOCKSIZE
        if not 0 <= size <= PIECE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        if self.reads > MOST_READS:
            raise tarfile.ReadError(f"more than {MOST_READS:,} headers")
        return self.file.read(size)


def is_archive(path: str | Path) -> bool:
    """Tell whether a path is a tar archive by its name."""
    return Path(path).is_file() and str(path).endswith(ENDINGS)


def unpacked(path: str | Path) -> Path:
    """Return the directory of an archive's content.

    Raises:
        InputError: damaged, a member would leave the directory or is not a plain file, or it unpacks to absurd sizes
            or numbers.
    """
    path = Path(path)
    return Path(_unpack(path.resolve(), path.stat().st_mtime_ns).name)


@functools.cache
def _unpack(path: Path, _modified: int) -> tempfile.TemporaryDirectory:
    target = tempfile.TemporaryDirectory(prefix="ernie-")
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            content: IO[bytes] = gzip.GzipFile(fileobj=file) if zipped else file  # type: ignore[assignment]
            with tarfile.open(fileobj=_Bounded(content), mode="r:") as archive:  # type: ignore[call-overload]
                _extract(archive, path, Path(target.name))
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError) as error:
        target.cleanup()
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a whole archive ({plain(error)})", path) from None
    return target


def _extract(archive: tarfile.TarFile, path: Path, target: Path) -> None:
    room = FREE + MOST_PER_BYTE * path.stat().st_size
    for number, member in enumerate(archive):
        place = PurePosixPath(member.name)
        if number >= MOST_MEMBERS:
            raise InputError(f"has more than {MOST_MEMBERS:,} members: refused", path)
        if len(place.parts) > DEEPEST or len(member.name) > LONGEST:
            raise InputError(f"member '{plain(member.name)}' has a name of {len(member.name):,} characters in "
                             f"{len(place.parts)} parts: refused", path)
        if place.is_absolute() or ".." in place.parts:
            raise InputError(f"member '{plain(member.name)}' would leave the target directory: refused", path)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise InputError(f"member '{plain(member.name)}' is neither a file nor a directory: refused", path)
        room -= member.size
        if room < 0 or member.size < 0:
            raise InputError("unpacks to far more than a checkpoint of this size can hold: refused", path)
        file = Path(target, *place.parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        with source, open(file, "wb") as copy:
            shutil.copyfileobj(source, copy, PIECE)
