"""Survey of a corpus for a task, made before it trains: how much text serves, and whether labels degenerate."""
from __future__ import annotations

import numpy as np

from reader.batches.collator import Collator, Window, read_tokens
from reader.batches.corpus import Corpus
from reader.batches.examples import Example
from reader.batches.sampling import generator, hash_int
from reader.batches.walk import Walk
from reader.batches.windows import draw
from reader.utils.labels import IGNORE
from tasks.base import Task, TokenTask

UNITS, BLOCKS = 512, 256  # looked at in each store, at most
PASSED_OVER, ONE_CLASS = 0.1, 0.95  # shares of the text, and of the labels, from which on something is said


def survey(task: Task, corpus: Corpus) -> list[str]:
    """Look at some excerpts of every store and return what is worth a note, a line each; mostly nothing.

    Args:
        task: bound to the corpus.
    """
    return [f"{task.name} on {store.path}: {note}" for store in corpus.stores
            for note in _notes(task, Corpus([store], max_length=corpus.max_length))]


def _notes(task: Task, corpus: Corpus) -> list[str]:
    walk, anchors = Walk(corpus, task.excerpt, 8 * corpus.max_length, hash_int("survey", task.name)), []
    for index in range(BLOCKS):
        anchors += walk.anchors(np.array([index]))
        if len(anchors) >= UNITS:
            break
    rng = generator(0, "survey", task.name)
    drawn = [draw(task, corpus, anchor, rng) for anchor in anchors]
    sizes = np.array([anchor.stop - anchor.token for anchor in anchors])
    unused = sizes[[example is None for example in drawn]].sum() / max(1, sizes.sum())
    notes = task.remarks(corpus, anchors) if anchors else []
    if unused > PASSED_OVER:
        notes.append(f"{100 * unused:.0f} % of the text does not serve and is passed over")
    labels = _labels(task, corpus, [example for example in drawn if example is not None])
    if len(labels) and len(task.classes) > 1:
        counts = np.bincount(labels, minlength=len(task.classes))
        share = counts.max() / len(labels)
        if share > ONE_CLASS:
            notes.append(f"{100 * share:.1f} % of its labels are {task.explain(int(counts.argmax()))!r}, so there is "
                         f"little to learn (a document has {_document_tokens(corpus):,} tokens on average)")
    return notes


def _labels(task: Task, corpus: Corpus, examples: list[Example]) -> np.ndarray:
    """The labels of some examples that are no IGNORE; none of a task over the vocabulary."""
    if task.head != "classes" or not examples:
        return np.zeros(0, np.int64)
    window, rows = Window.of(examples, 0), np.arange(len(examples))
    labels = window.labels
    if isinstance(task, TokenTask):
        labels = task.labels(read_tokens(corpus, window, rows, Collator(window, rows)))
    return labels[labels != IGNORE].astype(np.int64)


def _document_tokens(corpus: Corpus) -> int:
    store = corpus.stores[0]
    return round(len(store) / (len(store.documents) - 1))
