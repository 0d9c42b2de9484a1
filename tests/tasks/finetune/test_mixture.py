"""Steps of several tasks: how many each gets, in what order, and which of its batches."""
import numpy as np
import pytest

from reader.finetune.labels import Classes
from reader.utils.errors import InputError
from tasks import finetune as kinds
from tasks.finetune.batches import EpochBatches
from tasks.finetune.features import Features
from tasks.finetune.mixture import Mixture, counts, shares

KIND = kinds.load("classification", Classes(["0", "1"]))
ROWS = {"mnli": 40, "cola": 10, "rte": 5}


def make(name, passes, seed=1, rank=0, size=1, batch_unit="examples"):
    """Batches of 4 of ``ROWS[name]`` rows; the second token of a row is its number."""
    ids = [[2, 10 + row, 3] for row in range(ROWS[name])]
    features = Features.build(ids, [1] * len(ids), list(range(len(ids))), np.zeros(len(ids), np.int64))
    return EpochBatches(features, KIND, seed=seed, epochs=passes, batch_size=4 if batch_unit == "examples" else 12,
                        batch_unit=batch_unit,
                        task_id=0, pad_id=0, micro_tokens=100, rank=rank, size=size)


def rows(batches):
    return [row for batch in batches for row in (batch.token_ids[:, 1] - 10).tolist()]


def test_shares_and_counts_by_hand():
    sizes = {"mnli": 90, "cola": 9, "rte": 1}
    assert shares("1", sizes) == pytest.approx({"mnli": 0.9, "cola": 0.09, "rte": 0.01})
    assert shares("0.5", sizes) == pytest.approx({"mnli": 9.487 / 13.487, "cola": 3 / 13.487, "rte": 1 / 13.487},
                                                 rel=1e-3)
    assert shares("0", sizes) == pytest.approx(dict.fromkeys(sizes, 1 / 3))
    assert shares("rte=1, mnli=2,cola=1", sizes) == {"mnli": 0.5, "cola": 0.25, "rte": 0.25}
    assert counts({"mnli": 0.5, "cola": 0.25, "rte": 0.25}, 10) == {"mnli": 5, "cola": 3, "rte": 2}
    assert counts({"mnli": 0.99, "cola": 0.009, "rte": 0.001}, 10) == {"mnli": 10, "cola": 1, "rte": 1}
    for bad in ("x", "-1", "nan", "11", "mnli=1", "mnli=1,cola=1,rte=0", "mnli=1,cola=1,rte=1,rte=2",
                "mnli=1,cola=1,qqp=1"):
        with pytest.raises(InputError, match="expected an exponent from 0 to 10, or a positive weight"):
            shares(bad, sizes)


def test_with_exponent_one_every_row_comes_once_an_epoch():
    mixture = Mixture(make, list(ROWS), "1", seed=3, epochs=2)
    assert mixture.counts == {"mnli": 10, "cola": 3, "rte": 2}
    assert (mixture.length, mixture.steps, mixture.ends.tolist()) == (15, 30, [15, 30])
    for epoch in 0, 1:
        seen = {name: [] for name in ROWS}
        for step in range(15 * epoch, 15 * epoch + 15):
            batches = mixture.at(step)
            assert mixture.epoch(step) == epoch
            assert {name for batch in batches for name in batch.targets} == {batches[0].task}
            seen[batches[0].task] += rows(batches)
        assert {name: sorted(found) for name, found in seen.items()} == {name: [*range(n)] for name, n in ROWS.items()}
    assert mixture.order(0).tolist() != mixture.order(1).tolist()


def test_the_order_is_that_of_the_generator_and_the_batches_are_the_tasks_own():
    mixture = Mixture(make, list(ROWS), "mnli=1,cola=1,rte=1", seed=7, epochs=3)
    assert mixture.counts == {"mnli": 5, "cola": 5, "rte": 5}
    expected, taken = [], dict.fromkeys(ROWS, 0)
    for epoch in range(3):
        generator = np.random.Generator(np.random.Philox(key=[7, (0x3137 << 32) + epoch]))
        expected += generator.permutation(np.array([0] * 5 + [1] * 5 + [2] * 5)).tolist()
    assert [list(ROWS).index(mixture.drawn(step)[0]) for step in range(45)] == expected
    for step in range(45):
        name = list(ROWS)[expected[step]]
        own = make(name, 9)
        assert mixture.drawn(step) == (name, taken[name])
        assert rows(mixture.at(step)) == rows(own.at(taken[name]))
        taken[name] += 1
    assert rows(mixture.at(20)) == rows(Mixture(make, list(ROWS), "0", seed=7, epochs=3).at(20))  # from nothing before


def test_ranks_share_a_step_and_token_batches_suffice():
    ranks = [Mixture(lambda name, passes, rank=rank: make(name, passes, rank=rank, size=2), list(ROWS), "0.5", seed=5,
                     epochs=2) for rank in (0, 1)]
    one = Mixture(make, list(ROWS), "0.5", seed=5, epochs=2)
    for step in range(one.steps):
        assert ranks[0].drawn(step) == ranks[1].drawn(step) == one.drawn(step)
        shared = [row for rank in ranks for batch in rank.at(step) if not batch.silent for row in rows([batch])]
        assert sorted(shared) == sorted(rows(one.at(step)))
    tokens = Mixture(lambda name, passes: make(name, passes, batch_unit="tokens"), list(ROWS),
                     "rte=9,mnli=1,cola=1", seed=5, epochs=4)
    assert all(tokens.at(step) for step in range(tokens.steps))
