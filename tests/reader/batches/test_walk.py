"""A pass takes every token once, in excerpts that a task can use, whatever the lengths of documents."""
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Excerpt
from reader.batches.walk import Walk, edge, evenly, interleave, paragraph_groups
from tests.builders import build_store, doc, pair_store, random_documents

EXCERPTS = [Excerpt(), Excerpt(segments=2), Excerpt(share=0.5), Excerpt("paragraph"),
            Excerpt("paragraph", 4, 4), Excerpt("sentence", 2)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("walk") / "store", random_documents(60))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Documents of one to 20,000 tokens, as where dialogue stands beside books."""
    documents = [*([doc("a b .")] * 300), [["a b c . " * 3, "d e . " * 40]] * 2, doc(*["a b c d e f g ."] * 2500),
                 doc("a"), *([doc("a b c d .", "e f .")] * 300), [["a ."] * 2, ["b . c"], ["d ."] * 9] * 3]
    return build_store(tmp_path_factory.mktemp("walk") / "uneven", documents)


def seen(walk: Walk, index) -> np.ndarray:
    """How often the excerpts of some blocks hold each token of the first store."""
    counts = np.zeros(len(walk.corpus.stores[0]), int)
    for _, start, stop in walk.anchors(index):
        assert start < stop
        counts[start:stop] += 1
    return counts


@settings(max_examples=40, deadline=None)
@given(excerpt=st.sampled_from(EXCERPTS), length=st.integers(8, 200), block=st.integers(1, 3000),
       key=st.integers(0, 2**40), passes=st.integers(1, 2), which=st.booleans())
def test_a_pass_takes_every_token_once(store, uneven, excerpt, length, block, key, passes, which):
    walk = Walk(Corpus([uneven if which else store], max_length=length), excerpt, block, key)
    assert (seen(walk, np.arange(passes * walk.blocks[0])) == passes).all()


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_excerpts_fit_and_stay_inside_their_document(store, excerpt):
    corpus = Corpus([store], max_length=40)
    edges, room = set(store.sentences.tolist()), excerpt.room(40)
    for anchor in Walk(corpus, excerpt, 200, 1).anchors(np.arange(30)):
        document, paragraph, sentence = corpus.locate(anchor)
        first, last = store.document_span(document)
        assert first <= anchor.token and anchor.stop <= last
        assert anchor.stop - anchor.token <= room  # no sentence here is longer
        if excerpt.share == 1:
            assert anchor.token in edges and anchor.stop in edges
        if excerpt.kind == "text" and excerpt.share == 1 and last - first <= room:
            assert anchor[1:] == (first, last)
        if excerpt.kind == "sentence":
            assert anchor[1:] == corpus.span(0, sentence)
        if excerpt.share < 1:
            assert anchor.stop - anchor.token <= max(1, (last - first) // 2)
        if excerpt == Excerpt("paragraph"):
            begin, end = corpus.paragraph_span(0, paragraph)
            assert begin <= anchor.token and anchor.stop <= end
            assert end - begin > room or anchor[1:] == (begin, end)


def test_units_are_as_long_as_fits_and_no_scraps(uneven):
    corpus = Corpus([uneven], max_length=64)
    book = uneven.document_span(301)
    sizes = [anchor.stop - anchor.token for anchor in Walk(corpus, Excerpt(), 512, 3).anchors(np.arange(90))
             if book[0] <= anchor.token < book[1]]
    assert np.mean(sizes) > 50 and min(sizes) >= 24  # sentences of 8 tokens


def test_blocks_begin_elsewhere_in_the_next_pass(store):
    walk = Walk(Corpus([store], max_length=32), Excerpt("sentence"), 100, 5)
    first, second = (walk.anchors(np.arange(start, start + walk.blocks[0])) for start in (0, walk.blocks[0]))
    assert sorted(first) == sorted(second) and first != second
    assert walk.anchors(np.array([7])) == [a for a in walk.anchors(np.arange(8)) if a not in walk.anchors(np.arange(7))]


@pytest.mark.parametrize("weights, share", [(None, 0.25), ([2, 1], 2 / 3), ([1, 99], 0.01)])
def test_weights_are_shares_of_tokens_whatever_the_documents(tmp_path, weights, share):
    """Turns of three tokens beside documents of 300."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    short = build_store(tmp_path / "short", [doc("a a a")] * 1000, vocabulary)
    long = build_store(tmp_path / "long", [doc(*["a a a a a a"] * 50)] * 30, vocabulary)
    walk = Walk(Corpus([short, long], weights, max_length=64), Excerpt(), 256, 1)
    tokens: Counter = Counter()
    for store, start, stop in walk.anchors(np.arange(4000)):
        tokens[store] += stop - start
    assert tokens[0] / tokens.total() == pytest.approx(share, rel=0.03)
    assert walk.block_tokens == pytest.approx(tokens.total() / 4000, rel=0.03)


def test_a_pass_over_pairs_takes_every_pair_once(tmp_path):
    store = pair_store(tmp_path / "pairs", [(f"a b{k}", f"c{k}", 0) for k in range(40)], ["but"])
    corpus = Corpus([store])
    documents = [corpus.locate(anchor)[0] for anchor in Walk(corpus, Excerpt(), 512, 5).anchors(np.arange(80))]
    assert sorted(documents[:40]) == sorted(documents[40:]) == list(range(40))
    assert documents[:40] != documents[40:] and corpus.classes == ("but",)


def test_where_a_block_begins(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b", "c d e"), [["f"] * 4, ["g"] * 4, ["h"] * 16]])
    text, paragraph, sentence = Excerpt(), Excerpt("paragraph"), Excerpt("sentence")
    assert [edge(store, token, text, 8) for token in (0, 1, 2, 3, 5)] == [0, 2, 2, 2, 2]  # a document that fits
    assert [edge(store, token, text, 8) for token in (6, 8, 9, 12, 25, 26, 29)] == [2, 2, 6, 9, 22, 26, 26]  # no scraps
    assert [edge(store, token, paragraph, 8) for token in (9, 10, 12, 13, 14)] == [6, 10, 10, 10, 11]
    assert [edge(store, token, sentence, 8) for token in (0, 1, 2, 3, 29)] == [0, 1, 1, 2, 26]


def test_paragraphs_with_few_sentences_are_joined(tmp_path):
    store = build_store(tmp_path / "s", [[["a"], ["b", "c", "d", "e"], ["f"], ["g"]], [["h"], ["i"]]])
    assert paragraph_groups(store, 0, 7, 1) == [(0, 1), (1, 5), (5, 6), (6, 7)]
    assert paragraph_groups(store, 0, 7, 4) == [(0, 7)]
    assert paragraph_groups(store, 0, 7, 2) == [(0, 5), (5, 7)]
    assert paragraph_groups(store, 2, 6, 1) == [(2, 5), (5, 6)]  # a part of the document
    assert paragraph_groups(store, 7, 9, 4) == [(7, 9)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 70))
def test_an_even_cut_takes_every_token_and_fits(sizes, room):
    offsets = np.cumsum([5, *sizes])
    spans = evenly(offsets, room)
    assert spans[0][0] == 5 and spans[-1][1] == offsets[-1]
    assert all(before[1] == after[0] for before, after in zip(spans, spans[1:]))
    assert all(0 < stop - start <= room for start, stop in spans)
    if max(sizes) <= room:
        assert {edge for span in spans for edge in span} <= set(offsets.tolist())
        assert len(spans) <= 2 * -(-sum(sizes) // room)


def test_an_even_cut_by_hand():
    assert evenly(np.array([0, 4, 8, 12]), 12) == [(0, 12)]
    assert evenly(np.array([0, 4, 8, 12, 16]), 12) == [(0, 8), (8, 16)]  # not 12 and 4
    assert evenly(np.array([0, 2, 32, 34]), 10) == [(0, 2), (2, 12), (12, 22), (22, 32), (32, 34)]


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


def test_a_sample_comes_from_all_over(uneven):
    sample = Walk(Corpus([uneven], max_length=32), Excerpt(), 32, 1).sample(50)
    assert len(sample) == 50 and all(isinstance(anchor, Anchor) for anchor in sample)
    assert np.ptp([anchor.token for anchor in sample]) > len(uneven) / 2
