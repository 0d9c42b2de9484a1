"""From the label written in a file to a class index or a score."""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from reader.finetune.records import by_text
from reader.utils.errors import InputError

CHUNK_PREFIXES = "BIMEOSLU"
PREFIXED = re.compile(f"[{CHUNK_PREFIXES}][-_].+")
SUFFIXED = re.compile(f".+[-_][{CHUNK_PREFIXES}]")


class Classes:
    """The classes of a task, in the order of their indices.

    Args:
        names: as the official files spell them.
        aliases: other spellings, for example {"contradictory": "contradiction"}.
    Attributes:
        several: whether a row may have any number of them.
    Raises:
        InputError: a name stands twice, or an alias is for no class.
    """

    several = False

    def __init__(self, names: Iterable, aliases: Mapping | None = None):
        self.names = tuple(str(name) for name in names)
        self.index = {name: number for number, name in enumerate(self.names)}
        if len(self.index) < len(self.names):
            twice = next(name for at, name in enumerate(self.names) if name in self.names[:at])
            raise InputError(f"class {twice!r} is named twice")
        self.aliases = by_text(aliases or {})
        for alias, name in self.aliases.items():
            if name not in self.index:
                raise InputError(f"alias {alias!r} is for {name!r}, which is not one of {', '.join(self.names)}")
            self.index[alias] = self.index[name]

    def __len__(self) -> int:
        return len(self.names)

    def declares(self, text: str) -> bool:
        """Tell whether the recipe itself says that ``text`` is a label."""
        return text in self.index

    def read(self, text: str, numbered: bool = False) -> Any:
        """Return the index of a label, which ``numbered`` files (Baidu's) may write in place of the label.

        Raises:
            ValueError: not one of the classes, with a hint at what may have gone wrong.
        """
        if text in self.index:
            return self.index[text]
        if numbered and text.isascii() and text.isdigit() and int(text) < len(self.names):
            return int(text)
        hint = ""
        if text.strip() in self.index:
            hint = " (space around it?)"
        elif text.strip().lower() in {name.lower() for name in self.index}:
            hint = " (capitals?)"
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise ValueError(f"label {shown!r} is not one of {', '.join(self.names)}{hint}")


class ClassSets(Classes):
    """The classes of a task whose rows have any number of them (multi-label).

    Args:
        separator: between the labels of a row in a text; lists, as json holds them, need none.
    """

    several = True

    def __init__(self, names: Iterable, aliases: Mapping | None = None, separator: str = ","):
        super().__init__(names, aliases)
        self.separator = separator

    def read(self, text: Any, numbered: bool = False) -> tuple:
        """Return the ascending indices of a row's labels; () for an empty text. Raises ValueError as ``Classes``."""
        parts = text if isinstance(text, (list, tuple)) else self.parts(text)
        return tuple(sorted({super(ClassSets, self).read(part.strip(), numbered) for part in parts}))

    def parts(self, text: str) -> list[str]:
        """Cut the text of a row's labels into one text for each; [] for an empty one."""
        return [part.strip() for part in text.split(self.separator)] if text.strip() else []


class Score:
    """The label of a regression task: a finite number.

    Args:
        low, high: a number outside of these is an error; None: any number is a score.
    """

    names: tuple = ()
    several = False

    def __init__(self, low: float | None = None, high: float | None = None):
        self.known = low is not None and high is not None
        self.low, self.high = -math.inf if low is None else low, math.inf if high is None else high

    def declares(self, text: str) -> bool:
        """Tell whether the recipe itself says that ``text`` is a score: it has a range, and this lies in it."""
        return self.known and self.low <= float(text) <= self.high

    def read(self, text: str, numbered: bool = False) -> float:
        """Return the number; raise ValueError when the text is none, or it is outside the range."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"score {text!r} is not a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"score {text} is not between {self.low:g} and {self.high:g}")
        return value


def suffixed(names: Iterable[str]) -> bool:
    """Tell whether chunk labels carry the letter behind the type (PER-B) rather than before it (B-PER)."""
    types = [name for name in names if name != "O"]
    return bool(types) and all(SUFFIXED.fullmatch(name) for name in types) \
        and not all(PREFIXED.fullmatch(name) for name in types)


def chunk_label(name: str, behind: bool) -> str:
    """Return a label as ``X-TYPE``. behind: the letter X stands behind the type in ``name``."""
    if name == "O" or len(name) < 3:
        return name
    return f"{name[-1]}-{name[:-2]}" if behind else f"{name[0]}-{name[2:]}"


def tag_classes(names: Iterable[str], aliases: Mapping | None = None) -> Classes:
    """Check the labels of a tagged corpus, O or a type with a usual letter before or behind it; return them as classes.

    Raises:
        InputError: a label that no chunking scheme knows.
    """
    names = [str(name) for name in names]
    form = SUFFIXED if suffixed(names) else PREFIXED
    for name in names:
        if name != "O" and not form.fullmatch(name):
            raise InputError(f"label {name!r} is neither O nor of the form B-TYPE, I-TYPE, E-TYPE, S-TYPE ...")
    return Classes(names, aliases)
