"""Counter-based randomness: known answers, bijections, evenness."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.batches.sampling import GOLDEN, generator, hash_int, hash_keys, mix, permute, uniform


def test_mix_is_splitmix64():
    # first outputs of the reference splitmix64 with seed 1234567
    state = np.array([1234567 + k * GOLDEN & (1 << 64) - 1 for k in (1, 2, 3)], np.uint64)
    assert mix(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_known_answers():
    """A run is resumed with the numbers that it was begun with: these never change."""
    assert hash_int(0) == 5197578548964807871
    assert hash_int(1, "mask", 7) == 1568361793016226734
    assert permute(np.arange(10), 10, 3).tolist() == [2, 6, 1, 5, 8, 3, 0, 4, 7, 9]
    assert generator(1, "x").integers(1000, size=4).tolist() == [800, 587, 352, 987]


def test_order_and_values_of_parts_matter():
    keys = {hash_int(*parts) for parts in [(1, 2), (2, 1), (1,), (2,), (1, "2"), (0,), (), (0, 0), (-1,), (1 << 63,)]}
    assert len(keys) == 10


def test_arrays_and_scalars_agree():
    assert hash_keys(5, np.arange(4), "a").tolist() == [hash_int(5, k, "a") for k in range(4)]


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_permute_is_a_bijection(size, key):
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


@given(st.integers(1, 2**40), st.integers(0, 2**64 - 1), st.data())
def test_permute_stays_inside_any_size(size, key, data):
    index = data.draw(st.integers(0, size - 1))
    assert 0 <= permute(index, size, key)[0] < size


def test_permute_with_a_key_for_each_index():
    keys = np.arange(50, dtype=np.uint64)
    assert permute(np.full(50, 3), 1000, keys).tolist() == [int(permute(3, 1000, k)[0]) for k in range(50)]


def test_permutations_reach_every_place_evenly():
    reached = permute(np.full(20000, 7), 10, np.arange(20000, dtype=np.uint64))
    counts = np.bincount(reached, minlength=10)
    assert np.abs(counts - 2000).max() < 200


def test_permute_refuses_nothing_to_permute():
    with pytest.raises(ValueError, match="at least 1"):
        permute(0, 0, 1)


def test_uniform_is_even():
    values = uniform(hash_keys("even", np.arange(100_000)))
    assert values.min() >= 0 and values.max() < 1
    assert np.abs(np.histogram(values, 20, (0, 1))[0] - 5000).max() < 350
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
