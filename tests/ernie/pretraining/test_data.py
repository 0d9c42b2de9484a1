"""The data of a curriculum: what must agree between training and dev data."""
import pytest

from ernie.pretraining.curriculum import load
from ernie.pretraining.data import PretrainingData
from reader.utils.errors import InputError
from tests.builders import pair_store
from tests.ernie import runs


@pytest.mark.parametrize("dev, message", [
    (("but", "so"), ""), (("but",), ""),
    (("so", "but"), "class 0 is 'so' in the dev data and 'but' in the training data"),
    (("but", "so", "and"), "the dev data have 3 classes, the training data 2"),
])
def test_classes_mean_the_same_on_dev_data(tmp_path, dev, message):
    file = runs.declare(tmp_path, [{"given_label": 3}], pairs={
        "given_label": {"path": str(tmp_path / "pairs"), "dev": str(tmp_path / "pairs-dev")}})
    vocabulary = (tmp_path / "train" / "vocab.txt").read_text().split()
    for path, classes in (("pairs", ("but", "so")), ("pairs-dev", dev)):
        pair_store(tmp_path / path, [("w1 w2 .", "w3 w4 .", k % len(classes)) for k in range(20)], classes, vocabulary)
    if message:
        with pytest.raises(InputError, match=f"pairs-dev: given_label: {message}"):
            PretrainingData(load(file))
    else:
        assert PretrainingData(load(file)).tasks["given_label"].classes == ("but", "so")
