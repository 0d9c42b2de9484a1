"""Dialogue language model of ERNIE 1.0 (Sun et al. 2019, section 3.2.2): an extra, for corpora of conversations."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example, Excerpt
from reader.store.store import Store
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tasks.base import SequenceTask, require_documents

REAL, REPLACED = range(2)
REACH = 32  # paragraphs on either side of a random place that a turn is taken from


@dataclass
class Dialogue(SequenceTask):
    """Task of telling real conversations from those with one turn replaced by one of another conversation.

    A document is a conversation, a paragraph a turn. The input is consecutive turns, as many as fit, with [SEP] behind
    each; the sentence id of a turn is the role of its speaker, in place of the number of the segment. Half of the time
    one turn, any of them, gives way to one of another document; of those around a random place the one that is nearest
    in length is taken, and the role stays. Together with knowledge masking, whose labels these examples carry as others
    do, this is the dialogue language model of ERNIE 1.0. A turn that stands alone has no label; it is masked only.

    Roles are the numbers of the speakers where the store knows them (``speakers`` of a jsonl file), otherwise the turns
    of a document take roles in order.

    Args:
        roles: how many; the speakers behind them take the roles again, from 0.
    """

    roles: int = 2

    name = "dialogue"
    sources = ("documents",)
    classes = ("real", "one turn replaced")
    excerpt = Excerpt("turns")

    def __post_init__(self) -> None:
        if type(self.roles) is not int or self.roles not in range(1, 17):
            raise InputError(f"dialogue: roles {self.roles!r} is not between 1 and 16")
        self.max_segments = self.roles

    def bind(self, corpus: Corpus) -> None:
        """Raise InputError when a store has a single document."""
        super().bind(corpus)
        require_documents(corpus, self.name, 2)

    def example(self, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example:
        """Return the excerpt, a segment for each turn, one of which may be replaced."""
        turns, roles = corpus.turns(anchor), corpus.roles(anchor, self.roles)
        if len(turns) == 1:
            return Example(anchor.store, tuple(turns), IGNORE, roles)
        label = int(rng.integers(2))
        if label == REPLACED:
            place = int(rng.integers(len(turns)))
            room = corpus.max_length - 1 - len(turns) - (anchor.stop - anchor.token)
            turns[place] = another_turn(corpus, anchor, turns[place], room, rng)
        return Example(anchor.store, tuple(turns), label, roles)


def another_turn(corpus: Corpus, anchor: Anchor, turn: tuple[int, int], room: int,
                 rng: np.random.Generator) -> tuple[int, int]:
    """Draw a turn [start, stop) of another document that is about as long as ``turn``, or ``room`` longer."""
    store, wanted = corpus.stores[anchor.store], turn[1] - turn[0]
    mine = corpus.document_sentences(anchor.store, corpus.locate(anchor)[0])
    place = store.paragraph_at(corpus.sentence_outside(anchor.store, mine, rng))
    starts, stops = paragraphs_near(store, place)
    outside = (stops <= store.sentences[mine[0]]) | (starts >= store.sentences[mine[1]])
    starts, stops = starts[outside], stops[outside]
    apart = np.abs(stops - starts - wanted)
    order = np.lexsort((rng.random(len(apart)), apart))  # the nearest first, in random order where they are alike
    words = store.ids[turn[0]:turn[1]].tobytes()
    chosen = next((k for k in order.tolist() if store.ids[starts[k]:stops[k]].tobytes() != words), int(order[0]))
    start, stop = int(starts[chosen]), int(stops[chosen])
    return start, min(stop, start + wanted + room)


def paragraphs_near(store: Store, paragraph: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the token offsets at which the paragraphs around one begin, and at which they end."""
    bounds = store.paragraphs[max(0, paragraph - REACH):paragraph + REACH + 2]
    edges = store.sentences[bounds]
    return edges[:-1], edges[1:]
