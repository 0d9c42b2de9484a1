"""Learning rates, worked by hand."""
import pytest

from ernie.training.settings import Schedule
from reader.utils.errors import InputError


def test_noam_of_the_paper():
    rate = Schedule("noam", 5e-5, 4000, 50000)
    assert rate(1) == pytest.approx(1.25e-8)
    assert rate(2000) == pytest.approx(2.5e-5)
    assert rate(4000) == pytest.approx(5e-5)
    assert rate(16000) == pytest.approx(2.5e-5)  # four times the warm-up: half the peak


def test_linear_warms_up_and_ends_near_zero():
    rate = Schedule("linear", 1.0, 10, 100)
    assert rate(5) == 0.5 and rate(10) == 1.0
    assert rate(100) == pytest.approx(1 / 91)
    assert all(rate(k) > rate(k + 1) > 0 for k in range(10, 100))


def test_linear_without_warmup_starts_at_the_peak():
    assert Schedule("linear", 1.0, 0, 10)(1) == pytest.approx(10 / 11)


def test_constant():
    assert {Schedule("constant", 3e-5, 0, 100)(k) for k in (1, 50, 100)} == {3e-5}


def test_an_unknown_schedule_is_named():
    with pytest.raises(InputError, match="'cosine' is not one of noam, linear, constant"):
        Schedule("cosine", 1.0, 0, 1)
