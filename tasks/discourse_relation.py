"""Discourse relation, section 4.2.3 of the paper; the data are those of Sileo et al. 2019, or mined like them."""
from __future__ import annotations

import numpy as np

from reader.corpus import Corpus
from reader.errors import InputError
from reader.examples import Anchor, Example
from tasks.base import SequenceTask


class DiscourseRelation(SequenceTask):
    """Which marker stood between two adjacent sentences? The classes are the markers of the pair store."""

    name = "discourse_relation"

    def bind(self, corpus: Corpus) -> None:
        """Learn the markers. Raises InputError when the corpus is not a store of pairs."""
        if not corpus.pairs or not corpus.classes:
            raise InputError("discourse_relation needs a pair store: build one with `ernie build-pairs discourse`",
                             corpus.stores[0].path)
        self.classes = corpus.classes

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """The anchor's pair."""
        store = corpus.stores[anchor.store]
        paragraph = int(store.documents[corpus.locate(anchor)[0]])
        first, second = (corpus.paragraph_span(anchor.store, paragraph + k) for k in (0, 1))
        return corpus.pair(anchor.store, first, second, int(store.labels[paragraph + 1]))
