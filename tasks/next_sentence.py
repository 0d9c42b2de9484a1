"""Next-sentence prediction of BERT (Devlin et al. 2019, section 3.1): an extra, to declare a BERT baseline."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Excerpt
from reader.store.store import Store
from tasks.base import SequenceTask, require_documents

NEXT, RANDOM = range(2)
REACH = 64  # sentences on either side of a random place that the text of another document is taken from
PLACES = 8  # random places that are looked at; the text that is nearest in length is taken
CLOSE = 2   # tokens of difference at which no further place is looked at


class NextSentence(SequenceTask):
    """Does the second text follow the first? Half of the time it is from another document.

    A text of another document is whole sentences, from inside their document, and as long as the text that it takes the
    place of, as nearly as a few random places allow: lengths tell nothing of the class.
    """

    name = "next_sentence"
    sources = ("documents",)
    classes = ("next", "random")
    excerpt = Excerpt(segments=2)

    def bind(self, corpus: Corpus) -> None:
        """Raise InputError when a store has a single document."""
        super().bind(corpus)
        require_documents(corpus, self.name, 2)

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example | None:
        """Cut the excerpt at a random sentence boundary; another document's text may replace the second part.

        An excerpt of one sentence gives None.
        """
        inner = corpus.sentence_edges(anchor)[1:-1]
        if not inner:
            return None
        label, middle = int(rng.integers(2)), inner[int(rng.integers(len(inner)))]
        second = (middle, anchor.stop)
        if label == RANDOM:
            room = self.excerpt.room(corpus.max_length) - (middle - anchor.token)
            second = text_elsewhere(corpus, anchor, anchor.stop - middle, room, rng)
        return corpus.pair(anchor.store, (anchor.token, middle), second, label)


def text_elsewhere(corpus: Corpus, anchor: Anchor, wanted: int, room: int,
                   rng: np.random.Generator) -> tuple[int, int]:
    """Draw sentences of another document, about ``wanted`` tokens and at most ``room``, cut where one is longer."""
    store = corpus.stores[anchor.store]
    mine = corpus.document_sentences(anchor.store, corpus.locate(anchor)[0])
    best, found = None, (0, 0)
    for _ in range(PLACES):
        span = run_near(store, corpus.sentence_outside(anchor.store, mine, rng), wanted, room, rng)
        apart = abs(span[1] - span[0] - wanted)
        if best is None or apart < best:
            best, found = apart, span
        if best <= CLOSE:
            break
    return found[0], min(found[1], found[0] + room)


def run_near(store: Store, sentence: int, wanted: int, room: int, rng: np.random.Generator) -> tuple[int, int]:
    """Find the run of sentences near one, in its document, that is nearest to ``wanted`` tokens, as [start, stop)."""
    document = store.document_at(store.paragraph_at(sentence))
    first, last = store.paragraphs[store.documents[document:document + 2]].tolist()
    first += last - first > 1  # the opening of a document never follows anything
    offsets = store.sentences[max(first, sentence - REACH):min(last, sentence + REACH) + 1]
    ends = np.searchsorted(offsets, offsets[:-1] + wanted)  # the first end that is far enough
    ends = np.clip(np.stack([ends, ends - 1]), np.arange(1, len(offsets)), len(offsets) - 1)
    sizes = offsets[ends] - offsets[:-1]
    apart = np.where(sizes <= room, np.abs(sizes - wanted), np.abs(sizes - wanted) + room)
    least = np.argwhere(apart == apart.min())
    which, begin = least[int(rng.integers(len(least)))].tolist()
    return int(offsets[begin]), int(offsets[ends[which, begin]])
