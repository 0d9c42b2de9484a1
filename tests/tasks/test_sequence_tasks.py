"""Examples and labels of the sequence-level tasks, stated by hand and proved on real text."""
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor
from reader.batches.sampling import generator
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tests.builders import build_store, doc, pair_store


def words(corpus, example) -> list[str]:
    return [corpus.text(example.store, *segment) for segment in example.segments]


def many(task, corpus, count, seed=1, pick=None):
    """Drawn examples, over the whole corpus or from one anchor."""
    rng = generator(seed)
    anchors = corpus.anchors(np.arange(count), seed) if pick is None else [pick] * count
    return [task.example(corpus, anchor, rng) for anchor in anchors]


# -- sentence reordering ---------------------------------------------------------------------------------------


def test_labels_of_permutations():
    task = tasks.load("sentence_reordering")
    assert len(task.classes) == 33
    assert [task.label_of(order) for order in [(0,), (0, 1), (1, 0), (0, 1, 2), (0, 2, 1), (2, 1, 0), (0, 1, 2, 3),
                                               (0, 1, 3, 2), (1, 0, 2, 3), (3, 2, 1, 0)]] == [
        0, 1, 2, 3, 4, 8, 9, 10, 15, 32]
    assert task.restore(task.label_of((2, 0, 1))) == [1, 2, 0]
    assert len(tasks.load("sentence_reordering", {"m": 3}).classes) == 9


def test_reordering_of_a_paragraph_by_hand(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b", "c d e", "f", "g h")])
    corpus, task = Corpus([store]), tasks.load("sentence_reordering")
    texts = ["a b", "c d e", "f", "g h"]
    seen = {}
    for example in many(task, corpus, 500, pick=Anchor(0, 3)):
        assert example.length == 1 + len(example.segments) + 8  # the whole paragraph, each time
        seen[example.label] = words(corpus, example)
    assert seen[0] == ["a b c d e f g h"]
    assert seen[32] == ["g h", "f", "c d e", "a b"]
    assert seen[task.label_of((2, 0, 3, 1))] == [texts[2], texts[0], texts[3], texts[1]]
    assert set(seen) == set(range(33))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_the_label_restores_the_order_on_real_text(real_store, seed):
    corpus, task = Corpus([real_store], max_length=128), tasks.load("sentence_reordering")
    edges = set(real_store.sentences.tolist())
    for example in many(task, corpus, 30, seed):
        restored = [example.segments[k] for k in task.restore(example.label)]
        assert all(before[1] == after[0] for before, after in zip(restored, restored[1:]))
        assert all(start in edges and stop in edges and start < stop for start, stop in restored)
        assert len(restored) == len(task.orders[example.label]) and example.length <= 128
        first, last = (corpus.locate(Anchor(0, token))[0] for token in (restored[0][0], restored[-1][1] - 1))
        assert first == last


def test_labels_are_even_on_real_text(real_store):
    corpus = Corpus([real_store], max_length=128)
    counts = Counter(example.label for example in many(tasks.load("sentence_reordering"), corpus, 3300))
    assert set(counts) == set(range(33)) and min(counts.values()) > 55 and max(counts.values()) < 150


def test_which_text_is_reordered(tmp_path):
    """The anchor's paragraph; else a near one that is long enough; else sentences across paragraphs."""
    store = build_store(tmp_path / "s", [[["a"], ["b", "c", "d", "e"], ["f"]], [["g"], ["h", "i"], ["j"]], [["k"]]])
    corpus, task = Corpus([store]), tasks.load("sentence_reordering")

    def text_of(token, n):
        chosen = [e for e in many(task, corpus, 300, pick=Anchor(0, token)) if len(e.segments) == n]
        return {" ".join(words(corpus, e)[k] for k in task.restore(e.label)) for e in chosen}

    assert text_of(2, 4) == text_of(0, 4) == text_of(5, 4) == {"b c d e"}
    assert text_of(5, 1) == {"f"}
    assert text_of(6, 4) == {"g h i j"} and text_of(6, 2) == text_of(9, 2) == {"h i"}
    assert text_of(10, 4) <= {"b c d e", "g h i j"}  # a document of one sentence: another place is taken


def test_a_run_of_a_long_paragraph(tmp_path):
    store = build_store(tmp_path / "s", [doc(*[f"w{k} x y z" for k in range(200)])])
    corpus = Corpus([store], max_length=32)
    starts = set()
    for example in many(tasks.load("sentence_reordering"), corpus, 100):
        assert 20 <= example.length <= 32
        starts.add(min(start for start, _ in example.segments))
    assert len(starts) > 50


def test_no_text_to_reorder(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b c"), doc("d e")])
    with pytest.raises(InputError, match="finds no [234] consecutive sentences that fit in 16 tokens"):
        many(tasks.load("sentence_reordering"), Corpus([store], max_length=16), 20)
    with pytest.raises(InputError, match="m 9 is not between"):
        tasks.load("sentence_reordering", {"m": 9})


# -- sentence distance -----------------------------------------------------------------------------------------


def test_distance_by_hand(tmp_path):
    store = build_store(tmp_path / "s", [[["a", "b"], ["c", "d"]], doc("x", "y")])
    corpus = Corpus([store])
    found = {label: set() for label in range(3)}
    for example in many(tasks.load("sentence_distance"), corpus, 400, pick=Anchor(0, 1)):
        found[example.label].add(" ".join(words(corpus, example)))
    assert found == {0: {"b c"}, 1: {"b d"}, 2: {"b x", "b y"}}
    found = {label: set() for label in range(3)}
    for example in many(tasks.load("sentence_distance"), corpus, 400, pick=Anchor(0, 3)):
        found[example.label].add(" ".join(words(corpus, example)))
    assert found == {0: {"c d"}, 1: {"d a", "d b"}, 2: {"d x", "d y"}}


def test_distances_are_what_they_say_on_real_text(real_store):
    corpus, counts = Corpus([real_store], max_length=64), Counter()
    for example in many(tasks.load("sentence_distance"), corpus, 3000):
        (d0, _, s0), (d1, _, s1) = (corpus.locate(Anchor(0, start)) for start, _ in example.segments)
        expected = 2 if d0 != d1 else 0 if s1 == s0 + 1 else 1
        assert example.label == expected and not (expected == 1 and abs(s0 - s1) < 2)
        assert example.length <= 64
        counts[example.label] += 1
    assert all(abs(count - 1000) < 110 for count in counts.values())


def test_one_document_has_no_other(tmp_path):
    store = build_store(tmp_path / "s", [doc("a", "b", "c")])
    with pytest.raises(InputError, match="no pair of class 'different documents'"):
        many(tasks.load("sentence_distance"), Corpus([store]), 20)


# -- next sentence ---------------------------------------------------------------------------------------------


def test_next_sentence(real_store):
    corpus, counts = Corpus([real_store], max_length=64), Counter()
    for example in many(tasks.load("next_sentence"), corpus, 600):
        (start, stop), (begin, end) = example.segments
        documents = [corpus.locate(Anchor(0, token))[0] for token in (start, begin)]
        assert (stop == begin) == (example.label == 0) and (documents[0] != documents[1]) == (example.label == 1)
        assert example.length <= 64 and stop > start and end > begin
        counts[example.label] += 1
    assert abs(counts[0] - 300) < 60


# -- discourse relation ----------------------------------------------------------------------------------------


def test_discourse_by_hand(tmp_path):
    store = pair_store(tmp_path / "p", [("a b", "c", 1), ("d", "e f", 0), ("g", "h", 2)], ["but", "so", "then"])
    corpus, task = Corpus([store]), tasks.load("discourse_relation")
    task.bind(corpus)
    assert task.classes == ("but", "so", "then")
    assert sorted((words(corpus, e), task.explain(e.label)) for e in many(task, corpus, 3)) == [
        (["a b", "c"], "so"), (["d", "e f"], "but"), (["g", "h"], "then")]
    long = Corpus([pair_store(tmp_path / "q", [("a " * 50, "b " * 9, 0)], ["but"])], max_length=31)
    assert [stop - start for start, stop in many(task, long, 1)[0].segments] == [19, 9]


def test_discourse_needs_pairs(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b")])
    with pytest.raises(InputError, match="discourse_relation draws from pairs .*this is a store of documents"):
        tasks.load("discourse_relation").bind(Corpus([store]))


@pytest.mark.parametrize("name", ["sentence_reordering", "sentence_distance", "next_sentence", "token_document"])
def test_running_text_is_not_made_of_pairs(tmp_path, name):
    store = pair_store(tmp_path / "p", [("a", "b", 0)], ["but"])
    with pytest.raises(InputError, match=f"p: {name} draws from running text .*this is a store of pairs"):
        tasks.load(name).bind(Corpus([store]))
    with pytest.raises(InputError, match="needs queries and titles .*not pairs of the classes but"):
        tasks.load("ir_relevance").bind(Corpus([store]))


# -- IR relevance ----------------------------------------------------------------------------------------------

CLASSES = ["clicked", "shown", "unrelated"]


@pytest.fixture
def log(tmp_path):
    """Three queries: clicked and shown titles; one that is shown for two queries; one with a clicked title only."""
    return build_store(tmp_path / "log", [[["q"], ["a"], ["b"], ["same"]], [["r"], ["c"], ["same"]], [["s"], ["d"]]],
                       labels=[[IGNORE, 0, 1, 1], [IGNORE, 0, 1], [IGNORE, 0]], classes=CLASSES)


def test_relevance_by_hand(log):
    corpus, task = Corpus([log]), tasks.load("ir_relevance")
    task.bind(corpus)
    found = {}
    for example in many(task, corpus, 2000):
        found.setdefault((words(corpus, example)[0], example.label), set()).add(words(corpus, example)[1])
    assert found == {("q", 0): {"a"}, ("q", 1): {"b", "same"}, ("q", 2): {"c", "d"},
                     ("r", 0): {"c"}, ("r", 1): {"same"}, ("r", 2): {"a", "b", "d"},
                     ("s", 0): {"d"}, ("s", 2): {"a", "b", "c", "same"}}


def test_relevance_classes_are_even_where_a_query_has_all(log):
    examples = many(tasks.load("ir_relevance"), Corpus([log]), 900, pick=Anchor(0, 0))
    assert all(abs(count - 300) < 60 for count in Counter(e.label for e in examples).values())


def test_relevance_needs_other_queries(tmp_path):
    store = build_store(tmp_path / "log", [[["q"], ["a"]]], labels=[[IGNORE, 0]], classes=CLASSES)
    with pytest.raises(InputError, match="more queries are needed"):
        many(tasks.load("ir_relevance"), Corpus([store]), 20)


def test_orders_are_lexicographic():
    orders = tasks.load("sentence_reordering").orders
    assert orders[9:] == sorted(permutations(range(4)))


def test_relevance_of_real_judgements(real_store, data, tmp_path):
    """Cranfield as a log: strongly relevant titles were clicked, weakly relevant ones shown; looked up again."""
    from reader.store.pairs import build_relevance
    judgements = data("relevance/query_title_relevance.tsv").read_text("utf-8")
    rows = [line.split("\t") for line in judgements.splitlines()[1:]]
    (tmp_path / "log.tsv").write_text("".join(f"{query}\t{title}\t{int(code in ('1', '2', '-1'))}\n"
                                              for _, query, _, title, code in rows), "utf-8")
    build_relevance([tmp_path / "log.tsv"], real_store.path, tmp_path / "ir")
    corpus, task = Corpus([tmp_path / "ir" / "train"], max_length=128), tasks.load("ir_relevance")
    task.bind(corpus)
    shown = {}
    store = corpus.stores[0]
    for document in range(len(store.documents) - 1):
        first, last = store.documents[document:document + 2]
        texts = [corpus.text(0, *corpus.paragraph_span(0, paragraph)) for paragraph in range(first, last)]
        shown[texts[0]] = dict(zip(texts[1:], store.labels[first + 1:last].tolist()))
    counts = Counter()
    for example in many(task, corpus, 2000):
        query, title = words(corpus, example)
        counts[example.label] += 1
        assert shown[query].get(title, 2) == example.label
    assert min(counts.values()) > 300
