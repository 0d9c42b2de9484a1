"""Exports that `ernie encode` and `ernie predict` make of themselves, kept for the next time.

A static graph takes about 0.8 of the time and costs some seconds to make (benchmarks/exporting.py), so it is used from
an amount of text on. The amount alone decides, not whether an export is there: the same command gives the same bits.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ernie.checkpoints.formats.finetuned import DESCRIPTION
from ernie.checkpoints.warm_start import read_pretrained
from ernie.finetuning.predictor import find_foreign, find_model, find_weights
from ernie.model.exported import is_exported
from ernie.utils import launchers
from ernie.utils.console import LOG
from ernie.utils.paddle_setup import import_paddle

PAYS = 2_000_000  # bytes of text, twice of what pays for the export of a model of 6 layers
KEPT = 4  # exports; each is as large as its checkpoint
DAY = 86400.0


def fastest(path: str | Path, text: str | Path, scores: bool) -> str | Path:
    """Return an export of ``path`` where that pays for the text, or else ``path``.

    Args:
        text: the file that will be read; pipes and short files do not pay.
        scores: the answers of a fine-tuned model are wanted, not the vectors of an encoder.
    """
    paddle = import_paddle()
    if not os.path.isfile(text) or os.path.getsize(text) < PAYS or is_exported(path) \
            or not paddle.device.get_device().startswith("cpu"):
        return path
    model = find_model(path)
    if scores != bool(model) or not scores and find_foreign(path, lambda _: None):
        return path  # an export of a fine-tuned model gives scores and nothing else
    try:
        versions = f"paddle {paddle.__version__}, ernie {sys.modules['ernie'].__version__}"
        return _kept(model or find_weights(path), versions)
    except OSError as error:
        LOG.warning("no export is kept (%s): the model runs as it is", error)
        return path


def folder() -> Path:
    """Return where exports are kept: $ERNIE_CACHE, or ernie/exports in the user's folder for such things."""
    named = os.environ.get("ERNIE_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ernie/exports"


def _kept(model: Path, versions: str) -> Path:
    """The export of a model in the cache, made if it is not there; the model where it cannot be made."""
    place = folder() / _key(model, versions)
    if not is_exported(place):
        folder().mkdir(parents=True, exist_ok=True)
        LOG.info("exporting the model once, for this much text; it is kept in %s (--no-export: run it as it is)",
                 folder())
        partial = place.with_name(f"{place.name}.{os.getpid()}")
        try:
            # in a process of its own: what tracing takes of memory is free again, and a crash is not ours
            made = subprocess.run([sys.executable, "-m", "ernie", "export", str(model), "--to", "inference", "--output",
                                   str(partial)], env=launchers.environment(), capture_output=True, text=True)
            if made.returncode or not is_exported(partial):
                LOG.warning("it cannot be exported: the model runs as it is (`ernie export` says why)")
                return model
            with contextlib.suppress(OSError):  # another process was faster
                partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    os.utime(place)
    _forget(place)
    return place


def _key(model: Path, versions: str) -> str:
    """A name that changes with the weights, what is said of them, and the versions that make the graph."""
    found = read_pretrained(model)
    digest = hashlib.sha256(json.dumps([versions, found.config.to_dict(), found.lower_case], sort_keys=True).encode())
    for name, array in sorted(found.arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    for file in (found.vocab, model / DESCRIPTION):
        if file is not None and Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:32]


def _forget(used: Path) -> None:
    """Remove the exports that were used longest ago, but none that a command of today may still be reading."""
    with contextlib.suppress(OSError):
        others = sorted((place for place in used.parent.iterdir() if place != used and is_exported(place)),
                        key=lambda place: place.stat().st_mtime, reverse=True)
        for place in others[KEPT - 1:]:
            if time.time() - place.stat().st_mtime > DAY:
                shutil.rmtree(place, ignore_errors=True)

