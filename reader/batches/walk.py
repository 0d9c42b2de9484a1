"""The walk through a corpus: blocks of equal size in random order, each cut into the excerpts that a task is handed.

A pass takes every block once, and every token of a store lies in exactly one excerpt of one block of a pass. So every
token is seen equally often, whatever the length of its document. Nothing is kept but the key: any block can be found
alone, in a store of any size.
"""
from __future__ import annotations

import numpy as np

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Excerpt
from reader.batches.sampling import hash_int, hash_keys, permute
from reader.store.store import Store


class Walk:
    """An endless sequence of blocks of text.

    Args:
        corpus: what is walked. excerpt: what its blocks are cut into.
        block_tokens: of a block, about; every store is divided into blocks of one size. In a corpus of pairs a block
            is a document. key: names the walk.
    """

    def __init__(self, corpus: Corpus, excerpt: Excerpt, block_tokens: int, key: int):
        self.corpus, self.excerpt, self.key = corpus, excerpt, key
        self.room = excerpt.room(corpus.max_length)
        self.blocks = [len(store.documents) - 1 if corpus.pairs else max(1, round(len(store) / block_tokens))
                       for store in corpus.stores]  # in one pass
        self.sizes = np.array([len(store) / count for store, count in zip(corpus.stores, self.blocks)])
        self.turns = corpus.shares / self.sizes  # shares of tokens as shares of blocks
        self.turns /= self.turns.sum()

    @property
    def block_tokens(self) -> float:
        """Tokens of a block, on average over the walk."""
        return float(self.turns @ self.sizes)

    def anchors(self, index: np.ndarray) -> list[Anchor]:
        """Return the excerpts of the blocks numbered ``index`` ([n] non-negative), block by block.

        The stores take turns by their shares of tokens. Where blocks begin changes from pass to pass.
        """
        store, rank = interleave(np.asarray(index, np.int64), self.turns)
        block, phase = np.empty(len(rank), np.int64), np.zeros(len(rank), np.int64)
        for number, count in enumerate(self.blocks):
            mine = np.flatnonzero(store == number)
            if not len(mine):
                continue
            passes, within = np.divmod(rank[mine], count)
            block[mine] = permute(within, count, hash_keys(self.key, number, passes))
            size = len(self.corpus.stores[number]) // count
            phase[mine] = (hash_keys(self.key, number, passes, "phase") % np.uint64(max(1, size))).astype(np.int64)
        found = []
        for number, chosen, begin in zip(store.tolist(), block.tolist(), phase.tolist()):
            opened = self.corpus.stores[number]
            spans = [opened.document_span(chosen)] if self.corpus.pairs else self._spans(number, chosen, begin)
            found += [Anchor(number, start, stop) for start, stop in spans]
        return found

    def sample(self, count: int) -> list[Anchor]:
        """Draw excerpts of ``count`` blocks, one of each, to look at; blocks without an excerpt are passed over."""
        found: list[Anchor] = []
        for index in range(100 * count):
            excerpts = self.anchors(np.array([index]))
            if excerpts:
                found.append(excerpts[hash_int(self.key, index, "sample") % len(excerpts)])
            if len(found) == count:
                break
        return found

    def _spans(self, number: int, block: int, phase: int) -> list[tuple[int, int]]:
        store, count = self.corpus.stores[number], self.blocks[number]
        total = len(store)
        start, stop = (total * edge // count + phase for edge in (block, block + 1))
        ranges = [(start, min(stop, total)), (0, stop - total)]  # the last block of a pass goes on at the beginning
        return [span for begin, end in ranges if begin < end for span in self._excerpts(store, begin, end)]

    def _excerpts(self, store: Store, start: int, stop: int) -> list[tuple[int, int]]:
        store.before_reading(np.array([start, stop - 1]))
        first, last = (edge(store, token, self.excerpt, self.room) for token in (start, stop))
        if first == last:
            return []
        if self.excerpt.kind == "sentence":
            offsets = store.sentences[first:last + 1].tolist()
            return list(zip(offsets, offsets[1:]))
        opening, closing = (store.document_at(store.paragraph_at(sentence)) for sentence in (first, last - 1))
        bounds = store.paragraphs[store.documents[opening:closing + 2]].tolist()
        spans: list[tuple[int, int]] = []
        for begin, end in zip(bounds, bounds[1:]):
            room = self.room
            if self.excerpt.share < 1:
                room = max(1, min(room, int((store.sentences[end] - store.sentences[begin]) * self.excerpt.share)))
            begin, end = max(begin, first), min(end, last)
            if self.excerpt.kind == "turns":
                spans += whole_turns(store, begin, end, self.corpus.max_length - 1)
                continue
            if self.excerpt.kind == "paragraph":
                for group_begin, group_end in paragraph_groups(store, begin, end, self.excerpt.sentences):
                    spans += evenly(store.sentences[group_begin:group_end + 1], room)
            else:
                spans += evenly(store.sentences[begin:end + 1], room)
        return spans


def edge(store: Store, token: int, excerpt: Excerpt, room: int) -> int:
    """Return the sentence at which a block that begins at ``token`` really begins, and the block before it ends.

    The first sentence that starts at the token or later. A document that fits in an example is not cut, nor a paragraph
    where that is the excerpt: the edge moves behind it. From a longer document no scrap is cut off: an edge less than
    half an example from one of its ends moves there.
    """
    sentence = int(np.searchsorted(store.sentences, token))
    if excerpt.kind == "sentence" or sentence >= len(store.sentences) - 1:
        return sentence
    paragraph = store.paragraph_at(sentence)
    document = store.document_at(paragraph)
    first, last = store.paragraphs[store.documents[document:document + 2]].tolist()
    start, place, stop = store.sentences[[first, sentence, last]].tolist()
    if first < sentence and (stop - start <= room or stop - place < room // 2):
        return last
    if place - start < room // 2:
        return first
    if excerpt.kind != "text":
        first, last = store.paragraphs[paragraph:paragraph + 2].tolist()
        if first < sentence and store.sentences[last] - store.sentences[first] <= room:
            return last
    return sentence


def paragraph_groups(store: Store, first: int, last: int, least: int) -> list[tuple[int, int]]:
    """Cut the sentences [first, last) of one document into paragraphs of at least ``least`` sentences.

    Paragraphs that have fewer are joined to those behind them, at the end to those before.
    """
    opening, closing = store.paragraph_at(first), store.paragraph_at(last - 1)
    groups, begin = [], first
    for end in [*store.paragraphs[opening + 1:closing + 1].tolist(), last]:
        if end - begin >= least:
            groups.append((begin, end))
            begin = end
    if begin < last:
        groups[-1:] = [(groups[-1][0] if groups else begin, last)]
    return groups


def whole_turns(store: Store, first: int, last: int, room: int) -> list[tuple[int, int]]:
    """Cut the sentences [first, last) of one document into runs of paragraphs that fit with a special token for each.

    A paragraph that does not fit by itself is cut evenly between its sentences.
    """
    opening, closing = store.paragraph_at(first), store.paragraph_at(last - 1)
    marks = [first, *store.paragraphs[opening + 1:closing + 1].tolist(), last]
    turns = [span for begin, end in zip(marks, marks[1:])
             for span in evenly(store.sentences[begin:end + 1], room - 1)]
    sizes = np.cumsum([0, *(stop - start + 1 for start, stop in turns)])
    cuts = np.searchsorted(sizes, [edge for span in evenly(sizes, room) for edge in span]).tolist()
    return [(turns[begin][0], turns[end - 1][1]) for begin, end in zip(cuts[::2], cuts[1::2])]


def evenly(offsets: np.ndarray, room: int) -> list[tuple[int, int]]:
    """Cut consecutive sentences into as few spans as hold at most ``room`` tokens each, of nearly equal size.

    A sentence that does not fit by itself is cut into equal parts.

    Args:
        offsets: [s + 1] token offsets of the sentences.
    """
    if offsets[-1] - offsets[0] <= room:
        return [(int(offsets[0]), int(offsets[-1]))]
    places, spans, at = offsets.tolist(), [], 0
    while at < len(places) - 1:
        start, left = places[at], places[-1] - places[at]
        furthest = int(np.searchsorted(offsets, start + room, side="right")) - 1
        wanted = int(np.searchsorted(offsets, start + left / -(-left // room)))
        end = min(furthest, max(wanted, at + 1))
        if end == at:
            end = at + 1
            parts = -(-(places[end] - start) // room)
            marks = [start + (places[end] - start) * part // parts for part in range(parts + 1)]
            spans += list(zip(marks, marks[1:]))
        else:
            spans.append((start, places[end]))
        at = end
    return spans


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
