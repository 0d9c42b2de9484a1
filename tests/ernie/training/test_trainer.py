"""The loop itself: what a step that is skipped counts for, what weights do to losses, whose dropout is whose."""
import dataclasses
import json

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.checkpoints.checkpoint import CheckpointWriter, newest  # noqa: E402
from ernie.training.amp import Precision  # noqa: E402
from ernie.training.callbacks import Checkpoints, Log  # noqa: E402
from ernie.training.distributed import World  # noqa: E402
from ernie.training.optimizer import Updater  # noqa: E402
from ernie.training.settings import LossScaling, OptimizerSettings, Schedule  # noqa: E402
from ernie.training.trainer import Callback, Trainer, TrainState  # noqa: E402
from reader.batches.examples import Batch, Targets  # noqa: E402


class Growing(paddle.nn.Layer):
    """Two losses, exp(label * w) and exp(label * v): a label of 10,000 overflows."""

    def __init__(self):
        super().__init__()
        self.w = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(0.1))
        self.v = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(0.1))

    def forward(self, token_ids, token_type_ids, position_ids, lengths, task_ids, targets):
        zero = paddle.zeros([])
        return {name: ((labels.astype("float32") * parameter).exp().sum(), zero, zero)
                for (name, parameter), (_, labels) in zip((("a", self.w), ("b", self.v)), targets.values())}

    def unused(self, names):
        return []


def batch(label: int, other: int = 1) -> Batch:
    one = np.ones((1, 4), np.int64)
    target = {name: Targets(np.zeros(1, np.int64), np.array([value])) for name, value in (("a", label), ("b", other))}
    return Batch("a", 0, one, one, one, np.array([4]), target)


class Given:
    """The batches of a list."""

    def __init__(self, batches):
        self.batches = batches

    def at(self, step):
        return [self.batches[step]]


class Rates(Callback):
    """Collects the learning rate that is shown and the one that was used."""

    def __init__(self):
        self.shown, self.used = [], []

    def after_step(self, trainer, result):
        self.shown.append(result.learning_rate)
        self.used.append(trainer.updater.optimizer.get_lr())


def trainer(labels, weights=None, **settings) -> Trainer:
    options = OptimizerSettings(**{"learning_rate": 0.01, "clip_norm": 0.0, "weight_decay": 0.0, **settings})
    schedule = Schedule("noam", options.learning_rate, 4, 100)
    updater = Updater(Growing(), options, schedule, Precision("fp32", "O1", LossScaling()), World())
    return Trainer(updater, Given([batch(label) for label in labels]), weights or {"a": 1.0, "b": 1.0}, len(labels),
                   state=TrainState(), world=World(), seed=1)


def test_a_loss_that_is_no_number_is_not_shown_as_zero(tmp_path):
    made = trainer([1, 10_000, 1])
    real, one = made.updater.layer.forward, paddle.ones([])
    made.updater.layer.forward = lambda **named: {name: (loss, one, one) for name, (loss, *_) in real(**named).items()}
    made.callbacks = [Log(1, tmp_path / "log.jsonl")]
    made.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [sorted(line["tasks"]) for line in lines] == [["a", "b"], ["b"], ["a", "b"]]
    assert made.state.skipped == 1


class Ends(Callback):
    """Ends training after a step, when the disk has room again."""

    def __init__(self, step, writer, obstacle):
        self.step, self.writer, self.obstacle = step, writer, obstacle

    def after_step(self, trainer, result):
        if result.step == self.step:
            self.writer.wait()
            self.obstacle.unlink()
            trainer.stop = "asked to stop"


def test_a_checkpoint_that_could_not_be_written_is_written_when_training_ends_at_its_step(tmp_path):
    writer, obstacle = CheckpointWriter(tmp_path, 2, {}), tmp_path / "step-00000002.partial"
    obstacle.write_text("in the way")
    made = trainer([1] * 6)
    made.callbacks = [Checkpoints(2, writer), Ends(2, writer, obstacle)]
    made.run()
    assert newest(tmp_path) == tmp_path / "step-00000002"


def test_a_skipped_step_does_not_advance_the_learning_rate():
    made = trainer([1, 1, 10_000, 10_000, 1, 1])
    rates = Rates()
    made.callbacks = [rates]
    made.run()
    expected = [made.updater.schedule(update) for update in (1, 2, 3, 3, 3, 4)]
    assert rates.shown == pytest.approx(expected) and rates.used == pytest.approx(expected)
    assert (made.state.step, made.state.updates, made.state.skipped) == (6, 4, 2)


def test_the_total_is_the_weighted_sum_of_mean_losses():
    made = trainer([1], {"a": 0.25, "b": 3.0})
    losses = {"a": [paddle.to_tensor(8.0)], "b": [paddle.to_tensor(5.0)]}
    assert float(made.total_loss(losses, np.array([4.0, 2.0]))) == pytest.approx(0.25 * 8 / 4 + 3 * 5 / 2)
    made.world = World(1, 2)  # each of two ranks adds its half, and the gradients are averaged
    assert float(made.total_loss(losses, np.array([4.0, 2.0]))) == pytest.approx(2 * (0.25 * 8 / 4 + 3 * 5 / 2))


def test_a_task_of_weight_zero_trains_nothing():
    made = trainer([1] * 4, {"a": 0.0, "b": 1.0})
    made.run()
    assert made.updater.layer.w.item() == pytest.approx(0.1) and made.updater.layer.v.item() < 0.09


class Drawing(Growing):
    """Collects what a dropout would draw in each pass."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def forward(self, *arguments, **named):
        self.drawn.append(paddle.rand([4]).tolist())
        return super().forward(*arguments, **named)


def draws(steps) -> list:
    """What is drawn for the micro-batches at these places of the global batches, step by step."""
    made = trainer([1] * len(steps))
    model = Drawing()
    made.updater = Updater(model, OptimizerSettings(learning_rate=0.01), made.updater.schedule, made.updater.precision,
                           World())
    for places in steps:
        made.train_step([dataclasses.replace(batch(1), place=place) for place in places], np.array([1, 1, 4]), 0.0)
    return model.drawn


def test_dropout_is_a_function_of_step_and_place_and_of_nothing_else():
    """Two ranks that share the micro-batches of a step drop out what one rank would: never the same in two places."""
    (first, second), (third, fourth) = draws([[0, 1]]), draws([[0], [1]])
    assert first != second and third == first
    assert fourth != second  # the same place in the next step
    assert draws([[1]]) == [second]
