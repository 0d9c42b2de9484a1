"""Words in messages to a person, and what no text may hold."""
from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: json and str can hold one, no file of text can


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the known word nearest to ``word``, or an empty string if none is near."""
    near = difflib.get_close_matches(str(word), list(known), 1)
    return f": did you mean {near[0]!r}?" if near else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with what is counted, as a message says it: "1 row", "2,000 rows", "3 batches", "2 copies".

    Args:
        plural: of the noun, where its last letters do not tell.
    """
    if not plural:
        plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else \
            noun + ("es" if noun.endswith(("s", "x", "tch", "sh")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def shortened(text: str, length: int = 200) -> str:
    """Cut a text to ``length`` characters and append its true length; a short text is returned as it is."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text):,} characters)"
