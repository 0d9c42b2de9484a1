"""Batches by token budget: the n-th batch of a task is a pure function of n.

A *window* is a fixed number of consecutive batches. Its examples are drawn together, sorted by length and cut into
batches of equal token share, which are shuffled: rows of one length lie together, so little is padded, and any batch
can still be made alone. A batch is cut into *slices* (micro-batches) the same way. What is random in a token's labels
hangs on its key, a function of (seed, task, window, example, place), so that labels do not depend on the cut.
"""
from __future__ import annotations

import numpy as np

from reader.batches.collator import Collator, Window, addresses, read_tokens
from reader.batches.corpus import Corpus
from reader.batches.examples import Batch, Example, Targets
from reader.batches.sampling import generator, hash_int
from reader.text.special_ids import SpecialIds
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE

SORTED = 1024  # examples of full length that are sorted by length together, unless told otherwise
PROBE = 128    # examples drawn once to learn how long this task's examples are


class Batches:
    """The endless sequence of global batches in which one task is drawn.

    Args:
        task: the drawn task; its ``example`` makes the examples.
        token_tasks: every token-level task of the stage; each labels every batch. At most one of them may corrupt.
        corpus: where ``task`` draws from.
        seed: of the run. task_id: selects the task embedding.
        batch_tokens: text and special tokens of a global batch, on average.
        slices: micro-batches that a global batch is cut into, over all ranks and accumulation steps.
        window: batches that are drawn and sorted together; by default enough for little padding. Part of what decides
            the order: it hangs on the two sizes only, not on the number of cards.
        vocabulary: object with ``cls_id sep_id mask_id pad_id regular_ids``; that of the stores by default.
    Raises:
        InputError: a slice could not hold the longest example, or two tasks corrupt.
    """

    def __init__(self, task, token_tasks, corpus: Corpus, *, seed: int, task_id: int, batch_tokens: int,
                 slices: int = 1, window: int | None = None, vocabulary=None):
        if batch_tokens < slices * corpus.max_length:
            raise InputError(f"batch_tokens {batch_tokens} cut into {slices} micro-batches gives each "
                             f"{batch_tokens // slices} tokens, fewer than one example of max_length "
                             f"{corpus.max_length}: raise batch_tokens, or use fewer cards or accumulation steps")
        corrupting = [other.name for other in token_tasks if other.corrupts]
        if len(corrupting) > 1:
            raise InputError(f"tasks {', '.join(corrupting)} all change the text; a stage can have one of them")
        self.task, self.token_tasks, self.corpus = task, list(token_tasks), corpus
        self.seed, self.task_id, self.batch_tokens = seed, task_id, batch_tokens
        self.slices, self.window = slices, window or -(-SORTED * corpus.max_length // batch_tokens)
        self.specials = corpus.specials if vocabulary is None else SpecialIds.of(vocabulary)
        task.bind(corpus)
        self.stride = self._stride()
        self._cached: tuple[int, Window] | None = None

    def __getstate__(self):
        return {**self.__dict__, "_cached": None}

    def at(self, n: int, slice_indices=None) -> list[Batch]:
        """Micro-batches of the n-th global batch; all of them, or those that ``slice_indices`` names, in its order."""
        window, rows = self.rows(n)
        slices = cut(window.lengths[rows], self.slices)
        wanted = range(self.slices) if slice_indices is None else slice_indices
        made = [self._assemble(window, rows[slices[index]:slices[index + 1]]) for index in wanted]
        self.corpus.release()
        return made

    def rows(self, n: int) -> tuple[Window, np.ndarray]:
        """What the n-th global batch is made of: its window, and which of the window's examples it takes."""
        number, place = divmod(n, self.window)
        window = self._window(number)
        return window, window.batches[place]

    def examples(self, number: int) -> list[Example]:
        """The examples of a window in the order in which they were drawn."""
        rng = generator(self.seed, "examples", self.task.name, number)
        key = hash_int(self.seed, "anchors", self.task.name)
        budget, total, examples = self.window * self.batch_tokens, 0, []
        while total < budget:  # nearly always once; what one pass of the stride lacks comes from another walk
            walk = hash_int(key, len(examples) // self.stride)
            start = number * self.stride
            for anchor in self.corpus.anchors(np.arange(start, start + self.stride), walk):
                example = self._draw(anchor, rng)
                examples.append(example)
                total += example.length
                if total >= budget:
                    break
        return examples

    def _draw(self, anchor, rng) -> Example:
        try:
            example = self.task.example(self.corpus, anchor, rng)
        except InputError:
            raise
        except Exception as error:  # most likely a task of the user's own
            store = self.corpus.stores[anchor.store]
            document = store.document_at(store.paragraph_at(store.sentence_at(anchor.token)))
            raise RuntimeError(f"task {self.task.name} failed on document {document} of {store.path} "
                               f"(token {anchor.token}): {type(error).__name__}: {error}") from error
        if not example.segments or any(start >= stop for start, stop in example.segments):
            raise InputError(f"task {self.task.name} made an example without text: segments {example.segments}")
        if example.length > self.corpus.max_length:
            raise InputError(f"task {self.task.name} made an example of {example.length} tokens in "
                             f"{len(example.segments)} segments; it must fit in max_length {self.corpus.max_length}")
        if self.task.level == "sequence" and example.label != IGNORE:
            check_labels(self.task, example.label, example.label)
        return example

    def _stride(self) -> int:
        """Anchors that belong to a window: what its budget takes at the mean length of the first examples.

        A little short on purpose, so that hardly any anchor of a pass goes unused.
        """
        rng = generator(self.seed, "probe", self.task.name)
        anchors = self.corpus.anchors(np.arange(PROBE), hash_int(self.seed, "probe", self.task.name))
        mean = np.mean([self._draw(anchor, rng).length for anchor in anchors])
        return max(1, int(self.window * self.batch_tokens / mean * 0.97))

    def _window(self, number: int) -> Window:
        if self._cached is None or self._cached[0] != number:
            self._cached = number, self._make_window(number)
        return self._cached[1]

    def _make_window(self, number: int) -> Window:
        window = Window.of(self.examples(number), hash_int(self.seed, "mask", self.task.name, number))
        order = np.argsort(window.lengths, kind="stable")
        bounds = cut(window.lengths[order], self.window)
        shuffle = generator(self.seed, "shuffle", self.task.name, number).permutation(self.window)
        return window._replace(batches=[order[bounds[index]:bounds[index + 1]] for index in shuffle])

    def _assemble(self, window: Window, rows: np.ndarray) -> Batch:
        collator = Collator(window, rows)
        tokens = read_tokens(self.corpus, window, rows, collator)
        batch = collator.empty_batch(self.task.name, self.task_id, self.specials)
        ids = tokens.ids
        for task in self.token_tasks:
            if task.corrupts:
                ids, labels, groups = task.corrupt(tokens, self.specials)
            else:
                labels, groups = task.labels(tokens), None
            if np.shape(labels) != ids.shape:
                raise InputError(f"task {task.name} made labels of shape {np.shape(labels)} for {len(ids)} tokens")
            chosen = np.flatnonzero(labels != IGNORE)
            if len(chosen) and task.head == "classes":
                check_labels(task, labels[chosen].min(), labels[chosen].max())
            batch.targets[task.name] = Targets(collator.positions[chosen], labels[chosen].astype(np.int64),
                                               None if groups is None else groups[chosen])
        batch.token_ids.reshape(-1)[collator.positions] = ids
        if self.task.level == "sequence":
            labels = window.labels[rows]
            chosen = np.flatnonzero(labels != IGNORE)
            batch.targets[self.task.name] = Targets(chosen, labels[chosen].astype(np.int64))
        batch.addresses = addresses(self.corpus, window, rows)
        return batch


def check_labels(task, least: int, most: int) -> None:
    """A label that is no class would stop the training with an error from deep inside the loss."""
    if least < 0 or most >= len(task.classes):
        raise InputError(f"task {task.name} gave the label {most if least >= 0 else least}, it has {len(task.classes)} "
                         "classes (numbered from 0)")


def cut(lengths: np.ndarray, parts: int) -> np.ndarray:
    """Cut consecutive examples into parts of equal token share, none of them empty.

    An example belongs to the part in which its middle lies.

    Returns:
        [parts + 1] bounds: part k holds the examples bounds[k]:bounds[k + 1].
    """
    middles = np.cumsum(lengths) - lengths / 2
    total = int(np.sum(lengths))
    bounds = np.searchsorted(middles, np.arange(parts + 1) * (total / parts))
    bounds[0], bounds[-1] = 0, len(lengths)
    if len(lengths) >= parts:  # the middles of long examples can lie further apart than a share
        steps = np.arange(parts + 1)
        bounds = np.maximum.accumulate(bounds - steps) + steps
        bounds = np.minimum(bounds, len(lengths) - parts + steps)
    return bounds
