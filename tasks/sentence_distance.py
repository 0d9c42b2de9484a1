"""Sentence distance, section 4.2.2 of the paper."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Excerpt
from tasks.base import SequenceTask, require_documents

ADJACENT, SAME_DOCUMENT, OTHER_DOCUMENT = range(3)
REACH = 64   # sentences on either side that are looked at for one of the wanted length; a document may be a whole book


class SentenceDistance(SequenceTask):
    """Task of telling how far apart two sentences stand. Each class is drawn a third of the time.

    Every sentence that another one follows is the first of one example in an epoch. The second is the next sentence, or
    one of the document that is not adjacent, from before or after, or one of another document of the store. So that
    lengths tell nothing of the class, the last two are, of the sentences around a random place, the one that is nearest
    in length to the next sentence. Documents of one or two sentences are left out, having no pair of the second class.
    """

    name = "sentence_distance"
    sources = ("documents",)
    classes = ("adjacent", "same document", "different documents")
    excerpt = Excerpt("sentence", segments=2)

    def bind(self, corpus: Corpus) -> None:
        """Raise InputError when a store has a single document, which leaves the third class empty."""
        super().bind(corpus)
        require_documents(corpus, self.name, 2)

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example | None:
        """Return the excerpt and a second sentence at the distance drawn; None when not every class is possible."""
        document, _, sentence = corpus.locate(anchor)
        first, last = corpus.document_sentences(anchor.store, document)
        if sentence + 1 >= last or last - first < 3:
            return None
        if sentence == first + 1 and last - first == 3:
            return None  # both others are adjacent
        label = int(rng.integers(3))
        second = sentence + 1
        if label != ADJACENT:
            others = (not_adjacent(sentence, first, last) if label == SAME_DOCUMENT
                      else elsewhere(corpus, anchor.store, first, last, rng))
            second = nearest_in_length(corpus, anchor.store, others, second, rng)
        return corpus.pair(anchor.store, corpus.span(anchor.store, sentence),
                           corpus.span(anchor.store, second), label)


def not_adjacent(sentence: int, first: int, last: int) -> np.ndarray:
    """Return the sentences of the document [first, last), at most ``REACH`` away, that are not next to a sentence."""
    near = np.arange(max(first, sentence - REACH), min(last, sentence + REACH + 1))
    return near[np.abs(near - sentence) > 1]


def elsewhere(corpus: Corpus, store: int, first: int, last: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sentences around a random one outside the document [first, last)."""
    total, place = len(corpus.stores[store].sentences) - 1, corpus.sentence_outside(store, (first, last), rng)
    near = np.arange(max(0, place - REACH), min(total, place + REACH + 1))
    return near[(near < first) | (near >= last)]


def nearest_in_length(corpus: Corpus, store: int, sentences: np.ndarray, like: int, rng: np.random.Generator) -> int:
    """Draw one of ``sentences``, at random among those whose lengths are nearest to that of the sentence ``like``."""
    offsets = corpus.stores[store].sentences
    apart = np.abs(offsets[sentences + 1] - offsets[sentences] - (offsets[like + 1] - offsets[like]))
    return int(rng.choice(sentences[apart == apart.min()]))
