"""The files that come with the package: model sizes, curricula, recipes, launchers.

In a checkout they lie at its top; an installed package has copies of them in ``ernie/share``.
"""
from __future__ import annotations

from pathlib import Path

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent if (PACKAGE.parent / "run_pretrain.sh").is_file() else PACKAGE / "share"
CONFIGS = ROOT / "configs"


def locate(path: str | Path) -> Path:
    """Return a file that a configuration names: relative to where the command was started, or as shipped."""
    return Path(path) if Path(path).exists() else ROOT / path


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
