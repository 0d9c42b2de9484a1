"""Any sequence-level task whose labels came with the data, such as the label column of Baidu's pre-training text."""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.utils.errors import InputError
from tasks.base import SequenceTask


class GivenLabel(SequenceTask):
    """Predict the label of a pair, as the pair store has it. The classes are those that the store names."""

    name = "given_label"
    sources = ("pairs",)

    def bind(self, corpus: Corpus) -> None:
        """Learn the classes. Raises InputError when the corpus is not a store of pairs with classes."""
        super().bind(corpus)
        if not corpus.classes:
            raise InputError(f"{self.name} needs a pair store that names its classes", corpus.stores[0].path)
        self.classes = corpus.classes

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Return the anchor's pair with its label."""
        example = corpus.running_text(anchor)
        last = int(corpus.stores[anchor.store].documents[corpus.locate(anchor)[0] + 1]) - 1
        return example._replace(label=int(corpus.labels(anchor.store)[last]))
