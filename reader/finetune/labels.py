"""From the label written in a file to a class index or a score."""
from __future__ import annotations

import math

from reader.utils.errors import InputError


class Classes:
    """The classes of a task, in the order of their indices.

    Args:
        names: as the official files spell them.
        aliases: other spellings, for example {"contradictory": "contradiction"}.
    """

    def __init__(self, names, aliases=None):
        self.names = tuple(str(name) for name in names)
        self.index = {name: number for number, name in enumerate(self.names)}
        for alias, name in (aliases or {}).items():
            self.index[str(alias)] = self.index[str(name)]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, text: str, numbered: bool = False) -> int:
        """The index of a label. ``numbered`` files (Baidu's) may write the index itself.

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


class Score:
    """The label of a regression task: a finite number."""

    names = ()

    def read(self, text: str, numbered: bool = False) -> float:
        """The number; ValueError when it is none."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"score {text!r} is not a number")
        return value


def tag_classes(names) -> Classes:
    """The labels of a tagged corpus, checked: O or prefix-TYPE with one of the usual chunk prefixes.

    Raises:
        InputError: a label that no chunking scheme knows.
    """
    for name in names:
        prefix, dash, kind = str(name).partition("-")
        if name != "O" and not (dash and kind and prefix in tuple("BIMEOSLU")):
            raise InputError(f"label {name!r} is neither O nor of the form B-TYPE, I-TYPE, E-TYPE, S-TYPE ...")
    return Classes(names)
