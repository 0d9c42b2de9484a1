"""The examples of a task, drawn in lanes and windows, so that a rank draws only what it trains on.

A *lane* is a fixed part of every global batch. How many lanes there are hangs on the sizes of a batch and of an
example, never on the number of cards. A *window* is the examples that a lane has for a number of batches, drawn
together, sorted by length and cut into a part for each batch: rows of one length lie together, so little is padded.
All lanes give a batch the same part of their windows, in an order that is shuffled for each window.

Each window takes a fixed number of blocks from the task's walk through the corpus, so the lanes of consecutive windows
together take the whole walk, and any window can be drawn alone.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from reader.batches.collator import Window
from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Example
from reader.batches.sampling import generator, hash_int
from reader.batches.walk import Walk
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE

LANE = 16      # examples of full length that a lane gives to a batch
SORTED = 1536  # examples of full length that are sorted by length together, unless told otherwise
MIXED = 64     # blocks in a window at least, as far as they stay as long as an example
LONGEST = 8    # examples of full length in a block at most: its edges cut documents
PROBED, LOOKED_AT = 512, 4096  # examples drawn, and blocks looked at, to learn what a block gives


class Windows:
    """The lanes of a task.

    Args:
        task: its ``example`` makes the examples. corpus: where it draws from. seed: of the run.
        batch_tokens: text and special tokens of a global batch, on average.
        size: batches that a window serves; None: enough for little padding.
        turns: windows that are under way in a lane at a time: batch n belongs to the window of turn n modulo ``turns``,
            so that as many workers draw no window twice when each takes its turns.
    Attributes:
        lanes: parts of a global batch. least: fewest examples of a lane in a batch.
    Raises:
        InputError: the task finds no text in the corpus.
    """

    def __init__(self, task: Any, corpus: Corpus, seed: int, batch_tokens: int, size: int | None = None,
                 turns: int = 1):
        self.task, self.corpus, self.seed, self.turns = task, corpus, seed, turns
        self.lanes = max(1, batch_tokens // (LANE * corpus.max_length))
        tokens = batch_tokens / self.lanes
        self.least = max(1, int(tokens) // corpus.max_length)
        self.size = size or -(-SORTED * corpus.max_length // int(tokens))
        block = min(max(self.size * tokens / MIXED, corpus.max_length), LONGEST * corpus.max_length)
        self.walk = Walk(corpus, task.excerpt, int(block), hash_int(seed, "walk", task.name))
        self.blocks = max(1, round(self.size * tokens / self._tokens_per_block()))
        self._cached: dict[tuple[int, int], tuple[int, Window]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": {}}

    def part(self, lane: int, n: int) -> tuple[Window, np.ndarray]:
        """Return a lane's part of the n-th global batch: a window and the indices of its examples, sorted by length."""
        place, turn = divmod(n, self.turns)
        number, place = divmod(place, self.size)
        known = self._cached.get((lane, turn))
        if known is None or known[0] != number:
            known = self._cached[lane, turn] = number, self._make(lane, turn, number)
        return known[1], known[1].batches[place]

    def _make(self, lane: int, turn: int, number: int) -> Window:
        key = hash_int(self.seed, "mask", self.task.name, lane, turn, number)
        window = Window.of(self.examples(lane, turn, number), key)
        order = np.argsort(window.lengths, kind="stable")
        bounds = cut(window.lengths[order], self.size, self.least)
        shuffle = generator(self.seed, "shuffle", self.task.name, turn, number).permutation(self.size)
        return window._replace(batches=[order[bounds[index]:bounds[index + 1]] for index in shuffle])

    def examples(self, lane: int, turn: int, number: int) -> list[Example]:
        """Draw the examples of a window, in the order of drawing."""
        rng = generator(self.seed, "examples", self.task.name, lane, turn, number)
        index = np.arange(number * self.blocks, (number + 1) * self.blocks)
        index = (index * self.turns + turn) * self.lanes + lane
        examples = self._drawn(self.walk.anchors(index), rng)
        while len(examples) < self.size * self.least:  # a task that can use little of the text may find too little
            further = self._drawn(self.walk.anchors(rng.integers(1 << 40, size=self.blocks)), rng)
            if not further:
                raise self._no_text()
            examples += further
        return examples

    def _drawn(self, anchors: list[Anchor], rng: np.random.Generator) -> list[Example]:
        return [example for anchor in anchors if (example := draw(self.task, self.corpus, anchor, rng)) is not None]

    def _tokens_per_block(self) -> float:
        """Tokens of the examples that a block gives, special tokens included, on average over the first blocks."""
        rng = generator(self.seed, "probe", self.task.name)
        looked, found, tokens = 0, 0, 0
        while found < PROBED and looked < LOOKED_AT:
            step = max(1, looked)
            examples = self._drawn(self.walk.anchors(np.arange(looked, looked + step)), rng)
            looked, found = looked + step, found + len(examples)
            tokens += sum(example.length for example in examples)
        if not found:
            raise self._no_text()
        return tokens / looked

    def _no_text(self) -> InputError:
        return InputError(f"{self.task.name} finds no text that it can make an example of in at most "
                          f"{self.corpus.max_length} tokens", self.corpus.stores[0].path)


def draw(task: Any, corpus: Corpus, anchor: Anchor, rng: np.random.Generator) -> Example | None:
    """Return the example that a task makes of an excerpt, checked; None where the task makes none.

    Raises:
        InputError: the example breaks a rule. RuntimeError: the task failed; names the document.
    """
    try:
        example = task.example(corpus, anchor, rng)
    except InputError:
        raise
    except Exception as error:  # most likely a task of the user's own
        store = corpus.stores[anchor.store]
        store.before_reading(np.array([anchor.token, anchor.stop - 1]))  # damage is said to be damage
        document = store.document_at(store.paragraph_at(store.sentence_at(anchor.token)))
        raise RuntimeError(f"task {task.name} failed on document {document} of {store.path} "
                           f"(token {anchor.token}): {type(error).__name__}: {error}") from error
    if example is None:
        return None
    _check(task, corpus, example)
    return example


def _check(task: Any, corpus: Corpus, example: Example) -> None:
    if not isinstance(example, Example):
        raise InputError(f"task {task.name} made a {type(example).__name__}, not an Example")
    segments, types, store = example.segments, example.types, corpus.stores[example.store]
    if not segments or any(start >= stop for start, stop in segments):
        raise InputError(f"task {task.name} made an example without text: segments {segments}")
    if any(start < 0 or stop > len(store) for start, stop in segments):
        raise InputError(f"task {task.name} made an example of text that is not there: segments {segments}", store.path)
    if types and (len(types) != len(segments) or min(types) < 0):
        raise InputError(f"task {task.name} gave {len(segments)} segments the sentence types {types}: one for each, "
                         "from 0")
    if example.length > corpus.max_length:
        raise InputError(f"task {task.name} made an example of {example.length} tokens in "
                         f"{len(segments)} segments; it must fit in max_length {corpus.max_length}")
    if task.level == "sequence" and example.label != IGNORE:
        check_labels(task, example.label, example.label)


def check_labels(task: Any, least: int, most: int) -> None:
    """Raise InputError for a label that is no class: the loss would fail on it without naming the task."""
    if least < 0 or most >= len(task.classes):
        raise InputError(f"task {task.name} gave the label {most if least >= 0 else least}, it has {len(task.classes)} "
                         "classes (numbered from 0)")


def cut(lengths: np.ndarray, parts: int, least: int = 1) -> np.ndarray:
    """Cut consecutive examples into parts of equal token share.

    An example belongs to the part in which its middle lies. Where there are enough, each part holds at least ``least``.

    Returns:
        [parts + 1] bounds: part k holds the examples bounds[k]:bounds[k + 1].
    """
    bounds = np.searchsorted(middles(lengths), np.arange(parts + 1) * (int(np.sum(lengths)) / parts))
    bounds[0], bounds[-1] = 0, len(lengths)
    if len(lengths) >= parts * least:  # the middles of long examples can lie further apart than a share
        steps = np.arange(parts + 1) * least
        bounds = np.maximum.accumulate(bounds - steps) + steps
        bounds = np.minimum(bounds, len(lengths) - parts * least + steps)
    return bounds


def middles(lengths: np.ndarray) -> np.ndarray:
    """Return the middle of each of some consecutive examples, in tokens from the start of the first."""
    return np.cumsum(lengths) - lengths / 2
