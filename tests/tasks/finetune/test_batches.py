"""Fine-tuning batches: every example once an epoch, the same for any number of cards."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.finetune.labels import Classes
from tasks import finetune
from tasks.finetune.batches import EpochBatches, by_length
from tasks.finetune.features import Features

KIND = finetune.load("classification", Classes(["0", "1"]))


def features(lengths):
    return Features.build([[number + 10] * length for number, length in enumerate(lengths)], lengths,
                          labels=np.arange(len(lengths)) % 2)


def batches(lengths, **options):
    settings = {"seed": 1, "epochs": 2, "batch_size": 4, "batch_unit": "examples", "task_id": 0, "pad_id": 0,
                "micro_tokens": 12, **options}
    return EpochBatches(features(lengths), KIND, **settings)


LENGTHS = [3, 9, 4, 4, 5, 2, 7, 3, 8, 6]


def test_every_example_once_an_epoch_the_last_batch_included():
    source = batches(LENGTHS)
    assert (source.steps, source.ends.tolist()) == (6, [3, 6])
    for epoch in range(2):
        rows = np.concatenate([source.rows(step) for step in range(3 * epoch, 3 * epoch + 3)])
        assert sorted(rows.tolist()) == list(range(10))
    assert source.order(0).tolist() != source.order(1).tolist()
    assert batches(LENGTHS, seed=2).order(0).tolist() != source.order(0).tolist()


def seen(step, size, **options):
    """(example, label) pairs that all ranks see, and how many micro-batches each has."""
    pairs, counts = [], []
    for rank in range(size):
        parts = batches(LENGTHS, rank=rank, size=size, **options).at(step)
        counts.append(len(parts))
        for part in parts:
            targets = part.targets[KIND.name]
            pairs += zip(part.token_ids[targets.positions, 0].tolist(), targets.labels.tolist())
    return sorted(pairs), counts


@pytest.mark.parametrize("step", [0, 2, 5])
def test_any_number_of_cards_sees_the_same_batch(step):
    alone, _ = seen(step, 1)
    for size in 2, 3, 8:
        together, counts = seen(step, size)
        assert together == alone
        assert len(set(counts)) == 1


@pytest.mark.parametrize("step", [0, 2])
def test_tokens_and_hash_of_a_step_do_not_hang_on_the_cards(step):
    """Ranks beyond the number of examples read one of them again, so that all take the same steps."""
    def sums(size):
        parts = [part for rank in range(size) for part in batches(LENGTHS, rank=rank, size=size).at(step)]
        return sum(part.tokens for part in parts), sum(part.row_hash for part in parts)
    assert sums(1) == sums(2) == sums(8) != (0, 0)


@settings(deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=40), st.integers(30, 90))
def test_batches_by_tokens_hold_what_fits(lengths, budget):
    source = batches(lengths, batch_unit="tokens", batch_size=budget)
    rows = [source.rows(step) for step in range(source.steps)]
    assert sorted(np.concatenate(rows).tolist()) == sorted([*range(len(lengths))] * 2)
    assert all(len(part) * max(lengths[row] for row in part) <= budget for part in rows)


def test_prediction_batches_hold_every_example_once():
    parts = by_length(np.array(LENGTHS), 10)
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert parts[0].tolist() == [1]


def padding(source):
    """The share of padding of an epoch."""
    found = [batch for step in range(int(source.ends[0])) for batch in source.at(step)]
    return 1 - sum(batch.tokens for batch in found) / sum(batch.token_ids.size for batch in found)


def test_examples_of_similar_length_share_a_batch():
    lengths = np.random.default_rng(0).gamma(3, 8, 2000).astype(int) + 3
    any_order, similar = (batches(lengths, batch_size=16, similar=many, micro_tokens=10**6) for many in (0, 50))
    assert padding(any_order) > 0.4
    assert padding(similar) < 0.1
    assert similar.steps == any_order.steps
    for epoch in range(2):
        steps = [similar.rows(step) for step in range(125 * epoch, 125 * epoch + 125)]
        assert all(len(rows) == 16 for rows in steps)
        assert sorted(np.concatenate(steps).tolist()) == list(range(2000))
    assert similar.rows(0).tolist() != similar.rows(125).tolist()  # composed anew every epoch
    means = np.array([lengths[similar.rows(step)].mean() for step in range(125)])
    assert abs(np.corrcoef(means, np.arange(125))[0, 1]) < 0.2  # short and long batches alternate at random
    assert batches(lengths, batch_size=16, similar=50).rows(77).tolist() == similar.rows(77).tolist()


@settings(deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 5))
def test_similar_lengths_keep_every_row_and_the_batch_size(lengths, size, similar):
    source = batches(lengths, batch_size=size, similar=similar, epochs=1)
    rows = [source.rows(step) for step in range(source.steps)]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    assert [len(part) for part in rows[:-1]] == [size] * (len(rows) - 1)


CHOICE = finetune.load("multiple_choice", Classes(["0", "1", "2"]))


@pytest.mark.parametrize("options", [{}, {"batch_unit": "tokens", "batch_size": 40}, {"similar": 3}])
@pytest.mark.parametrize("size", [1, 3])
def test_the_choices_of_a_row_stay_together(options, size):
    counts = [3, 2, 3, 3, 2, 2, 3]
    row = np.repeat(np.arange(7), counts)
    made = Features.build([[number + 10] * (3 + number % 5) for number in range(18)], [2] * 18, row,
                          np.array([int(at == 0) for count in counts for at in range(count)]))
    seen = []
    for rank in range(size):
        source = EpochBatches(made, CHOICE, **{"seed": 1, "epochs": 1, "batch_size": 2, "batch_unit": "examples",
                                               "task_id": 0, "pad_id": 0, "micro_tokens": 20, "rank": rank,
                                               "size": size, **options})
        for step in range(source.steps):
            for batch in source.at(step):
                targets = batch.targets["multiple_choice"]
                for places, label in zip(targets.positions.tolist(), targets.labels.tolist()):
                    inputs = [int(batch.token_ids[place, 0]) - 10 for place in places if place >= 0]
                    seen.append(int(row[inputs[0]]))
                    assert inputs == np.flatnonzero(row == seen[-1]).tolist()
                    assert label == 0
    assert sorted(seen) == list(range(7))
