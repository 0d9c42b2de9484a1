"""Words in messages to a person."""
from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for the known word nearest to ``word``, or an empty string if none is near."""
    near = difflib.get_close_matches(str(word), list(known), 1)
    return f": did you mean {near[0]!r}?" if near else ""


def shortened(text: str, length: int = 200) -> str:
    """Cut a text to ``length`` characters and append its true length; a short text is returned as it is."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text):,} characters)"
