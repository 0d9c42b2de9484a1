"""Where examples start, what text they take, and what stores may stand together."""
import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.batches.corpus import Corpus, join_pieces, shorten
from reader.batches.examples import Anchor
from reader.batches.sampling import generator
from reader.utils.errors import InputError
from tests.builders import build_store, doc, pair_store, random_documents


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("corpus") / "store", random_documents(60))


def test_sentence_edges_of_a_unit(tmp_path):
    corpus = Corpus([build_store(tmp_path / "s", [doc("a b", "c d e", "f"), doc("g h")])])
    assert corpus.sentence_edges(Anchor(0, 0, 6)) == [0, 2, 5, 6]
    assert corpus.sentence_edges(Anchor(0, 2, 5)) == [2, 5]
    assert corpus.sentence_edges(Anchor(0, 3, 6)) == [3, 5, 6]  # a sentence that was cut
    assert corpus.sentence_edges(Anchor(0, 6, 7)) == [6, 7]


def test_a_sentence_outside_is_any_of_the_others(tmp_path):
    corpus = Corpus([build_store(tmp_path / "s", [doc("a", "b", "c"), doc("d"), doc("e", "f")])])
    rng = generator(1)
    drawn = Counter(corpus.sentence_outside(0, (1, 4), rng) for _ in range(3000))
    assert set(drawn) == {0, 4, 5} and all(abs(count - 1000) < 150 for count in drawn.values())


def test_text_reads_like_text(tmp_path):
    store = build_store(tmp_path / "s", [doc("the cat ##s sat")])
    assert Corpus([store]).text(0, 0, 4) == "the cats sat"
    assert join_pieces(list("我爱") + ["pad", "##dle", "2", "个"], "zh") == "我爱paddle 2个"


def test_a_corpus_travels_to_a_worker_by_its_paths(store):
    corpus = Corpus([store] * 3, [0.1, 0.2, 0.7], max_length=32)
    pickled = pickle.dumps(corpus)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again.shares.tolist() == corpus.shares.tolist() and again.fingerprint == corpus.fingerprint


def test_fingerprint_tells_weights_and_lengths_apart(store):
    prints = {Corpus([store, store], weights, length).fingerprint for weights in (None, [1, 2]) for length in (32, 64)}
    assert len(prints) == 4


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(4, 100))
def test_shorten_takes_from_the_longest(sizes, room):
    spans = shorten([(10 * k, 10 * k + size) for k, size in enumerate(sizes)], room)
    kept = [stop - start for start, stop in spans]
    assert sum(kept) == min(sum(sizes), room)
    assert all(k <= size for k, size in zip(kept, sizes))
    cut = [k for k, size in zip(kept, sizes) if k < size]
    assert not cut or min(cut) >= max(kept) - 1


def test_what_does_not_fit_together(tmp_path, store):
    other = build_store(tmp_path / "other", [doc("x y")])
    pairs = pair_store(tmp_path / "pairs", [("a", "b", 0)], ["c"])
    with pytest.raises(InputError, match="other: built with another vocabulary"):
        Corpus([store, other])
    with pytest.raises(InputError, match="weights .*one positive number"):
        Corpus([store], [0])
    with pytest.raises(InputError, match="at least one store"):
        Corpus([])
    same = build_store(tmp_path / "same", [doc("a b")], pairs.vocab_file.read_text().split())
    with pytest.raises(InputError, match="cannot go with"):
        Corpus([same, pairs])
