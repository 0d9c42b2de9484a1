"""Checkpoints that are whole or absent: written beside, checksummed, fsynced, renamed; safetensors, never pickles.

    <directory>/step-00000400/{model,optimizer}.safetensors, state.json, ernie_config.json, vocab.txt, manifest.json
"""
from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import load_file

from ernie.checkpoints.formats.tensor_files import write_safetensors
from ernie.checkpoints.manifest import check, write_manifest
from reader.utils.errors import InputError
from reader.utils.files import OLD, replace_directory

PREFIX = "step-"


@dataclass
class Checkpoint:
    """A whole checkpoint, read back."""

    path: Path
    model: dict[str, np.ndarray]  # by structured parameter name
    optimizer: dict[str, np.ndarray]
    state: dict


class Copies(Protocol):
    """The part of ``ernie.checkpoints.copies.Copier`` that a writer needs."""

    def add(self, path: Path) -> None:
        """Have a checkpoint copied."""

    def in_use(self) -> set[Path]:
        """Return what must not be deleted yet."""

    def wait(self, seconds: float) -> bool:
        """Wait for the copies under way."""


class CheckpointWriter:
    """Writes checkpoints of one stage without holding training up longer than copying the arrays takes.

    Args:
        directory: the stage's; checkpoints become its children. keep: how many of the newest stay.
        extra: name -> text of files that every checkpoint carries (configuration, vocabulary).
        report: called with one line when a checkpoint has been written, and when one could not be.
        copier: copies what was written elsewhere; or None.
    """

    COPY_WAIT = 120.0  # seconds that the end of training waits for copies

    def __init__(self, directory: str | Path, keep: int, extra: dict[str, str],
                 report: Callable[[str], None] = print, copier: Copies | None = None):
        self.copier = copier
        self.directory, self.keep, self.extra, self.report = Path(directory), keep, extra, report
        self._thread: threading.Thread | None = None
        self._whole: set[Path] = set()  # checkpoints that were found whole, or written, by this process
        self.error: Exception | None = None

    def save(self, step: int, model: dict, optimizer: dict, state: dict, wait: bool = False,
             begun: float | None = None) -> Path:
        """Begin to write the checkpoint of ``step`` from numpy copies of the arrays; ``wait`` until it is there.

        Args:
            begun: time (``perf_counter``) at which training was held up for it; now by default.
        Raises:
            OSError: with ``wait``, when it could not be written.
        """
        begun = time.perf_counter() if begun is None else begun
        self.wait()
        path = self.directory / f"{PREFIX}{step:08d}"
        held = time.perf_counter() - begun
        self._thread = threading.Thread(target=self._write, args=(path, model, optimizer, state, held))
        self._thread.start()
        if wait:
            self.wait()
            if self.error:
                number = getattr(self.error, "errno", None)
                reason = os.strerror(number) if number else self.error
                raise OSError(number, f"the checkpoint could not be written ({reason})", str(path)) from self.error
        return path

    def wait(self) -> None:
        """Wait until the checkpoint under way is on disk."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def finish(self) -> None:
        """Wait until the last checkpoint is on disk, and for a bounded time until it is copied."""
        self.wait()
        if self.copier:
            self.copier.wait(self.COPY_WAIT)

    def _write(self, path: Path, model: dict, optimizer: dict, state: dict, held: float) -> None:
        begun = time.perf_counter()
        try:
            size = write(path, {"model.safetensors": model, "optimizer.safetensors": optimizer},
                  {**self.extra, "state.json": json.dumps(state, indent=1)})
            self.error = None
            self._whole.add(path)
            self.report(f"checkpoint {path.name}: {size / 1e6:,.1f} MB in {time.perf_counter() - begun:.1f} s, beside "
                        f"training, which it held up for {held:.2f} s")
            if self.copier:
                self.copier.add(path)
            prune(self.directory, self.keep, self._whole, self.copier.in_use() if self.copier else set())
        except Exception as error:  # a full disk above all (safetensors has an error of its own for it)
            self.error = error
            self.report(f"checkpoint {path} could not be written ({error}); the one before it is intact")


def write(path: str | Path, arrays: dict[str, dict[str, np.ndarray]], texts: dict[str, str]) -> int:
    """Write a checkpoint directory atomically. Returns its size in bytes.

    Args:
        arrays: file name -> {tensor name: array}. texts: file name -> content.
    """
    path, temporary = Path(path), partial(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, tensors in arrays.items():
            write_safetensors(temporary / name, tensors)
        for name, text in texts.items():
            (temporary / name).write_text(text, "utf-8")
        write_manifest(temporary, [*arrays, *texts])
        size = sum(file.stat().st_size for file in temporary.iterdir())
        replace_directory(temporary, path)
    except Exception:  # a full disk above all, which half a checkpoint would keep full
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return size


def partial(path: str | Path) -> Path:
    """Return the name under which a checkpoint is written before it is whole."""
    return Path(path).with_name(Path(path).name + ".partial")


def newest(directory: str | Path, report: Callable[[str], Any] = print, above: str = "",
           wanted: Callable[[int], bool] = lambda step: True) -> Path | None:
    """Find the newest whole checkpoint below ``directory``; damaged ones are named and passed over.

    Args:
        above: name of a checkpoint; only later ones count. wanted: tells of a step whether its checkpoint counts.
    """
    for path in sorted((path for path in _steps(directory) if path.name > above and wanted(_number(path))),
                       reverse=True):
        damage = check(path)
        if not damage:
            return path
        report(f"checkpoint {path} is damaged and passed over: {damage}")
    return None


def read_best(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of a directory of best weights. Raises InputError where they are damaged or gone."""
    damage = check(path)
    if damage:
        raise InputError(f"the best weights are damaged: {damage}", path)
    return load_file(path / "model.safetensors")


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint that ``newest`` returned."""
    path = Path(path)
    return Checkpoint(path, load_file(path / "model.safetensors"), load_file(path / "optimizer.safetensors"),
                      json.loads((path / "state.json").read_text("utf-8")))


def resolve(path: str | Path) -> Path:
    """Find the directory that holds weights: ``path`` itself, or the newest checkpoint of a stage or run directory."""
    path = Path(path)
    if not path.exists():
        raise InputError("no such checkpoint", path)
    for directory in [path, *sorted(path.glob("stage-*"), key=_number, reverse=True)]:
        found = newest(directory)
        if found:
            return found
    return path


def prune(directory: str | Path, keep: int, known: set[Path], in_use: Collection[Path] = ()) -> None:
    """Delete all but the newest ``keep`` whole checkpoints, damaged ones older than these, and what was never finished.

    A damaged checkpoint takes no whole one's place; it is left where it is until newer ones make up the number.

    Args:
        known: checkpoints that need not be read to know that they are whole; those that are found whole are added.
        in_use: checkpoints that are being read and stay until the next time.
    """
    kept = 0
    for path in sorted(_steps(directory), reverse=True):
        if kept == keep and path in in_use:
            continue
        if kept == keep:
            shutil.rmtree(path, ignore_errors=True)
            known.discard(path)
        elif path in known or not check(path):
            known.add(path)
            kept += 1
    for ending in (".partial", OLD):
        for path in Path(directory).glob(f"{PREFIX}*{ending}"):
            shutil.rmtree(path, ignore_errors=True)


def _steps(directory: str | Path) -> list[Path]:
    return [path for path in Path(directory).glob(f"{PREFIX}*")
            if path.is_dir() and path.suffix not in (".partial", OLD)]


def step_of(path: Path) -> int:
    """Return the step of a checkpoint, from its name."""
    return _number(path)


def _number(path: Path) -> int:
    digits = path.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1
