"""Words in messages."""
import pytest

from reader.utils.text import counted


@pytest.mark.parametrize("number, noun, said", [
    (1, "row", "1 row"), (0, "row", "0 rows"), (2000, "step", "2,000 steps"), (1, "epoch", "1 epoch"),
    (10, "epoch", "10 epochs"), (2, "micro-batch", "2 micro-batches"), (1, "process", "1 process"),
    (3, "class", "3 classes"), (2, "entry", "2 entries"), (2, "day", "2 days")])
def test_a_count_is_said_as_a_person_says_it(number, noun, said):
    assert counted(number, noun) == said


def test_an_odd_plural_is_given():
    assert counted(2, "vertex", "vertices") == "2 vertices"
