"""Base classes of pre-training tasks. A task is one class in one file; nothing is registered."""
from __future__ import annotations

import sys

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Excerpt, Tokens
from reader.text.special_ids import SpecialIds
from reader.utils.errors import InputError
from tasks.files import rebuild

BUILT = {"documents": "running text (`ernie build-corpus`)", "pairs": "pairs (`ernie build-pairs`)"}


class Task:
    """A weakly supervised task: its examples and labels are made from raw text, without people.

    Class attributes:
        name: as curricula spell it. level: "token" or "sequence". classes: names of the labels, label k is classes[k].
        weight: of its loss in the sum (a curriculum may set another).
        metrics: what is reported on dev data.
        max_segments: most segments of an example; the model needs as many token types.
        sources: the kinds of stores its examples can be drawn from, "documents" and "pairs".
        excerpt: what it is handed of the text at a time; an epoch hands out every excerpt of the corpus once.
        corrupts: whether it changes what the model reads. groups: names of the groups that are measured apart.
    """

    name = ""
    level = ""
    head = "classes"
    classes: tuple = ()
    weight = 1.0
    metrics: tuple[str, ...] = ("accuracy",)
    max_segments = 2
    sources: tuple = ("documents", "pairs")
    excerpt = Excerpt()
    corrupts = False
    groups: tuple = ()

    def __reduce__(self):  # a class that was loaded from the user's file has no importable module in a worker
        cls, home = type(self), sys.modules[type(self).__module__]
        return rebuild, (getattr(home, "__file__", None), cls.__module__, cls.__name__, vars(self))

    def bind(self, corpus: Corpus) -> None:
        """Take over what the task has to know of the corpus it draws from, such as its classes; called once, first.

        Raises:
            InputError: examples cannot be drawn from such a store.
        """
        if corpus.kind not in self.sources:
            raise InputError(f"{self.name} draws from {BUILT[self.sources[0]]}, this is a store of {corpus.kind}",
                             corpus.stores[0].path)

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example | None:
        """Make one example of the excerpt ``anchor``, or None where it does not serve; all chance is from ``rng``."""
        raise TypeError(f"{type(self).__name__} makes no examples: define example()")

    def rules(self, segments: list[np.ndarray]) -> dict[str, int]:
        """Return the labels that rules of thumb give an example without reading it, by the name of the rule.

        Each is a baseline that dev metrics are shown beside. None by default; only sequence-level tasks are asked.

        Args:
            segments: the token ids of each segment.
        """
        return {}

    def remarks(self, corpus: Corpus, anchors: list[Anchor]) -> list[str]:
        """Say what a person should know of a corpus before this task trains on it, judged by some of its excerpts."""
        return []

    def explain(self, label: int) -> str:
        """Return what a label says, for a person."""
        return self.classes[label]


class SequenceTask(Task):
    """One label for a whole example, predicted from the pooled [CLS]: ``example`` sets it."""

    level = "sequence"


class TokenTask(Task):
    """One label for every text token, made for any example of any task of the stage.

    ``example`` may be left as it is: one segment of running text.
    """

    level = "token"

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Return the excerpt as one segment."""
        return corpus.running_text(anchor)

    def labels(self, tokens: Tokens) -> np.ndarray:
        """Return [n] class of each token, IGNORE where it has none; a pure function of the flat token arrays."""
        raise TypeError(f"{type(self).__name__} labels no tokens: define labels()")


class CorruptingTask(TokenTask):
    """A token-level task over the vocabulary that also changes what the model reads (masked language modelling).

    At most one task of a stage may do this.
    """

    corrupts = True
    head = "vocabulary"  # predicted by the masked-LM head that is tied to the word embedding

    def corrupt(self, tokens: Tokens, vocabulary: SpecialIds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ([n] ids as the model reads them, [n] labels, IGNORE where nothing is predicted, [n] uint8 groups)."""
        raise TypeError(f"{type(self).__name__} corrupts nothing: define corrupt()")

    def unit_starts(self, tokens: Tokens) -> np.ndarray:
        """Return [n] index of the first token of each token's unit; every token is its own unit by default."""
        return np.arange(len(tokens.ids))


def require_documents(corpus: Corpus, task: str, least: int) -> None:
    """Raise InputError when a store of the corpus has fewer than ``least`` documents."""
    for store in corpus.stores:
        if len(store.documents) - 1 < least:
            raise InputError(f"{task} takes text of other documents and needs at least {least} in a store, here are "
                             f"{len(store.documents) - 1}", store.path)
