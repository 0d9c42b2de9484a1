"""Compressed files, opened for reading by the suffix of their name or, without one, by their first bytes."""
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, cast

from reader.utils.errors import InputError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)  # what reading a damaged or truncated file raises
_MAGIC = ((b"\x1f\x8b", ".gz"), (b"BZh", ".bz2"), (b"\xfd7zXZ\0", ".xz"), (b"\x28\xb5\x2f\xfd", ".zst"))
ZSTD_WINDOW = 1 << 31  # Reddit's archives need a window of 2 GiB; zstd allocates it only for frames that say so


def compression(path: str | os.PathLike[str]) -> str:
    """Return the compression of a file as one of SUFFIXES, or "" for none.

    The suffix decides; a file whose name has no suffix at all is recognised by its first bytes.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES or suffix:
        return suffix if suffix in SUFFIXES else ""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def inner_suffix(path: str | os.PathLike[str]) -> str:
    """Return the lower-case suffix of a name below that of its compression, such as ".jsonl" of "a.jsonl.gz"."""
    name = Path(path).name
    stem, suffix = os.path.splitext(name)
    return os.path.splitext(stem)[1].lower() if suffix.lower() in SUFFIXES else suffix.lower()


def open_compressed(path: str | os.PathLike[str], buffer: int = 1 << 20) -> io.BufferedReader:
    """Open a file for reading bytes, decompressed on the way; ``buffer`` bytes are read ahead of a plain file.

    Raises:
        InputError: a .zst file without the ``zstandard`` package.
    """
    kind = compression(path)
    if not kind:
        return cast(io.BufferedReader, open(path, "rb", buffer))
    if kind == ".zst":
        return io.BufferedReader(_open_zstd(path), 1 << 16)
    opener = cast(Callable[..., io.BufferedReader], {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[kind])
    return opener(path, "rb")  # these buffer themselves, and keep what precedes damage


def _open_zstd(path: str | os.PathLike[str]) -> io.RawIOBase:
    try:
        import zstandard
    except ImportError as error:
        raise InputError(f".zst files need the extra: pip install ernie-pretrain[corpora] ({error})", path) from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)

    class Reader(io.RawIOBase):
        """The frames of a file one after the other; a damaged or truncated one raises OSError or EOFError."""

        def __init__(self) -> None:
            self.file = open(path, "rb")  # noqa: SIM115  (closed with the reader)
            self.frame: Optional[zstandard.ZstdDecompressionObj] = None
            self.packed, self.ready, self.place = b"", memoryview(b""), 0

        def readable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.place

        def readinto(self, target: Any) -> int:
            while not self.ready:
                self.packed = self.packed or self.file.read(1 << 16)
                if not self.packed:
                    if self.frame is not None:
                        raise EOFError("the compressed file ends in the middle")
                    return 0
                frame = self.frame or decompressor.decompressobj()
                try:
                    self.ready = memoryview(frame.decompress(self.packed))
                except zstandard.ZstdError as error:
                    raise OSError(str(error)) from None
                self.packed = frame.unused_data if frame.eof else b""
                self.frame = None if frame.eof else frame
            count = min(len(target), len(self.ready))
            target[:count], self.ready = self.ready[:count], self.ready[count:]
            self.place += count
            return count

        def close(self) -> None:
            self.file.close()
            super().close()

    return Reader()
