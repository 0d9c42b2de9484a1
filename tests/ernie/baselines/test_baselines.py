"""Shallow baselines: figures stated by hand, and the traces of leaks that were built in on purpose."""
import json

import numpy as np
import pytest

from ernie.baselines import sequences, tables
from ernie.baselines.run import RunBaselines, shallow_baselines
from ernie.baselines.samples import NOTHING, sequence_sample, take, texts, token_sample
from ernie.training.metrics import Baseline
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.utils.errors import InputError
from tasks import load
from tasks.base import SequenceTask
from tests.builders import build_store, random_documents


def batches(task, store, **settings) -> Batches:
    settings = {"seed": 1, "task_id": 0, "batch_tokens": 512, **settings}
    return Batches(task, [task] if task.level == "token" else [], Corpus([store], max_length=64), **settings)


@pytest.fixture
def store(tmp_path):
    return build_store(tmp_path / "s", random_documents(80))


def test_token_samples_hold_what_stands_beside_each_target(store):
    source = batches(load("capitalization"), store)
    taken = take(source, 2000, 10**9)
    sample = token_sample(taken, "capitalization", source.specials.sep_id)
    texts_of = [row[1:length - 1] for batch in taken for row, length in zip(batch.token_ids, batch.lengths)]
    assert np.array_equal(sample.read, np.concatenate(texts_of))
    expected = np.concatenate([np.r_[NOTHING, text[:-1]] for text in texts_of])
    assert np.array_equal(sample.left, expected)
    assert np.array_equal(sample.right, np.concatenate([np.r_[text[1:], NOTHING] for text in texts_of]))
    assert np.array_equal(sample.size, np.concatenate([np.full(len(text), len(text)) for text in texts_of]))
    assert np.array_equal(sample.place, np.concatenate([np.arange(len(text)) for text in texts_of]))


def test_sequence_samples_hold_the_segments(store):
    source = batches(load("sentence_reordering"), store)
    taken = take(source, 2000, 10**9)
    sample = sequence_sample(taken, "sentence_reordering", source.specials.sep_id)
    assert len(sample) == sum(len(batch.lengths) for batch in taken)
    rows = [row[:length] for batch in taken for row, length in zip(batch.token_ids, batch.lengths)]
    for row, segments in zip(rows, sample.segments()):
        joined = [source.specials.cls_id]
        for segment in segments:
            joined += [*segment.tolist(), source.specials.sep_id]
        assert joined == row.tolist()


def test_masked_text_is_restored(store):
    source = batches(load("knowledge_masking", {"basic": 0.5}), store)
    taken = take(source, 2000, 10**9)
    ids, left = texts(taken, "knowledge_masking")
    whole = batches(load("capitalization"), store)
    assert source.specials.mask_id not in ids
    assert np.isin(ids, whole.corpus.stores[0].ids).all() and (left == NOTHING).sum() == sum(
        len(batch.lengths) for batch in taken)
    assert len(ids) == sum(batch.tokens - 2 * len(batch.lengths) for batch in taken)


def table_sample(read, labels, left=None, right=None):
    from ernie.baselines.samples import TokenSample
    read = np.array(read)
    none = np.full(len(read), NOTHING)
    return TokenSample(np.array(labels), read, none if left is None else np.array(left),
                       none if right is None else np.array(right), *(np.zeros(len(read), np.int64) for _ in range(4)))


def test_the_label_of_a_token_is_its_most_frequent_one():
    train = table_sample([5, 5, 5, 6, 6, 7], [1, 1, 0, 0, 0, 0])
    dev = table_sample([5, 5, 6, 8], [1, 0, 0, 0])  # token 8 is new: the label of most
    found = tables.label_of_token(train, dev, 2)
    assert found.accuracy == 0.75
    prior = np.array([4, 2]) / 6
    chances = [(2 + prior[1]) / 4, (1 + prior[0]) / 4, (2 + prior[0]) / 3, prior[0]]
    assert found.loss == pytest.approx(-np.log(chances).mean())


def test_the_label_of_a_pair_falls_back_to_that_of_the_token():
    train = table_sample([5, 5, 5, 5, 6], [1, 1, 1, 0, 0], left=[7, 7, 7, 8, 8])
    dev = table_sample([5, 5, 5, 6], [0, 1, 1, 0], left=[8, 7, 9, 9])  # seen, seen, unseen, unseen
    found = tables.label_of_token_and_left(train, dev, 2)
    assert found.accuracy == 1.0
    overall = np.array([2, 3]) / 5
    five = (np.array([1, 3]) + overall) / 5
    six = (np.array([1, 0]) + overall) / 2
    chances = [(1 + five[0]) / 2, (3 + five[1]) / 4, five[1], six[0]]
    assert found.loss == pytest.approx(-np.log(chances).mean())


def test_unigrams_and_bigrams_by_hand():
    mask, size = 0, 10
    ids = np.array([5, 6, 5, 6, 5, 6, 7, 8, 5, 6])
    left = np.r_[NOTHING, ids[:-1]]
    train = table_sample([mask, mask], [5, 6])
    dev = table_sample([mask, mask], [6, 5], left=[5, mask], right=[7, 6])
    found = {b.name: b for b in tables.masked_lm(train, dev, (ids, left), size, mask)}
    unigram = (np.bincount(ids, minlength=size) + 0.5) / (10 + 5)
    assert found["unigrams"].loss == pytest.approx(-np.log(unigram[[6, 5]]).mean())
    assert found["unigrams"].accuracy == 0.5  # always token 5
    best = min(-np.log([(4 + w * unigram[6]) / (4 + w), unigram[5]]).mean() for w in tables.PSEUDOCOUNTS)
    assert found["bigrams, left neighbour"].loss == pytest.approx(best)  # 5 is always followed by 6
    assert found["bigrams, left neighbour"].accuracy == 1.0
    assert found["bigrams, right neighbour"].accuracy == 1.0


def test_a_target_that_was_left_as_it_is_can_be_copied():
    mask = 0
    ids = np.arange(1, 9).repeat(5)
    train = table_sample([mask] * 8 + [1, 2], [1, 2, 3, 4, 5, 6, 7, 8, 1, 5])  # of the unmasked, one in two is right
    dev = table_sample([mask, 3], [4, 3])
    found = {b.name: b for b in tables.masked_lm(train, dev, (ids, np.full(40, NOTHING)), 9, mask)}
    unigram = 5.5 / 44.5
    assert found["unigrams, and the token as read"].loss == pytest.approx(
        -np.log([unigram, 0.5 + 0.5 * unigram]).mean())
    assert found["unigrams, and the token as read"].accuracy >= 0.5


class Leaky(SequenceTask):
    """A task whose label is given away by ``how``."""

    name, classes, sources = "leaky", ("a", "b"), ("documents",)

    def __init__(self, how):
        self.how = how

    def example(self, corpus, anchor, rng):
        label = int(rng.integers(2))
        start = int(rng.integers(len(corpus.stores[anchor.store]) - 60))
        size = 5 + int(rng.integers(10)) + (10 if self.how == "lengths" and label else 0)
        second = start if self.how == "overlap" and label else start + 30
        return corpus.pair(anchor.store, (start, start + size), (second, second + size), label)

    def rules(self, segments):
        return {"the second is no shorter": int(len(segments[0]) <= len(segments[1]))}


@pytest.mark.parametrize("how, name", [("lengths", "lengths"), ("overlap", "overlap of the segments")])
def test_a_leak_that_was_built_in_is_found(tmp_path, how, name):
    store = build_store(tmp_path / "s", random_documents(200, words=2000))
    task = Leaky(how)
    found = {b.name: b.accuracy for b in shallow_baselines(task, batches(task, store), batches(task, store, seed=2), 30,
                                                           2100)}
    assert found[name] > 0.95 and "number of segments" not in found  # always two
    if how == "overlap":
        assert found["lengths"] < 0.6
    assert found["the second is no shorter"] == pytest.approx(0.5, abs=0.06)


def test_number_of_segments_and_identity_order_are_baselines_of_reordering(store):
    task = load("sentence_reordering")
    assert task.rules([np.array([1]), np.array([2]), np.array([3])]) == {"identity order": 3}
    found = shallow_baselines(task, batches(task, store), batches(task, store, seed=2), 10, 64)
    names = [baseline.name for baseline in found]
    assert {"number of segments", "identity order", "bag of words by segment"} <= set(names)
    assert [b.accuracy for b in found] == sorted((b.accuracy for b in found), reverse=True)


def test_a_single_class_needs_no_classifier():
    assert sequences.fit("x", np.zeros((4, 1)), np.ones(4, int), np.zeros((2, 1)), np.array([1, 0])).accuracy == 0.5


def test_a_label_that_training_data_lack_is_no_error():
    values = np.arange(400.0)[:, None]
    found = sequences.fit("x", values, np.repeat([0, 2], 200), values, np.repeat([0, 1, 2, 3], 100))
    assert found.accuracy == pytest.approx(0.5, abs=0.01)


def test_a_run_computes_its_baselines_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return [Baseline("unigrams", 0.1, 6.5, True), Baseline("worse", 0.1, 7.0, True)]

    assert RunBaselines(tmp_path).complete({"a": compute})["a"].figure == "loss 6.500"
    again = RunBaselines(tmp_path).complete({"a": compute, "b": list, "c": lambda: [Baseline("x", 0.5)]})
    assert len(calls) == 1 and set(again) == {"a", "c"} and again["c"].figure == "50.0%"
    content = json.loads((tmp_path / "baselines.json").read_text())
    assert [entry["name"] for entry in content["tasks"]["a"]] == ["unigrams", "worse"]
    (tmp_path / "baselines.json").write_text("{}")
    with pytest.raises(InputError, match="may be deleted"):
        RunBaselines(tmp_path)
