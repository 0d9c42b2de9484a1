"""Where examples start, what text they take, and what stores may stand together."""
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.batches.corpus import Corpus, interleave, join_pieces, shorten
from reader.batches.examples import Anchor
from reader.utils.errors import InputError
from tests.builders import build_store, doc, pair_store, random_documents


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("corpus") / "store", random_documents(60))


def test_a_pass_touches_every_block_once_before_any_again(store):
    corpus = Corpus([store], max_length=32)
    blocks = corpus.units(0)
    for walk in (1, 2):
        anchors = corpus.anchors(np.arange(2 * blocks), walk)
        phase = anchors[0].token % 32
        for start in (0, blocks):
            tokens = np.array([anchor.token for anchor in anchors[start:start + blocks]])
            assert len(set(tokens.tolist())) == blocks
            assert len({int(t) // 32 for t in tokens}) >= blocks - 1  # the last block is cut short, and may wrap
        assert phase != anchors[blocks].token % 32  # the next pass cuts elsewhere
        assert anchors[:blocks] != anchors[blocks:]
    assert corpus.anchor(7, 1) == corpus.anchors(np.arange(10), 1)[7]


def test_a_pass_over_pairs_takes_every_pair_once(tmp_path):
    store = pair_store(tmp_path / "pairs", [(f"a b{k}", f"c{k}", 0) for k in range(40)], ["but"])
    corpus = Corpus([store])
    documents = [corpus.locate(anchor)[0] for anchor in corpus.anchors(np.arange(80), 5)]
    assert sorted(documents[:40]) == sorted(documents[40:]) == list(range(40))
    assert corpus.classes == ("but",)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), st.integers(0, 10**9))
def test_interleave_follows_the_shares_and_counts_each_store(weights, start):
    shares = np.array(weights) / sum(weights)
    index = np.arange(start, start + 500)
    store, rank = interleave(index, shares)
    for number in range(len(shares)):
        ranks = rank[store == number]
        assert (np.diff(ranks) == 1).all()
        assert abs(len(ranks) - 500 * shares[number]) <= len(shares) + 1
    assert [tuple(map(int, pair)) for pair in zip(*interleave(index[123:124], shares))] == [(store[123], rank[123])]


def test_stores_are_drawn_by_weight_or_by_tokens(tmp_path):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    small = build_store(tmp_path / "small", [doc("a a a a")] * 10, vocabulary)
    large = build_store(tmp_path / "large", [doc("a a a a")] * 30, vocabulary)
    for weights, share in ((None, 0.25), ([2, 1], 2 / 3)):
        stores = Counter(anchor.store for anchor in Corpus([small, large], weights).anchors(np.arange(300), 0))
        assert stores[0] == pytest.approx(300 * share, abs=1)


def test_running_text_is_whole_sentences_of_one_document_and_long(store):
    corpus = Corpus([store], max_length=40)
    edges = set(store.sentences.tolist())
    for anchor in corpus.anchors(np.arange(300), 1):
        (start, stop), = corpus.running_text(anchor).segments
        first, last = store.document_span(corpus.locate(anchor)[0])
        assert first <= start < stop <= last and stop - start <= 38
        assert start in edges and stop in edges
        if last - first <= 38:
            assert (start, stop) == (first, last)
        else:
            assert stop - start > 38 - 15 - 15  # sentences have at most 15 tokens: nothing more would have fitted


def test_running_text_covers_the_corpus_evenly(store):
    corpus = Corpus([store], max_length=40)
    seen = np.zeros(len(store))
    passes = 30
    for anchor in corpus.anchors(np.arange(passes * corpus.units(0)), 1):
        for start, stop in corpus.running_text(anchor).segments:
            seen[start:stop] += 1
    assert (seen > 0).all()
    assert 0.5 < np.median(seen) / passes < 1.5


def test_a_long_sentence_is_cut_around_the_anchor(tmp_path):
    store = build_store(tmp_path / "s", [doc("a " * 100, "b b")])
    corpus = Corpus([store], max_length=22)
    assert corpus.running_text(Anchor(0, 50)).segments == ((40, 60),)
    assert corpus.running_text(Anchor(0, 2)).segments == ((0, 20),)
    assert corpus.running_text(Anchor(0, 99)).segments == ((80, 100),)
    assert corpus.running_text(Anchor(0, 101)).segments == ((100, 102),)


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
    assert again.anchors(np.arange(9), 4) == corpus.anchors(np.arange(9), 4)


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
