"""Files: written whole or not at all, read gzipped or not."""
from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", **options: Any) -> Iterator[IO]:
    """Open a file for writing that appears under its name only when the block ends without an error.

    The content is written to ``<path>.partial`` beside it, fsynced and renamed. An error removes the partial file and
    leaves an earlier file of that name as it was. Text is UTF-8 unless ``encoding`` says otherwise.

    Args:
        path: the file to write; its folder is created. mode: "w" or "wb". options: passed to ``open``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with atomic_write(path) as file:
        json.dump(content, file, indent=1, ensure_ascii=False)


def open_maybe_gzip(path: str | Path, mode: str = "rb", **options: Any) -> IO:
    """Open a file for reading; one whose name ends in .gz is decompressed on the way."""
    opener: Callable[..., Any] = gzip.open if str(path).endswith(".gz") else open
    return opener(path, mode, **options)
