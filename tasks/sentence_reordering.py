"""Sentence reordering, section 4.2.2 of the paper."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from math import factorial

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Excerpt
from reader.utils.errors import InputError
from tasks.base import SequenceTask

FEW = 0.1  # share of the text with fewer than m sentences from which on it is worth a remark


@dataclass
class SentenceReordering(SequenceTask):
    """A paragraph is cut at random into 1 to m segments and shuffled: which permutation was it?

    A label stands for a permutation ``order`` of n segments: the k-th segment of the input was number ``order[k]``
    of the paragraph. Permutations of 1, 2, ... m segments follow each other, those of n in lexicographic order, so
    that a label is 1! + ... + (n-1)! plus the lexicographic index: offsets 0, 1, 3, 9, and 33 classes for m = 4.
    Labels are drawn uniformly. The number of segments can be read off the input, so chance is m / (1! + ... + m!).

    The text is a paragraph; one of fewer than m sentences is taken together with its neighbours. Where the document has
    fewer than m, or fewer fit in an example, the label is drawn from the permutations of as many as there are. One
    sentence has no label: it is read for the sake of the token-level tasks.

    Args:
        m: most segments.
    """

    m: int = 4
    orders: list = field(init=False, repr=False)  # the permutation that each label stands for

    name = "sentence_reordering"
    sources = ("documents",)

    def __post_init__(self):
        if type(self.m) is not int or self.m not in range(2, 7):
            raise InputError(f"sentence_reordering: m {self.m!r} is not between 2 and 6")
        self.max_segments = self.m
        self.excerpt = Excerpt("paragraph", segments=self.m, sentences=self.m)
        self.orders = [order for n in range(1, self.m + 1) for order in permutations(range(n))]
        self.classes = tuple(" ".join(map(str, order)) for order in self.orders)

    def remarks(self, corpus: Corpus, anchors: list[Anchor]) -> list[str]:
        """Say where much of the text has too few sentences."""
        counts = np.array([len(corpus.sentence_edges(anchor)) - 1 for anchor in anchors])
        sizes = np.array([anchor.stop - anchor.token for anchor in anchors])
        few, one = ((sizes * (counts < least)).sum() / sizes.sum() for least in (self.m, 2))
        if few < FEW:
            return []
        return [f"{100 * few:.0f} % of the text has fewer than {self.m} sentences that fit in {corpus.max_length} "
                f"tokens and is cut into fewer segments; {100 * one:.0f} % has one, and no label"]

    def label_of(self, order: Iterable[int]) -> int:
        """Return the label of a permutation."""
        return self.orders.index(tuple(order))

    def restore(self, label: int) -> list[int]:
        """Return the segments of the input in the order that restores the text."""
        return [int(place) for place in np.argsort(self.orders[label])]

    def explain(self, label: int) -> str:
        """Describe the permutation, and how to undo it."""
        read = ", ".join(map(str, self.restore(label)))
        return f"shown in the order {self.classes[label]}; read segments {read} to restore it"

    def rules(self, segments: list[np.ndarray]) -> dict[str, int]:
        """Return the label that says that nothing was shuffled, as "identity order"."""
        return {"identity order": self.label_of(range(min(len(segments), self.m)))}

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Cut the excerpt at random sentence boundaries and shuffle it; a single sentence has no label."""
        edges = corpus.sentence_edges(anchor)
        most = min(self.m, len(edges) - 1)
        if most == 1:
            return Example(anchor.store, ((anchor.token, anchor.stop),))
        label = int(rng.integers(sum(factorial(n) for n in range(1, most + 1))))
        order = self.orders[label]
        inner = np.sort(rng.permutation(len(edges) - 2)[:len(order) - 1] + 1).tolist()
        cuts = [edges[k] for k in [0, *inner, len(edges) - 1]]
        return Example(anchor.store, tuple((cuts[k], cuts[k + 1]) for k in order), label)
