"""Token-document relation, section 4.2.1 of the paper."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Tokens
from reader.utils.labels import IGNORE
from tasks.base import TokenTask


class TokenDocument(TokenTask):
    """Does this token of the segment also occur in other segments of its document?"""

    name = "token_document"
    sources = ("documents",)
    classes = ("only here", "elsewhere too")

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Running text, at most half of its document, so that there is an elsewhere."""
        document = corpus.locate(anchor)[0]
        start, stop = corpus.stores[anchor.store].document_span(document)
        return corpus.running_text(anchor, max(1, min(corpus.max_length - 2, (stop - start) // 2)))

    def labels(self, tokens: Tokens) -> np.ndarray:
        """[n] 1 when the first or the last occurrence of the id in the document lies outside the segment.

        Pairs have no document around them: IGNORE.
        """
        outside = (tokens.back > tokens.offset) | (tokens.ahead >= tokens.length - tokens.offset)
        return np.where(tokens.in_document, outside, IGNORE)
