"""Conversations: turns as segments, roles as sentence ids, real or one turn replaced; labels stated by hand."""
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Excerpt
from reader.batches.walk import Walk, whole_turns
from reader.store.build import build_corpus, join_stores
from reader.store.store import NOBODY, Store
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tests.builders import build_store
from tests.tasks.conftest import many

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", ".", "?"]


def words(corpus, example) -> list[str]:
    return [corpus.text(example.store, *segment) for segment in example.segments]


@pytest.fixture
def corpus(tmp_path):
    """Two conversations, the first turn of the second in two sentences, and a monologue."""
    return Corpus([build_store(tmp_path / "s", [[["a b ?"], ["c ."], ["d e f ."]], [["g ?", "h i j k"], ["l ."]],
                                                [["m n o p q r s t"]]])])


def test_real_and_replaced_by_hand(corpus):
    task, found = tasks.load("dialogue"), {0: Counter(), 1: Counter()}
    for example in many(task, corpus, 2000, pick=Anchor(0, 0, 9)):
        assert example.types == (0, 1, 0)
        found[example.label][" | ".join(words(corpus, example))] += 1
    assert set(found[0]) == {"a b ? | c . | d e f ."}
    last = ["a b ? | c . | g ? h i j k", "a b ? | c . | l ."]  # 6 and 2 tokens are as near to 4
    assert set(found[1]) == {"l . | c . | d e f .", "a b ? | l . | d e f .", *last}
    assert abs(found[0].total() - 1000) < 120
    third = found[1].total() / 3
    assert all(abs(count - third / (2 if text in last else 1)) < 80 for text, count in found[1].items())


def test_a_turn_that_stands_alone_has_no_label(corpus):
    examples = many(tasks.load("dialogue"), corpus, 50, pick=Anchor(0, 17, 25))
    assert {(example.label, tuple(words(corpus, example))) for example in examples} == {
        (IGNORE, ("m n o p q r s t",))}


def test_layout_of_a_batch_by_hand(corpus):
    task, masking = tasks.load("dialogue"), tasks.load("capitalization")
    source = Batches(task, [masking], corpus, seed=1, task_id=7, batch_tokens=600, window=1)
    batch = source.at(0)[0]
    row = next(row for row in range(len(batch.lengths)) if batch.lengths[row] == 13 and row in
               batch.targets["dialogue"].positions[batch.targets["dialogue"].labels == 0])
    vocabulary = corpus.vocabulary
    read = " ".join(vocabulary[k] for k in batch.token_ids[row, :13])
    assert read == "[CLS] a b ? [SEP] c . [SEP] d e f . [SEP]"
    assert batch.token_type_ids[row, :13].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert batch.task_id == 7 and batch.token_type_ids.max() == 1
    monologues = np.flatnonzero(batch.lengths == 10)
    assert len(monologues) and not np.isin(monologues, batch.targets["dialogue"].positions).any()
    assert np.isin(monologues * batch.token_ids.shape[1] + 1, batch.targets["capitalization"].positions).all()


def test_turns_are_never_joined_or_cut_where_they_fit(tmp_path):
    store = build_store(tmp_path / "s", [[["a b c"], ["d"], ["e f", "g h"], ["i"], ["j k l m", "n o p q"]]])
    assert whole_turns(store, 0, 7, 24) == [(0, 17)]
    assert whole_turns(store, 0, 7, 11) == [(0, 8), (8, 17)]  # each turn costs a [SEP]
    assert whole_turns(store, 0, 7, 5) == [(0, 3), (3, 4), (4, 8), (8, 9), (9, 13), (13, 17)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=9), min_size=1,
                max_size=9), st.integers(6, 40), st.integers(5, 200), st.integers(0, 2**30))
def test_every_token_lies_in_one_unit_and_all_turns_fit(tmp_path_factory, sizes, length, block, key):
    documents = [[[" ".join("a" * size) for size in paragraph] for paragraph in document] for document in sizes]
    store = build_store(tmp_path_factory.mktemp("turns") / "s", documents, VOCABULARY)
    corpus = Corpus([store], max_length=length)
    walk, seen = Walk(corpus, Excerpt("turns"), block, key), np.zeros(len(store), int)
    for anchor in walk.anchors(np.arange(walk.blocks[0])):
        seen[anchor.token:anchor.stop] += 1
        turns = corpus.turns(anchor)
        assert 1 + sum(stop - start + 1 for start, stop in turns) <= length
        assert turns[0][0] == anchor.token and turns[-1][1] == anchor.stop
        edges = store.sentences[store.paragraphs].tolist()
        assert all(start in edges for start, _ in turns[1:])
        assert len(corpus.roles(anchor, 2)) == len(turns)
    assert (seen == 1).all()


def test_roles_are_speakers_where_the_store_knows_them(tmp_path):
    """Through a build in two parts and a join: with speakers, without, and with paragraphs that are dropped."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    lines = [{"text": ["a b", "c", "d", "e f"], "speakers": ["x", "x", "y", "z"]}, {"text": "g\nh\ni"},
             {"text": ["j", "", "k"], "speakers": [3, 4, 3]}]
    (tmp_path / "talk.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (tmp_path / "plain.txt").write_text("l m n\n\no p\n", "utf-8")
    for name, file in (("talk", "talk.jsonl"), ("plain", "plain.txt")):
        build_corpus([tmp_path / file], "en", tmp_path / "vocab.txt", tmp_path / name)
    assert Store(tmp_path / "plain").speakers is None
    talk = Store(tmp_path / "talk")
    assert talk.speakers.tolist() == [0, 0, 1, 2, NOBODY, NOBODY, NOBODY, 0, 0]
    build_corpus([tmp_path / "plain.txt"], "en", tmp_path / "vocab.txt", tmp_path / "plain2")
    join_stores([tmp_path / "plain", tmp_path / "talk", tmp_path / "plain2"], tmp_path / "all")
    joined = Store(tmp_path / "all")
    unknown = [NOBODY] * (len(Store(tmp_path / "plain").paragraphs) - 1)
    assert joined.speakers.tolist() == [*unknown, *talk.speakers.tolist(), *unknown]
    corpus = Corpus([talk])
    assert corpus.roles(Anchor(0, 0, 6), 2) == (0, 0, 1, 0) and corpus.roles(Anchor(0, 0, 6), 4) == (0, 0, 1, 2)
    assert corpus.roles(Anchor(0, 6, 9), 2) == (0, 1, 0)  # nobody said who speaks: in turn
    assert corpus.roles(Anchor(0, 7, 9), 2) == (1, 0)
    assert tasks.load("dialogue", {"roles": 4}).max_segments == 4


def test_what_is_refused(tmp_path, corpus):
    with pytest.raises(InputError, match="roles 0 is not between 1 and 16"):
        tasks.load("dialogue", {"roles": 0})
    with pytest.raises(InputError, match="dialogue takes text of other documents"):
        tasks.load("dialogue").bind(Corpus([build_store(tmp_path / "one", [[["a"], ["b"]]])]))
