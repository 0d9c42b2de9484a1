"""The packages that are installed together, ``ernie``, ``reader`` and ``tasks``, are found together.

The names are common: the package index has other packages called ernie and reader, and a ``tasks.py`` beside a
notebook comes before ours on the path. Then imports fail far from the cause, or another package's code runs.
"""
from __future__ import annotations

import importlib.util
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
OPENINGS = {"ernie": '"""ERNIE 2.0', "reader": '"""Text in, batches out', "tasks": '"""The pre-training tasks'}


def check_neighbours() -> None:
    """Raise ImportError, in one line that names the file in the way, unless the three packages lie side by side."""
    for name, opening in OPENINGS.items():
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ImportError(f"ernie: the package {name!r} that belongs beside {HOME / 'ernie'} is missing: "
                              "install ernie-pretrain again")
        place = Path(spec.origin or next(iter(spec.submodule_search_locations or ["?"]))).resolve()
        if place != HOME / name / "__init__.py":
            raise ImportError(f"ernie: {place} is in the way: it is found as {name!r} instead of {HOME / name}; rename "
                              f"it, remove it (pip uninstall {name}) or start from another folder")
        if not place.read_text("utf-8").startswith(opening):
            raise ImportError(f"ernie: another package called {name!r} has overwritten {place}: pip uninstall {name}, "
                              "then install ernie-pretrain again")
