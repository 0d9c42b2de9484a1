"""Capitalization prediction, section 4.2.1 of the paper."""
from __future__ import annotations

import numpy as np

from reader.batches.examples import Tokens
from reader.text.flags import CAPITAL
from tasks.base import TokenTask


class Capitalization(TokenTask):
    """Was the word written with a capital? The model reads lower case; the store remembers the raw text."""

    name = "capitalization"
    classes = ("lower", "capital")

    def labels(self, tokens: Tokens) -> np.ndarray:
        """Return [n] int64: 1 for every piece of a capitalised word, 0 for the others."""
        return (tokens.flags & CAPITAL > 0).astype(np.int64)
