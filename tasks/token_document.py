"""Token-document relation, section 4.2.1 of the paper."""
from __future__ import annotations

import numpy as np

from reader.batches.examples import Excerpt, Tokens
from reader.utils.labels import IGNORE
from tasks.base import TokenTask


class TokenDocument(TokenTask):
    """Does this token of the segment also occur in other segments of its document?"""

    name = "token_document"
    sources = ("documents",)
    classes = ("only here", "elsewhere too")
    excerpt = Excerpt(share=0.5)  # so that there is an elsewhere

    def labels(self, tokens: Tokens) -> np.ndarray:
        """Return [n]: 1 when the first or last occurrence of the id in the document lies outside the segment, else 0.

        Pairs have no document around them: IGNORE.
        """
        outside = (tokens.back > tokens.offset) | (tokens.ahead >= tokens.length - tokens.offset)
        return np.where(tokens.in_document, outside, IGNORE)
