"""Sentence distance, section 4.2.2 of the paper."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.utils.errors import InputError
from tasks.base import SequenceTask

ADJACENT, SAME_DOCUMENT, OTHER_DOCUMENT = range(3)
TRIES = 100   # random places that are looked at for another document
PLACES = 100  # that are tried instead of an anchor whose document is too short


class SentenceDistance(SequenceTask):
    """How far apart do two sentences stand? Each class is drawn a third of the time.

    Adjacent sentences come in their order; one that is not adjacent may come from before or after.
    """

    name = "sentence_distance"
    sources = ("documents",)
    classes = ("adjacent", "same document", "different documents")

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """A sentence near the anchor, and a second one at the distance drawn."""
        label = int(rng.integers(3))
        for _ in range(PLACES):
            pair = PICK[label](corpus, anchor, rng)
            if pair:
                spans = [corpus.span(anchor.store, sentence) for sentence in pair]
                return corpus.pair(anchor.store, *spans, label)
            anchor = corpus.random_anchor(rng, anchor.store)
        raise InputError(f"sentence_distance finds no pair of class {self.classes[label]!r}",
                         corpus.stores[anchor.store].path)


def adjacent(corpus: Corpus, anchor: Anchor, rng: np.random.Generator):
    """The anchor's sentence and the next; at the end of a document the one before and it."""
    document, _, sentence = corpus.locate(anchor)
    first, last = corpus.document_sentences(anchor.store, document)
    sentence = min(sentence, last - 2)
    return (sentence, sentence + 1) if sentence >= first else None


def same_document(corpus: Corpus, anchor: Anchor, rng: np.random.Generator):
    """The anchor's sentence and any of the document that is not next to it."""
    document, _, sentence = corpus.locate(anchor)
    first, last = corpus.document_sentences(anchor.store, document)
    before, after = max(0, sentence - 1 - first), max(0, last - sentence - 2)
    if before + after == 0:
        return None
    choice = int(rng.integers(before + after))
    return sentence, first + choice if choice < before else sentence + 2 + choice - before


def other_document(corpus: Corpus, anchor: Anchor, rng: np.random.Generator):
    """The anchor's sentence and one of another document of its store."""
    document, _, sentence = corpus.locate(anchor)
    for _ in range(TRIES):
        other, _, second = corpus.locate(corpus.random_anchor(rng, anchor.store))
        if other != document:
            return sentence, second
    return None


PICK = (adjacent, same_document, other_document)
