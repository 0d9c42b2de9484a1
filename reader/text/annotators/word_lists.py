"""Word lists: those that ship with the annotators, and files of one string a line."""
from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write one string a line."""
    Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a file, without those that begin with #."""
    return [line for line in Path(path).read_text("utf-8").split("\n") if line and not line.startswith("#")]


@cache
def word_lists() -> dict[str, frozenset[str]]:
    """Return the words of abbreviations_en.txt by their mark, and the function words of openers_en.txt under ""."""
    lists: dict[str, set] = {"!": set(), "=": set(), "^": set(), "": set()}
    for name in ("abbreviations_en.txt", "openers_en.txt"):
        for line in read_lines(DATA / name):
            mark = line[0] if line[0] in "!=^" else ""
            lists[mark].update(line[len(mark):].split())
    return {mark: frozenset(words) for mark, words in lists.items()}
