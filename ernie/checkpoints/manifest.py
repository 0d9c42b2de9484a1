"""The manifest of a directory: size and SHA-256 of every file in it, so that damage is noticed."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

FILE = "manifest.json"


def write_manifest(directory: str | Path, names: Iterable[str]) -> None:
    """Write the manifest of the named files of a directory, and put all of them on the disk."""
    directory, names = Path(directory), sorted(names)
    entries = {name: {"bytes": (directory / name).stat().st_size, "sha256": _sha256(directory / name)}
               for name in names}
    (directory / FILE).write_text(json.dumps({"files": entries}, indent=1), "utf-8")
    for name in [*names, FILE]:
        fsync(directory / name)


def check(directory: str | Path) -> str:
    """Return why a directory is not what its manifest says, or an empty string."""
    directory = Path(directory)
    try:
        entries = json.loads((directory / FILE).read_text("utf-8"))["files"]
        expected = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{FILE} cannot be read ({error})"
    if not expected:
        return f"{FILE} names no file"
    for name, (size, digest) in expected.items():
        file = directory / name
        if Path(name).name != name:
            return f"{FILE} names {name!r}, which is no file of this directory"
        try:
            found = file.stat().st_size
            if found != size:
                return f"{name} has {found} bytes, not {size}"
            if _sha256(file) != digest:
                return f"{name} has another checksum than when it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror or error})"
    return ""


def fsync(path: str | Path) -> None:
    """Put a file or directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
