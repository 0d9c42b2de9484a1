"""The configuration files that come with the package."""
from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"


def locate(path: str | Path) -> Path:
    """Return a file that a configuration names: relative to where the command was started, or to the checkout."""
    return Path(path) if Path(path).exists() else ROOT / path
