"""Checkpoints that are whole or absent: written beside, checksummed, fsynced, renamed; safetensors, never pickles.

    <directory>/step-00000400/{model,optimizer}.safetensors, state.json, ernie_config.json, vocab.txt, manifest.json
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from reader.utils.errors import InputError

PREFIX = "step-"


@dataclass
class Checkpoint:
    """A whole checkpoint, read back."""

    path: Path
    model: dict  # structured parameter name -> array
    optimizer: dict
    state: dict


class CheckpointWriter:
    """Writes checkpoints of one stage without holding training up longer than copying the arrays takes.

    Args:
        directory: the stage's; checkpoints become its children. keep: how many of the newest stay.
        extra: name -> text of files that every checkpoint carries (configuration, vocabulary).
        report: called with one line when a checkpoint could not be written.
    """

    def __init__(self, directory, keep: int, extra: dict, report=print):
        self.directory, self.keep, self.extra, self.report = Path(directory), keep, extra, report
        self._thread: threading.Thread | None = None
        self._whole: set[Path] = set()  # checkpoints that were found whole, or written, by this process
        self.error: Exception | None = None

    def save(self, step: int, model: dict, optimizer: dict, state: dict, wait: bool = False) -> Path:
        """Begin to write the checkpoint of ``step`` from numpy copies of the arrays; ``wait`` until it is there."""
        self.wait()
        path = self.directory / f"{PREFIX}{step:08d}"
        self._thread = threading.Thread(target=self._write, args=(path, model, optimizer, state))
        self._thread.start()
        if wait:
            self.wait()
            if self.error:
                raise OSError(f"checkpoint {path} could not be written: {self.error}") from self.error
        return path

    def wait(self) -> None:
        """Until the checkpoint under way is on disk."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _write(self, path: Path, model: dict, optimizer: dict, state: dict) -> None:
        try:
            write(path, {"model.safetensors": model, "optimizer.safetensors": optimizer},
                  {**self.extra, "state.json": json.dumps(state, indent=1)})
            self.error = None
            self._whole.add(path)
            prune(self.directory, self.keep, self._whole)
        except Exception as error:  # a full disk above all (safetensors has an error of its own for it)
            self.error = error
            shutil.rmtree(partial(path), ignore_errors=True)
            self.report(f"checkpoint {path} could not be written ({error}); the one before it is intact")


def write(path: Path, arrays: dict, texts: dict) -> None:
    """Write a checkpoint directory atomically.

    Args:
        arrays: file name -> {tensor name: array}. texts: file name -> content.
    """
    path, temporary = Path(path), partial(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, tensors in arrays.items():
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, temporary / name)
    for name, text in texts.items():
        (temporary / name).write_text(text, "utf-8")
    files = sorted([*arrays, *texts])
    manifest = {"files": {name: {"bytes": (temporary / name).stat().st_size, "sha256": _sha256(temporary / name)}
                          for name in files}}
    (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    for name in [*files, "manifest.json"]:
        _fsync(temporary / name)
    shutil.rmtree(path, ignore_errors=True)
    os.rename(temporary, path)
    _fsync(path.parent)


def partial(path: Path) -> Path:
    """The name under which a checkpoint is written before it is whole."""
    return Path(path).with_name(Path(path).name + ".partial")


def check(path) -> str:
    """Why a checkpoint is not whole, or nothing."""
    path = Path(path)
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"manifest.json cannot be read ({error})"
    for name, expected in manifest.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {expected['bytes']}"
        if _sha256(file) != expected["sha256"]:
            return f"{name} has another checksum than when it was written"
    return ""


def newest(directory, report=print) -> Path | None:
    """The newest whole checkpoint below ``directory``; damaged ones are named and passed over."""
    for path in sorted(_steps(directory), reverse=True):
        damage = check(path)
        if not damage:
            return path
        report(f"checkpoint {path} is damaged and passed over: {damage}")
    return None


def read(path) -> Checkpoint:
    """Read a checkpoint that ``newest`` returned."""
    path = Path(path)
    return Checkpoint(path, load_file(path / "model.safetensors"), load_file(path / "optimizer.safetensors"),
                      json.loads((path / "state.json").read_text("utf-8")))


def resolve(path) -> Path:
    """The directory that holds weights: ``path`` itself, or the newest checkpoint of a stage or run directory."""
    path = Path(path)
    if not path.exists():
        raise InputError("no such checkpoint", path)
    for directory in [path, *sorted(path.glob("stage-*"), key=_number, reverse=True)]:
        found = newest(directory)
        if found:
            return found
    return path


def prune(directory: str | Path, keep: int, known: set[Path]) -> None:
    """Delete all but the newest ``keep`` whole checkpoints, damaged ones older than these, and what was never finished.

    A damaged checkpoint takes no whole one's place; it is left where it is until newer ones make up the number.

    Args:
        known: checkpoints that need not be read to know that they are whole; those that are found whole are added.
    """
    kept = 0
    for path in sorted(_steps(directory), reverse=True):
        if kept == keep:
            shutil.rmtree(path, ignore_errors=True)
            known.discard(path)
        elif path in known or not check(path):
            known.add(path)
            kept += 1
    for path in Path(directory).glob(f"{PREFIX}*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def _steps(directory) -> list[Path]:
    return [path for path in Path(directory).glob(f"{PREFIX}*") if path.is_dir() and path.suffix != ".partial"]


def _number(path: Path) -> int:
    digits = path.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while chunk := opened.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
