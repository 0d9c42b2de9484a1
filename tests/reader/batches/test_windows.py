"""What is drawn for a window, and how it is cut into batches."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from reader.batches.corpus import Corpus
from reader.batches.examples import Example
from reader.batches.windows import Windows, cut
from reader.utils.errors import InputError
from tasks.base import SequenceTask
from tests.builders import build_store, doc, random_documents

WHOLE = ("knowledge_masking", "token_document", "sentence_reordering")  # take every token of their units


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("windows") / "store", random_documents(200))


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("batch_tokens, turns", [(1024, 1), (1024, 2), (5000, 2)])
def test_an_epoch_sees_every_token_once(store, name, batch_tokens, turns):
    """Over all lanes and turns, from the batches themselves; at any time some have been seen once more than others."""
    windows = Windows(tasks.load(name), Corpus([store], max_length=64), 1, batch_tokens, size=8, turns=turns)
    seen = np.zeros(len(store), int)
    for n in range(8 * turns * 8):
        for lane in range(windows.lanes):
            window, rows = windows.part(lane, n)
            for row in rows.tolist():
                for start, stop in window.example(row).segments:
                    seen[start:stop] += 1
        if n % (8 * turns) == 8 * turns - 1:  # the windows are used up
            assert seen.max() - seen.min() <= 1
    assert seen.min() >= 1


@pytest.mark.parametrize("lanes, batch_tokens", [(1, 1024), (4, 4096), (5, 5900)])
def test_a_window_holds_each_example_once(store, lanes, batch_tokens):
    windows = Windows(tasks.load("sentence_distance"), Corpus([store], max_length=64), 1, batch_tokens, size=8)
    assert windows.lanes == lanes
    for lane in range(lanes):
        rows = [windows.part(lane, n)[1] for n in range(24, 32)]
        window = windows.part(lane, 24)[0]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(window.lengths)))
        assert window.lengths.sum() == pytest.approx(8 * batch_tokens / lanes, rel=0.15)


def test_lanes_give_a_batch_examples_of_one_length(store):
    windows = Windows(tasks.load("sentence_reordering"), Corpus([store], max_length=64), 1, 8 * 1024, size=16)
    assert windows.lanes == 8
    for n in range(0, 32, 5):
        parts = [windows.part(lane, n) for lane in range(8)]
        means = [window.lengths[rows].mean() for window, rows in parts]
        assert np.ptp(means) < 12


def test_turns_follow_each_other_and_share_no_window(store):
    windows = Windows(tasks.load("knowledge_masking"), Corpus([store], max_length=64), 1, 1024, size=4, turns=2)
    held = {n: id(windows.part(0, n)[0]) for n in range(8)}
    assert len({held[n] for n in (0, 2, 4, 6)}) == len({held[n] for n in (1, 3, 5, 7)}) == 1
    assert held[0] != held[1]
    assert windows.examples(0, 0, 0) != windows.examples(0, 1, 0) != windows.examples(0, 0, 1)


@pytest.mark.parametrize("name", [*WHOLE, "sentence_distance", "next_sentence"])
def test_padding_is_small_without_being_asked(store, name):
    windows = Windows(tasks.load(name), Corpus([store], max_length=64), 1, 1024)
    places = tokens = 0
    for n in range(0, 2 * windows.size, 3):
        window, rows = windows.part(0, n)
        tokens += window.lengths[rows].sum()
        places += len(rows) * window.lengths[rows].max()
    assert 1 - tokens / places < 0.03


class Rare(SequenceTask):
    """Serves one unit in twenty, or none."""

    name = "rare"
    classes = ("x",)

    def __init__(self, every):
        self.every = every

    def example(self, corpus, anchor, rng):
        if not self.every or anchor.token % self.every:
            return None
        return Example(anchor.store, ((anchor.token, anchor.token + 2),), 0)


def test_units_that_do_not_serve_are_passed_over(store):
    windows = Windows(Rare(20), Corpus([store], max_length=64), 1, 512, size=4)
    for number in range(20):
        examples = windows.examples(0, 0, number)
        assert len(examples) >= 4 * windows.least
        assert sum(example.length for example in examples) == pytest.approx(4 * 512, rel=0.5)


def test_a_task_that_finds_no_text_says_so_at_once(store, tmp_path):
    with pytest.raises(InputError, match="rare finds no text that it can make an example of in at most 64 tokens"):
        Windows(Rare(0), Corpus([store], max_length=64), 1, 512)
    short = build_store(tmp_path / "short", [doc("a"), doc("b")])
    with pytest.raises(InputError, match="next_sentence finds no text"):
        Windows(tasks.load("next_sentence"), Corpus([short], max_length=64), 1, 512)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 12), st.integers(1, 4))
def test_cut_is_even_and_never_empty(lengths, parts, least):
    bounds = cut(np.array(lengths), parts, least)
    assert bounds[0] == 0 and bounds[-1] == len(lengths) and len(bounds) == parts + 1
    assert (np.diff(bounds) >= least * (len(lengths) >= parts * least)).all()
    if least == 1 and len(lengths) >= parts and sum(lengths) >= parts * max(lengths):
        shares = np.add.reduceat(lengths, bounds[:-1])
        assert np.abs(shares - sum(lengths) / parts).max() <= max(lengths)
