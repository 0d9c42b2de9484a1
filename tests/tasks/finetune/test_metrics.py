"""Metrics against cases worked out by hand, and against degenerate predictions."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.finetune import metrics


def test_classification_by_hand():
    gold, found = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]  # 2 true positives, 1 false positive, 1 false negative
    assert metrics.accuracy(gold, found) == pytest.approx(3 / 5)
    assert metrics.f1(gold, found) == pytest.approx(2 / 3)
    assert metrics.matthews(gold, found) == pytest.approx((2 * 1 - 1 * 1) / 6)


@pytest.mark.parametrize("constant", [0, 1])
def test_one_class_only_gives_a_number(constant):
    gold, found = [0, 1, 1], [constant] * 3
    assert metrics.matthews(gold, found) == 0
    assert metrics.f1(gold, found) == pytest.approx(0.8 if constant else 0)
    assert metrics.pearson(gold, found) == metrics.spearman(gold, found) == 0
    assert metrics.pearson([1.0], [1.0]) == 0


def test_correlations_by_hand():
    assert metrics.pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 3], [1, 8, 9]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)


def test_mrr_by_hand():
    # q1: right one second; q2: right ones third and first; q3: none
    groups = ["q1", "q1", "q2", "q3", "q2", "q2"]
    scores = [0.9, 0.5, 0.1, 0.5, 0.8, 0.4]
    labels = [0, 1, 1, 0, 1, 0]
    assert metrics.mrr(groups, np.array(scores), np.array(labels)) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert metrics.mrr(["q", "q"], np.array([0.5, 0.5]), np.array([0, 1])) == pytest.approx(1 / 2)


def test_entities_by_hand():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    found = [["B-PER", "I-PER", "O", "O"], ["B-LOC", "I-LOC"]]  # 1 right of 2 found, of 3 there are
    scores = metrics.entities(gold, found)
    assert scores["entity_precision"] == pytest.approx(1 / 2)
    assert scores["entity_recall"] == pytest.approx(1 / 3)
    assert scores["entity_f1"] == pytest.approx(0.4)
    assert metrics.entities([["O"]], [["O"]])["entity_f1"] == 0


def test_segments_mix_characters_and_words():
    assert metrics.segments("2018年，ω-Force 和 光荣。") == ["2018", "年", "ωforce", "和", "光", "荣"]


@pytest.mark.parametrize(("text", "expected"), [
    ("364.6公里", "364.6 公 里"),
    ("约1,000米, 20%", "约 1,000 米 , 20 %"),
    ("Henry A. Walsh.", "henry a. walsh ."),
    ("U.S.A好", "u.s.a 好"),
    ("I don't know, it's Ann's", "i do n't know , it 's ann 's"),
    ("（28℃）...", "28℃ ..."),
    ("(a)b", "( a ) b"),
    ("，", ""),
])
def test_words_are_those_of_the_published_scorer(text, expected):
    assert metrics.segments(text) == expected.split()


def test_part_of_a_number_is_no_common_run():
    # 3.5 and 3 are different words: 米 alone is common, 1 of 2 on both sides
    assert metrics.overlap_f1(["3.5米"], "3米") == pytest.approx(0.5)


def test_cmrc_scores_by_hand():
    assert metrics.exact_match(["光荣和ω-force", "x"], "光荣和 ω-Force。".replace(" ", "")) == 1
    assert metrics.exact_match(["光荣"], "光荣公司") == 0
    # longest common run: 光荣 of 光荣公司 (4) and of 光荣 (2)
    assert metrics.overlap_f1(["光荣"], "光荣公司") == pytest.approx(2 * (2 / 4) * 1 / (2 / 4 + 1))
    # a common run, not a subsequence: 光 荣 stand apart in the prediction
    assert metrics.overlap_f1(["光荣"], "光大荣") == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert metrics.overlap_f1(["好"], "") == metrics.overlap_f1(["，"], "，") == 0


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_longest_common_run_agrees_with_trying_all(a, b):
    runs = {tuple(a[i:j]) for i in range(len(a) + 1) for j in range(i, len(a) + 1)}
    expected = max((len(run) for run in runs if any(tuple(b[k:k + len(run)]) == run for k in range(len(b) + 1))),
                   default=0)
    assert metrics._longest_common_run(a, b) == expected
