"""The corpus that a task draws from: stores with weights, and the documents, paragraphs and sentences in them."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from reader.batches.examples import Anchor, Example
from reader.batches.sampling import hash_int
from reader.store.store import NOBODY, Store
from reader.text.special_ids import SpecialIds
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError

SENTENCE_IDS = 4  # sentence types of the released English models


class Corpus:
    """One or more stores of one vocabulary and one kind.

    Args:
        stores: stores or their directories.
        weights: share of the tokens that each store gives, in any unit; None: its share of all tokens, so that every
            token is seen equally often.
        max_length: tokens of the longest example, special tokens included.
    Raises:
        InputError: no store, an empty one, stores that do not fit together, weights that are not positive.
    """

    def __init__(self, stores: Iterable[Store | str | Path], weights: Sequence[float] | None = None,
                 max_length: int = 512):
        self.stores = [store if isinstance(store, Store) else Store(store) for store in stores]
        self.max_length = max_length
        self._check(weights)
        for store in self.stores:
            store.advise_random_access()
        self.weights = weights
        sizes = np.array([len(store) for store in self.stores] if weights is None else weights, np.float64)
        self.shares = sizes / sizes.sum()
        self.kind = self.stores[0].kind
        self.pairs = self.kind == "pairs"

    def __reduce__(self):  # a worker maps the files again; the arrays themselves never travel
        return type(self), ([store.path for store in self.stores], self.weights, self.max_length)

    def _check(self, weights) -> None:
        if not self.stores:
            raise InputError("a corpus needs at least one store")
        first = self.stores[0]
        for store in self.stores:
            if len(store) == 0:
                raise InputError("store holds no text", store.path)
            if store.manifest["vocab_sha256"] != first.manifest["vocab_sha256"]:
                raise InputError(f"built with another vocabulary than {first.path}", store.path)
            if store.kind != first.kind:
                raise InputError(f"a store of {store.kind} cannot go with {first.path}, a store of {first.kind}",
                                 store.path)
        if weights is not None and (len(weights) != len(self.stores) or min(weights) <= 0):
            raise InputError(f"weights {list(weights)}: one positive number for each of {len(self.stores)} stores")

    @property
    def fingerprint(self) -> str:
        """Names the text, its weights and its cut; a resumed run checks it."""
        parts = [f"{store.fingerprint} {float(share)!r}" for store, share in zip(self.stores, self.shares)]
        return f"{hash_int(*parts, self.max_length):016x}"

    @property
    def language(self) -> str:
        """Language of the stores, "en" or "zh"."""
        return self.stores[0].language

    @property
    def tokens(self) -> int:
        """Tokens in all stores."""
        return sum(len(store) for store in self.stores)

    @cached_property
    def classes(self) -> tuple:
        """Names of the labels of a corpus of pairs, the same in every store of it."""
        found = {tuple(store.manifest.get("classes", ())) for store in self.stores}
        if len(found) > 1:
            raise InputError("pair stores name different classes", self.stores[1].path)
        return found.pop()

    @cached_property
    def specials(self) -> SpecialIds:
        """Ids of the special tokens of the stores' vocabulary."""
        return SpecialIds.from_file(self.stores[0].vocab_file)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Return the tokens in the order of their ids."""
        return read_vocab(self.stores[0].vocab_file)

    def release(self) -> None:
        """Give pages back to the system, see ``Store.release``."""
        for store in self.stores:
            store.release()

    # -- documents, paragraphs, sentences -----------------------------------------------------------------------

    def locate(self, anchor: Anchor) -> tuple[int, int, int]:
        """Return the (document, paragraph, sentence) that hold the anchor's first token."""
        store = self.stores[anchor.store]
        sentence = store.sentence_at(anchor.token)
        paragraph = store.paragraph_at(sentence)
        return store.document_at(paragraph), paragraph, sentence

    def document_sentences(self, store: int, document: int) -> tuple[int, int]:
        """Return the sentences [first, last) of a document."""
        opened = self.stores[store]
        first, last = opened.documents[document], opened.documents[document + 1]
        return int(opened.paragraphs[first]), int(opened.paragraphs[last])

    def paragraph_sentences(self, store: int, paragraph: int) -> tuple[int, int]:
        """Return the sentences [first, last) of a paragraph."""
        bounds = self.stores[store].paragraphs[paragraph:paragraph + 2]
        return int(bounds[0]), int(bounds[1])

    def sentence_outside(self, store: int, bounds: tuple[int, int], rng: np.random.Generator) -> int:
        """Draw a sentence of a store, any but those in ``bounds`` [first, last), each as likely as another."""
        first, last = bounds
        place = int(rng.integers(len(self.stores[store].sentences) - 1 - (last - first)))
        return place + (last - first) * (place >= first)

    def sentence_edges(self, anchor: Anchor) -> list[int]:
        """Find the token offsets at which the sentences of an excerpt begin, and its end; a cut sentence counts."""
        sentences = self.stores[anchor.store].sentences
        first, last = np.searchsorted(sentences, [anchor.token + 1, anchor.stop])
        return [anchor.token, *sentences[first:last].tolist(), anchor.stop]

    def turns(self, anchor: Anchor) -> list[tuple[int, int]]:
        """Find the turns of an excerpt: tokens [start, stop) of its paragraphs, as far as they lie in it."""
        store, sentence = self.stores[anchor.store], self.locate(anchor)[2]
        first, last = store.paragraph_at(sentence), store.paragraph_at(store.sentence_at(anchor.stop - 1))
        edges = [anchor.token, *store.sentences[store.paragraphs[first + 1:last + 1]].tolist(), anchor.stop]
        return list(zip(edges, edges[1:]))

    def roles(self, anchor: Anchor, count: int) -> tuple[int, ...]:
        """Return the role of each of the ``turns`` of an excerpt, 0 to ``count`` - 1.

        It is the number of its speaker modulo ``count``; where the store does not know who speaks, they take turns.
        """
        store = self.stores[anchor.store]
        document, first, _ = self.locate(anchor)
        last = store.paragraph_at(store.sentence_at(anchor.stop - 1))
        speakers = np.arange(first, last + 1) - int(store.documents[document])
        if store.speakers is not None and store.speakers[first] != NOBODY:
            speakers = store.speakers[first:last + 1].astype(np.int64)
        return tuple((speakers % count).tolist())

    def paragraph_span(self, store: int, paragraph: int) -> tuple[int, int]:
        """Return the tokens [start, stop) of a paragraph."""
        return self.span(store, *self.paragraph_sentences(store, paragraph))

    def span(self, store: int, first: int, last: int | None = None) -> tuple[int, int]:
        """Return the tokens [start, stop) of the sentences [first, last); of one sentence when ``last`` is left out."""
        sentences = self.stores[store].sentences
        return int(sentences[first]), int(sentences[first + 1 if last is None else last])

    def running_text(self, anchor: Anchor) -> Example:
        """Return the anchor's text as one segment; of pairs, a segment for each paragraph, up to four, shortened."""
        if not self.pairs:
            return Example(anchor.store, ((anchor.token, anchor.stop),))
        first, last = self.stores[anchor.store].documents[self.locate(anchor)[0]:][:2].tolist()
        spans = [self.paragraph_span(anchor.store, k) for k in range(first, min(last, first + SENTENCE_IDS))]
        return Example(anchor.store, shorten(spans, self.max_length - 1 - len(spans)))

    def labels(self, store: int) -> np.ndarray:
        """Return the [P] int32 class of each paragraph of a pair store; InputError where the store has none."""
        labels = self.stores[store].labels
        if labels is None:
            raise InputError("holds no labelled pairs: it is a store of documents", self.stores[store].path)
        return labels

    def pair(self, store: int, first: tuple[int, int], second: tuple[int, int], label: int) -> Example:
        """Make an example of two segments and a label, shortened where both do not fit."""
        return Example(store, shorten((first, second), self.max_length - 3), label)

    def unit_chances(self, store: int, tokens: np.ndarray) -> np.ndarray | None:
        """Return the [n] chance of the examples at these token offsets to be masked by unit; None means always.

        Only Baidu's format sets it, a number for each of its files (``unit_chances`` of the manifest).
        """
        chances = self.stores[store].manifest.get("unit_chances")
        if chances is None:
            return None
        stops, values = np.array(chances, np.float64).T
        return values[np.searchsorted(stops, tokens, side="right")]

    # -- text a person can read -------------------------------------------------------------------------------

    def text(self, store: int, start: int, stop: int) -> str:
        """Return the text of the tokens [start, stop), joined from their vocabulary entries."""
        self.stores[store].before_reading(np.array([start, stop - 1]))
        ids = self.stores[store].ids[start:stop].tolist()
        return join_pieces([self.vocabulary[index] for index in ids], self.language)


def join_pieces(pieces: list[str], language: str) -> str:
    """Join pieces to text: ``##`` goes on with the word before; Chinese has spaces between foreign words only."""
    words: list[str] = []
    for piece in pieces:
        if piece.startswith("##") and words:
            words[-1] += piece[2:]
        else:
            words.append(piece)
    if language != "zh":
        return " ".join(words)
    return "".join(word if not before or not (before[-1] + word[:1]).isascii() or not (before[-1] + word[:1]).isalnum()
                   else " " + word for before, word in zip(["", *words], words))


def shorten(segments: Iterable[tuple[int, int]], room: int) -> tuple:
    """Take tokens off the end of the longest segment until all together hold at most ``room`` tokens."""
    segments = list(segments)
    sizes = [stop - start for start, stop in segments]
    while sum(sizes) > room:
        longest = max(range(len(sizes)), key=sizes.__getitem__)
        others = max((size for place, size in enumerate(sizes) if place != longest), default=0)
        sizes[longest] -= max(1, min(sum(sizes) - room, sizes[longest] - others))
    return tuple((start, start + size) for (start, _), size in zip(segments, sizes))
