"""Next-sentence prediction of BERT (Devlin et al. 2019, section 3.1): an extra, to declare a BERT baseline."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.utils.errors import InputError
from tasks.base import SequenceTask

TRIES = 100


class NextSentence(SequenceTask):
    """Does the second text follow the first? Half of the time it is from another document."""

    name = "next_sentence"
    sources = ("documents",)
    classes = ("next", "random")

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Running text cut at a random sentence boundary; the second part may give way to another document's text."""
        label, room = int(rng.integers(2)), corpus.max_length - 3
        for _ in range(TRIES):
            start, stop = corpus.running_text(anchor, room).segments[0]
            sentences = corpus.stores[anchor.store].sentences
            first = int(np.searchsorted(sentences, start, side="right"))
            boundaries = sentences[first:int(np.searchsorted(sentences, stop, side="left"))]
            if len(boundaries):
                middle = int(boundaries[rng.integers(len(boundaries))])
                second = (middle, stop) if label == 0 else self._elsewhere(corpus, anchor, stop - middle, rng)
                return corpus.pair(anchor.store, (start, middle), second, label)
            anchor = corpus.random_anchor(rng, anchor.store)
        raise InputError("next_sentence finds no document with two sentences", corpus.stores[anchor.store].path)

    def _elsewhere(self, corpus: Corpus, anchor: Anchor, room: int, rng: np.random.Generator) -> tuple[int, int]:
        document = corpus.locate(anchor)[0]
        for _ in range(TRIES):
            other = corpus.random_anchor(rng, anchor.store)
            if corpus.locate(other)[0] != document:
                return corpus.running_text(other, room).segments[0]
        raise InputError("next_sentence needs more than one document", corpus.stores[anchor.store].path)
