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
    settings = {"seed": 1, "epochs": 2, "batch_size": 4, "unit": "examples", "task_id": 0, "pad_id": 0,
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


@settings(deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=40), st.integers(30, 90))
def test_batches_by_tokens_hold_what_fits(lengths, budget):
    source = batches(lengths, unit="tokens", batch_size=budget)
    rows = [source.rows(step) for step in range(source.steps)]
    assert sorted(np.concatenate(rows).tolist()) == sorted([*range(len(lengths))] * 2)
    assert all(len(part) * max(lengths[row] for row in part) <= budget for part in rows)


def test_prediction_batches_hold_every_example_once():
    parts = by_length(np.array(LENGTHS), 10)
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert parts[0].tolist() == [1]
