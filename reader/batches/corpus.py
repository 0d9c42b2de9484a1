"""The corpus that a task draws from: stores with weights, places to start from, and the text around a place."""
from __future__ import annotations

from functools import cached_property

import numpy as np

from reader.batches.examples import Anchor, Example
from reader.batches.sampling import hash_int, hash_keys, permute
from reader.store.store import Store
from reader.text.special_ids import SpecialIds
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError

SENTENCE_IDS = 4  # sentence types of the released English models


class Corpus:
    """One or more stores of one vocabulary and one kind.

    Args:
        stores: stores or their directories.
        weights: share of the examples that each store gives, in any unit; None: in proportion to its tokens.
        max_length: tokens of the longest example, special tokens included.
    Raises:
        InputError: no store, an empty one, stores that do not fit together, weights that are not positive.
    """

    def __init__(self, stores, weights=None, max_length: int = 512):
        self.stores = [store if isinstance(store, Store) else Store(store) for store in stores]
        self.max_length = max_length
        self._check(weights)
        for store in self.stores:
            store.read_here_and_there()
        self.weights = weights
        weights = np.array([len(store) for store in self.stores] if weights is None else weights, np.float64)
        self.shares = weights / weights.sum()
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
        """The tokens in the order of their ids."""
        return read_vocab(self.stores[0].vocab_file)

    def release(self) -> None:
        """Give pages back to the system, see ``Store.release``."""
        for store in self.stores:
            store.release()

    # -- where examples start ---------------------------------------------------------------------------------

    def units(self, store: int) -> int:
        """Anchors in one pass over a store: one for each ``max_length`` tokens, or one for each document of pairs."""
        opened = self.stores[store]
        return len(opened.documents) - 1 if self.pairs else -(-len(opened) // self.max_length)

    def anchors(self, index: np.ndarray, key) -> list[Anchor]:
        """The places numbered ``index`` in the endless walk through the corpus that ``key`` names.

        The walk takes the stores in turn by their weights. Inside a store it goes through all blocks of
        ``max_length`` tokens in random order before any comes again; where in a block is the same for a whole
        pass, so that the text between consecutive anchors is seen once. A corpus of pairs walks its documents.

        Args:
            index: [n] non-negative integers. key: integer.
        """
        store, rank = interleave(np.asarray(index, np.int64), self.shares)
        token = np.empty(len(rank), np.int64)
        for number, opened in enumerate(self.stores):
            mine = np.flatnonzero(store == number)
            if not len(mine):
                continue
            units = self.units(number)
            passes, within = np.divmod(rank[mine], units)
            block = permute(within, units, hash_keys(key, number, passes))
            if self.pairs:
                token[mine] = opened.sentences[opened.paragraphs[opened.documents[block]]]
            else:
                phase = hash_keys(key, number, passes, "phase") % np.uint64(self.max_length)
                token[mine] = (block * self.max_length + phase.astype(np.int64)) % len(opened)
        return [Anchor(*pair) for pair in zip(store.tolist(), token.tolist())]

    def anchor(self, index: int, key) -> Anchor:
        """One place of ``anchors``."""
        return self.anchors(np.array([index]), key)[0]

    def random_anchor(self, rng: np.random.Generator, store: int | None = None) -> Anchor:
        """Any place, in proportion to weights and tokens; of one store where it is given."""
        if store is None:
            store = int(np.searchsorted(np.cumsum(self.shares), rng.random() * (1 - 1e-12), side="right"))
        return Anchor(store, int(rng.integers(len(self.stores[store]))))

    # -- the text around a place ------------------------------------------------------------------------------

    def locate(self, anchor: Anchor) -> tuple[int, int, int]:
        """(document, paragraph, sentence) that hold the anchor's token."""
        store = self.stores[anchor.store]
        sentence = store.sentence_at(anchor.token)
        paragraph = store.paragraph_at(sentence)
        return store.document_at(paragraph), paragraph, sentence

    def document_sentences(self, store: int, document: int) -> tuple[int, int]:
        """Sentences [first, last) of a document."""
        opened = self.stores[store]
        first, last = opened.documents[document], opened.documents[document + 1]
        return int(opened.paragraphs[first]), int(opened.paragraphs[last])

    def paragraph_sentences(self, store: int, paragraph: int) -> tuple[int, int]:
        """Sentences [first, last) of a paragraph."""
        bounds = self.stores[store].paragraphs[paragraph:paragraph + 2]
        return int(bounds[0]), int(bounds[1])

    def paragraph_span(self, store: int, paragraph: int) -> tuple[int, int]:
        """Tokens [start, stop) of a paragraph."""
        return self.span(store, *self.paragraph_sentences(store, paragraph))

    def span(self, store: int, first: int, last: int | None = None) -> tuple[int, int]:
        """Tokens [start, stop) of the sentences [first, last); of one sentence when ``last`` is left out."""
        sentences = self.stores[store].sentences
        return int(sentences[first]), int(sentences[first + 1 if last is None else last])

    def running_text(self, anchor: Anchor, budget: int | None = None) -> Example:
        """One segment of whole sentences of one document around the anchor, as long as fits.

        A document that fits is taken whole. A sentence that does not fit by itself is cut around the anchor.
        A document of pairs gives a segment for each paragraph, up to four, shortened where they do not fit.

        Args:
            budget: most text tokens; by default what an example of ``max_length`` holds.
        """
        document, _, sentence = self.locate(anchor)
        if self.pairs:
            return self._all_paragraphs(anchor.store, document, budget)
        budget = self.max_length - 2 if budget is None else budget
        first, last = self.document_sentences(anchor.store, document)
        start, stop = self.span(anchor.store, first, last)
        if stop - start > budget:
            start, stop = self._around(anchor, sentence, (first, last), budget)
        return Example(anchor.store, ((start, stop),))

    def _all_paragraphs(self, store: int, document: int, budget: int | None) -> Example:
        first, last = self.stores[store].documents[document:document + 2].tolist()
        spans = [self.paragraph_span(store, paragraph) for paragraph in range(first, min(last, first + SENTENCE_IDS))]
        return Example(store, shorten(spans, budget or self.max_length - 1 - len(spans)))

    def _around(self, anchor: Anchor, sentence: int, bounds: tuple[int, int], budget: int) -> tuple[int, int]:
        # Centred on the anchor, then moved inside the document: its ends are seen nearly as often as its middle.
        offsets = self.stores[anchor.store].sentences
        start, stop = self.span(anchor.store, *bounds)
        wanted = min(max(anchor.token - budget // 2, start), stop - budget)
        low = max(bounds[0], int(np.searchsorted(offsets, wanted, side="left")))
        low = min(low, sentence)
        high = int(np.searchsorted(offsets, offsets[low] + budget, side="right")) - 1
        high = min(high, bounds[1])
        if high <= sentence:  # the anchor's sentence does not fit behind what precedes it
            low, high = sentence, sentence + 1
        begin, end = int(offsets[low]), int(offsets[high])
        if end - begin > budget:
            begin = min(max(anchor.token - budget // 2, begin), end - budget)
            end = begin + budget
        return begin, end

    def pair(self, store: int, first: tuple[int, int], second: tuple[int, int], label: int) -> Example:
        """Two segments and a label, shortened where both do not fit."""
        return Example(store, shorten((first, second), self.max_length - 3), label)

    def unit_chances(self, store: int, tokens: np.ndarray) -> np.ndarray | None:
        """[n] chance that the examples at these token offsets are masked by unit; None: always, the store says nothing.

        Only Baidu's format sets it, a number for each of its files (``unit_chances`` of the manifest).
        """
        chances = self.stores[store].manifest.get("unit_chances")
        if chances is None:
            return None
        stops, values = np.array(chances, np.float64).T
        return values[np.searchsorted(stops, tokens, side="right")]

    # -- text a person can read -------------------------------------------------------------------------------

    def text(self, store: int, start: int, stop: int) -> str:
        """The text of [start, stop) as its tokens tell it."""
        ids = self.stores[store].ids[start:stop].tolist()
        return join_pieces([self.vocabulary[index] for index in ids], self.language)


def join_pieces(pieces: list[str], language: str) -> str:
    """Pieces as text: ``##`` goes on with the word before; Chinese has spaces between foreign words only."""
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


def shorten(segments, room: int) -> tuple:
    """Take tokens off the end of the longest segment until all together hold at most ``room`` tokens."""
    sizes = [stop - start for start, stop in segments]
    while sum(sizes) > room:
        longest = max(range(len(sizes)), key=sizes.__getitem__)
        others = max((size for place, size in enumerate(sizes) if place != longest), default=0)
        sizes[longest] -= max(1, min(sum(sizes) - room, sizes[longest] - others))
    return tuple((start, start + size) for (start, _), size in zip(segments, sizes))


def interleave(index: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread draws over stores by their shares, evenly and without memory.

    Returns:
        ([n] which store, [n] the how-manieth draw from that store). Among the first k draws a store has its share
        of k, give or take one for each store before it.
    """
    store, rank = np.zeros(len(index), np.int64), index.copy()
    left = np.arange(len(index))
    for number in range(len(shares) - 1):
        share = shares[number] / shares[number:].sum()
        before, after = (np.floor(value * share).astype(np.int64) for value in (rank[left], rank[left] + 1))
        rest = before == after
        rank[left[~rest]] = before[~rest]
        rank[left[rest]] -= before[rest]
        store[left[rest]] = number + 1
        left = left[rest]
    return store, rank
