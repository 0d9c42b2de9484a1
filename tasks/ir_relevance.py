"""IR relevance, section 4.2.3 of the paper: a query and a title of a search log."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.utils.errors import InputError
from tasks.base import SequenceTask

CLICKED, SHOWN, UNRELATED = range(3)
TRIES = 100    # titles that are drawn for one that was not shown for the query
COMPARED = 16  # of which so many are compared in length


class IRRelevance(SequenceTask):
    """Was the title clicked for the query, shown but not clicked, or is it a random one?

    The class is drawn evenly from those that the query can give: not every query has both clicked and unclicked titles.
    An epoch takes every query once.
    """

    name = "ir_relevance"
    classes = ("clicked", "shown", "unrelated")

    sources = ("pairs",)

    def bind(self, corpus: Corpus) -> None:
        """Raise InputError when the corpus is not a store of queries and their titles."""
        super().bind(corpus)
        if corpus.classes[:2] != self.classes[:2]:
            raise InputError("ir_relevance needs queries and titles (`ernie build-pairs ir`), not pairs of the classes "
                             f"{', '.join(corpus.classes[:3])} ...", corpus.stores[0].path)

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Return the anchor's query and one title, of a class drawn from those possible."""
        store = corpus.stores[anchor.store]
        document = corpus.locate(anchor)[0]
        query, last = int(store.documents[document]), int(store.documents[document + 1])
        labels = corpus.labels(anchor.store)[query + 1:last]
        possible = [label for label in (CLICKED, SHOWN) if (labels == label).any()] + [UNRELATED]
        label = possible[int(rng.integers(len(possible)))]
        if label == UNRELATED:
            title = unrelated_title(corpus, anchor.store, query, last, rng)
        else:
            choices = np.flatnonzero(labels == label)
            title = query + 1 + int(choices[rng.integers(len(choices))])
        return corpus.pair(anchor.store, corpus.paragraph_span(anchor.store, query),
                           corpus.paragraph_span(anchor.store, title), label)


def unrelated_title(corpus: Corpus, store: int, query: int, last: int, rng: np.random.Generator) -> int:
    """Draw the paragraph of another query's title, whose words were never shown for this query.

    Of some random titles the one that is nearest in length to a title of this query: lengths do not give it away.
    """
    opened = corpus.stores[store]

    def words(paragraph: int) -> bytes:
        return opened.ids[slice(*corpus.paragraph_span(store, paragraph))].tobytes()

    def size(paragraph: int) -> int:
        start, stop = corpus.paragraph_span(store, paragraph)
        return stop - start

    shown = {words(paragraph) for paragraph in range(query + 1, last)}
    wanted, found = size(query + 1 + int(rng.integers(last - query - 1))), []
    for document in rng.integers(len(opened.documents) - 1, size=TRIES).tolist():
        first, stop = int(opened.documents[document]), int(opened.documents[document + 1])
        if first == query or stop - first < 2 or words(first) == words(query):
            continue
        title = first + 1 + int(rng.integers(stop - first - 1))
        if words(title) not in shown:
            found.append(title)
        if len(found) == COMPARED:
            break
    if not found:
        raise InputError("ir_relevance finds no title that was not shown for a query: more queries are needed",
                         opened.path)
    return min(found, key=lambda title: abs(size(title) - wanted))
