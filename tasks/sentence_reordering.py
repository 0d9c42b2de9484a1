"""Sentence reordering, section 4.2.2 of the paper."""
from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.utils.errors import InputError
from tasks.base import SequenceTask

REACH = 64   # sentences, or paragraphs, that are looked at from an anchor; a document may be a whole book
TRIES = 100  # other places that are tried before a corpus is declared to have no text for the task


@dataclass
class SentenceReordering(SequenceTask):
    """A paragraph is cut at random into 1 to m segments and shuffled: which permutation was it?

    A label stands for a permutation ``order`` of n segments: the k-th segment of the input was number ``order[k]``
    of the paragraph. Permutations of 1, 2, ... m segments follow each other, those of n in lexicographic order, so
    that a label is 1! + ... + (n-1)! plus the lexicographic index: offsets 0, 1, 3, 9, and 33 classes for m = 4.
    Labels are drawn uniformly, chance is one in the number of classes.

    The text is the anchor's paragraph when it has n sentences; else the next paragraph of the document that has;
    else, where no paragraph near is long enough, consecutive sentences of the document. Of a text that does not fit
    a run of whole sentences is taken.

    Args:
        m: most segments.
    """

    m: int = 4
    orders: list = field(init=False, repr=False)  # the permutation that each label stands for

    name = "sentence_reordering"
    sources = ("documents",)

    def __post_init__(self):
        if self.m not in range(2, 7):
            raise InputError(f"sentence_reordering: m {self.m!r} is not between 2 and 6")
        self.max_segments = self.m
        self.orders = [order for n in range(1, self.m + 1) for order in permutations(range(n))]
        self.classes = tuple(" ".join(map(str, order)) for order in self.orders)

    def label_of(self, order) -> int:
        """The label of a permutation."""
        return self.orders.index(tuple(order))

    def restore(self, label: int) -> list[int]:
        """Which segments of the input to read, one after the other, to have the original order again."""
        return [int(place) for place in np.argsort(self.orders[label])]

    def explain(self, label: int) -> str:
        """The permutation, and how to undo it."""
        read = ", ".join(map(str, self.restore(label)))
        return f"shown in the order {self.classes[label]}; read segments {read} to restore it"

    def rules(self, segments: list[np.ndarray]) -> dict[str, int]:
        """Nothing was shuffled."""
        return {"identity order": self.label_of(range(min(len(segments), self.m)))}

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """A label first, then a text with enough sentences, cut at random sentence boundaries."""
        label = int(rng.integers(len(self.orders)))
        order = self.orders[label]
        store, first, last = find_sentences(corpus, anchor, len(order), rng)
        inner = rng.permutation(last - first - 1)[:len(order) - 1] + 1
        cuts = [first, *(first + np.sort(inner)).tolist(), last]
        return Example(store, tuple(corpus.span(store, cuts[k], cuts[k + 1]) for k in order), label)


def find_sentences(corpus: Corpus, anchor: Anchor, n: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """(store, first, last): at least n consecutive sentences near the anchor that fit in an example of n segments."""
    room = corpus.max_length - 1 - n
    for _ in range(TRIES):
        for first, last in candidates(corpus, anchor, n):
            found = fitting_run(corpus.stores[anchor.store].sentences[first:last + 1], n, room, rng)
            if found:
                return anchor.store, first + found[0], first + found[1]
        anchor = corpus.random_anchor(rng, anchor.store)
    raise InputError(f"sentence_reordering finds no {n} consecutive sentences that fit in {corpus.max_length} tokens",
                     corpus.stores[anchor.store].path)


def candidates(corpus: Corpus, anchor: Anchor, n: int):
    """Sentences [first, last) to take the text from, best first: see ``SentenceReordering``."""
    document, paragraph, sentence = corpus.locate(anchor)
    store = corpus.stores[anchor.store]
    first, last = int(store.documents[document]), int(store.documents[document + 1])
    bounds = store.paragraphs[paragraph:min(last, paragraph + REACH) + 1]
    long_enough = np.flatnonzero(np.diff(bounds) >= n)
    if not len(long_enough):
        bounds = store.paragraphs[max(first, paragraph - REACH):paragraph + 1]
        long_enough = np.flatnonzero(np.diff(bounds) >= n)[::-1]
    for place in long_enough[:1].tolist():
        yield around(int(bounds[place]), int(bounds[place + 1]), sentence)
    if not len(long_enough):
        yield around(*corpus.document_sentences(anchor.store, document), sentence)


def around(first: int, last: int, sentence: int) -> tuple[int, int]:
    """[first, last), or when that is very much the part of it around a sentence."""
    middle = min(max(sentence, first), last)
    return max(first, middle - REACH), min(last, middle + REACH)


def fitting_run(offsets: np.ndarray, n: int, room: int, rng: np.random.Generator):
    """(first, last) of a run of at least n sentences of at most ``room`` tokens, as long as fits; None: there is none.

    Args:
        offsets: [s + 1] token offsets of the sentences.
    """
    if len(offsets) <= n:
        return None
    if offsets[-1] - offsets[0] <= room:
        return 0, len(offsets) - 1
    starts = np.flatnonzero(offsets[n:] - offsets[:-n] <= room)
    if not len(starts):
        return None
    first = int(starts[rng.integers(len(starts))])
    last = int(np.searchsorted(offsets, offsets[first] + room, side="right")) - 1
    return int(np.searchsorted(offsets, offsets[last] - room)), last  # at the end of the text it goes further back
