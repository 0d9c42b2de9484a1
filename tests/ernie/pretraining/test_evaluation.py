"""Dev metrics beside a count by hand over the same model and batches."""
import json

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel, to_tensors  # noqa: E402
from ernie.pretraining.curriculum import load  # noqa: E402
from ernie.pretraining.data import PretrainingData  # noqa: E402
from ernie.pretraining.evaluation import measure, run_baselines  # noqa: E402
from ernie.training.distributed import World  # noqa: E402
from ernie.training.metrics import Baseline  # noqa: E402
from tests.ernie import runs  # noqa: E402

COUNT = 3


@pytest.fixture
def made(tmp_path):
    """(model, dev batches, data) of a small run; the masked-LM head answers with a full stop most of the time."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 2, "capitalization": 2, "sentence_distance": 2}])
    data = PretrainingData(load(file))
    paddle.seed(1)
    model = PretrainingModel(ErnieConfig.load(tmp_path / "model.json"), data.tasks)
    bias = np.zeros(64, np.float32)
    bias[data.corpus("knowledge_masking").vocabulary.index(".")] = 5.0
    model.cls.predictions.decoder_bias.set_value(bias)
    return model, {name: data.batches(name, [name], 1, dev=True) for name in data.tasks}, data


def targets(model, source, name):
    """([n] labels, [n] predictions, [n] groups or nothing) over the dev batches, from the scores of the model."""
    model.eval()
    labels, found, groups = [], [], []
    for number in range(COUNT):
        for batch in source.at(number):
            batch.targets = {name: batch.targets[name]}
            labels += batch.targets[name].labels.tolist()
            found += model.logits(**to_tensors(batch))[name].numpy().argmax(-1).tolist()
            groups += [] if batch.targets[name].groups is None else batch.targets[name].groups.tolist()
    return np.array(labels), np.array(found), np.array(groups)


def test_metrics_are_those_counted_by_hand(made):
    model, dev, data = made
    baseline = Baseline("lengths", 0.5)
    metrics = measure(model, dev, COUNT, data.tasks, World(), {"sentence_distance": baseline})
    assert metrics["sentence_distance"].baseline is baseline and metrics["capitalization"].baseline is None
    for name, source in dev.items():
        labels, found, _ = targets(model, source, name)
        assert metrics[name].targets == len(labels) > 20
        assert metrics[name].accuracy == pytest.approx((labels == found).mean())
        if name != "knowledge_masking":
            counts = np.bincount(labels)
            assert counts.max() > counts[counts > 0].min()
            assert metrics[name].majority == pytest.approx(counts.max() / len(labels))
            assert metrics[name].chance == 1 / len(data.tasks[name].classes)


def test_accuracy_is_counted_by_group(made):
    model, dev, data = made
    found = measure(model, dev, COUNT, data.tasks, World())["knowledge_masking"].groups
    labels, predicted, groups = targets(model, dev["knowledge_masking"], "knowledge_masking")
    assert list(found) == list(data.tasks["knowledge_masking"].groups)
    for number, values in enumerate(found.values()):
        mine = groups == number
        assert values.targets == mine.sum()
        if mine.any():
            assert values.accuracy == pytest.approx((labels == predicted)[mine].mean())
    assert 0 < found["word"].accuracy < 1 and found["phrase"].targets > 0 and found["phrase"].accuracy == 0


def test_dropout_is_off_while_measuring_and_on_afterwards(made):
    model, dev, data = made
    model.train()
    assert measure(model, dev, 1, data.tasks, World()) == measure(model, dev, 1, data.tasks, World())
    assert model.training


def test_baselines_are_computed_once_and_kept_in_the_run(made, tmp_path):
    _, dev, data = made
    heard = []
    found = run_baselines(data, list(dev), tmp_path / "run", World(), lambda: heard.append(1))
    assert set(found) == set(dev) and len(heard) == 3
    assert found["knowledge_masking"].by_loss and not found["capitalization"].by_loss
    assert found == run_baselines(data, list(dev), tmp_path / "run", World(), lambda: heard.append(1))
    assert len(heard) == 3
    content = json.loads((tmp_path / "run" / "baselines.json").read_text())
    assert {"lengths", "overlap of the segments"} <= {entry["name"] for entry in content["tasks"]["sentence_distance"]}


def test_a_run_shows_its_baselines_everywhere(tmp_path):
    """Two processes: both measure, the main one shows."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 2, "capitalization": 2}], dev_batches=2)
    text = runs.run(file, tmp_path / "run", "--devices", "0,1")
    assert "best shallow baselines on dev data: knowledge_masking loss " in text
    assert "capitalization 0." in text and ", shallow " in text  # a log line
    assert "best shallow baseline" in text.rpartition("after stage 1")[2] and "difference from it" in text
    dev = json.loads((tmp_path / "run/stage-1/dev.json").read_text())
    kept = json.loads((tmp_path / "run/baselines.json").read_text())["tasks"]
    assert {name: values["baseline"] for name, values in dev.items()} == {
        name: {key: value for key, value in entries[0].items() if value is not None} for name, entries in kept.items()}
