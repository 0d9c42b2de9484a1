"""Verification of what lies at a path: stores, runs, checkpoints, exported models, released weights."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ernie.checkpoints.formats.families import read
from ernie.checkpoints.formats.tensor_files import read_safetensors
from ernie.checkpoints.manifest import FILE, check
from reader.store.integrity import verify_store
from reader.store.store import Store
from reader.utils.errors import InputError
from reader.utils.text import counted

RUN = "run.json"
RECORDS = (".json", ".jsonl")
DEEPEST = 6  # directories below the path that are searched for manifests


@dataclass
class Finding:
    """The result for one place; ``str`` of it is a line for a person."""

    path: Path
    text: str
    damaged: bool = False

    def __str__(self) -> str:
        return f"{'DAMAGED' if self.damaged else 'whole':9}{self.path}: {self.text}"


def verify(path: str | Path) -> Iterator[Finding]:
    """Verify everything at a path, in order of its name.

    Raises:
        InputError: there is no such path, or nothing in it that can be verified.
    """
    path, found = Path(path), False
    if not path.exists():
        raise InputError("no such file or directory", path)
    if path.is_file():  # an archive, or weights with their configuration beside them
        yield _released(path)
        return
    closed: list[OSError] = []
    for directory in _directories(path, closed):
        for finding in _of_directory(directory):
            found = True
            yield finding
    for error in closed:
        found = True
        yield Finding(Path(error.filename or path), f"cannot be read ({error.strerror})", damaged=True)
    if not found:
        yield _released(path)


def _directories(path: Path, closed: list[OSError]) -> Iterator[Path]:
    """Directories to look into; those that cannot be listed come into ``closed``."""
    for folder, inner, _ in os.walk(path, onerror=closed.append):
        directory = Path(folder)
        inner.sort()
        if len(directory.relative_to(path).parts) >= DEEPEST or directory.suffix in (".partial", ".parts"):
            inner.clear()
        else:
            yield directory


def _of_directory(directory: Path) -> Iterator[Finding]:
    if (directory / FILE).is_file():
        yield _of_manifest(directory)
    elif (directory / RUN).is_file() or (directory / "done.json").is_file() or (directory / "log.jsonl").is_file():
        yield from _of_run(directory)
    elif directory.name.startswith("step-"):
        yield Finding(directory, f"a checkpoint without {FILE}", damaged=True)


def _of_manifest(directory: Path) -> Finding:
    try:
        content = json.loads((directory / FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return Finding(directory, f"{FILE} cannot be read ({error})", damaged=True)
    try:
        if isinstance(content, dict) and "files" not in content:
            return Finding(directory, verify_store(Store(directory)))
        damage = check(directory) or _not_finite(directory)
        if damage:
            return Finding(directory, damage, damaged=True)
        count = len(content["files"])
        whole = f"{counted(count, 'file')} as {'it was' if count == 1 else 'they were'} written"
        return Finding(directory, whole)
    except InputError as error:
        return Finding(directory, error.reason, damaged=True)


def _not_finite(directory: Path) -> str:
    """Return which weights of a checkpoint are not finite numbers, or an empty string."""
    for file in sorted(directory.glob("*.safetensors")):
        for name, array in read_safetensors(file).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return f"{name} in {file.name} is not finite"
    return ""


def _of_run(directory: Path) -> Iterator[Finding]:
    """The records in a directory of a run or stage, and that the checkpoint with which it ended is there."""
    contents = {}
    for file in sorted(directory.iterdir()):
        if file.suffix in RECORDS and file.is_file():
            try:
                text = file.read_text("utf-8")
                contents[file.name] = [json.loads(line) for line in
                                       (text.splitlines() if file.suffix == ".jsonl" else [text])]
            except (OSError, ValueError, RecursionError) as error:
                yield Finding(file, f"cannot be read ({error})", damaged=True)
    done = contents.get("done.json", [{}])[0]
    last = done.get("checkpoint") if isinstance(done, dict) else None
    if isinstance(last, str) and not (directory / last / FILE).is_file():
        yield Finding(directory, f"done.json names {last}, which is not there", damaged=True)
    yield Finding(directory, f"{counted(len(contents), 'record')} can be read")
    yield from _stores_of(directory, contents.get(RUN, [{}])[0])


def _stores_of(directory: Path, record: object) -> Iterator[Finding]:
    """The stores that a pre-training run was trained on, where they are still at hand, against its record."""
    record = record if isinstance(record, dict) else {}
    curriculum, data = record.get("curriculum"), record.get("data")
    if not isinstance(curriculum, dict) or not isinstance(data, dict):
        return
    for group in ("corpora", "pairs"):
        sources = curriculum.get(group)
        for name, source in (sources if isinstance(sources, dict) else {}).items():
            for key, label in (("path", name), ("dev", f"{name} (dev)")):
                place = source.get(key) if isinstance(source, dict) else None
                if not isinstance(place, str) or directory in (Path(place).parents):  # the walk comes by it
                    continue
                if not (Path(place) / FILE).is_file():
                    yield Finding(Path(place), f"the store {label} of this run is not here: not verified")
                    continue
                finding = _of_manifest(Path(place))
                if not finding.damaged and Store(place).fingerprint != data.get(label):
                    finding = Finding(Path(place), f"is not the store that {directory} was trained on", damaged=True)
                yield finding


def _released(path: Path) -> Finding:
    try:
        found = read(path)
    except InputError as error:
        return Finding(path, f"nothing that can be verified ({error.reason})", damaged=True)
    odd = [name for name, array in found.arrays.items() if not np.isfinite(array).all()]
    if odd:
        return Finding(path, f"{odd[0]} is not finite", damaged=True)
    return Finding(path, f"{len(found.arrays)} arrays of the {found.family} family agree with their configuration; it "
                         "has no checksums")
