"""A stage may end when its dev losses no longer fall."""
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ernie.pretraining.curriculum import Convergence
from ernie.training.callbacks import DevEvaluation
from ernie.training.distributed import World
from ernie.training.metrics import TaskMetrics
from ernie.training.trainer import TrainState
from reader.utils.errors import InputError
from tests.ernie import runs


@pytest.fixture
def steps_until_stop(tmp_path):
    return lambda losses, **settings: _steps_until_stop(tmp_path, losses, **settings)


def _steps_until_stop(folder, losses, **settings) -> int:
    """Evaluates once a step on the given dev losses of two tasks; returns the step that ended training."""
    measured = iter(losses)
    callback = DevEvaluation(lambda: {name: TaskMetrics(loss, 0.0, 1) for name, loss in zip("ab", next(measured))},
                         Convergence(evaluate_every=1, **settings), folder / "best", {})
    weights = {"w": np.zeros(1, np.float32)}
    trainer = SimpleNamespace(state=TrainState(), stop="", total=10**9, world=World(),
                              updater=SimpleNamespace(weights=lambda: weights))
    for step in range(1, len(losses) + 1):
        callback.after_step(trainer, SimpleNamespace(step=step))
        if trainer.stop:
            assert trainer.stop == "converged"
            return step
    return 0


def test_it_goes_on_while_any_task_gains(steps_until_stop):
    assert steps_until_stop([(3, 9), (3, 8), (3, 7), (3, 6), (3, 5)], patience=2) == 0


def test_it_ends_after_patience_without_gain(steps_until_stop):
    assert steps_until_stop([(3, 9), (2, 9), (2, 9), (2.5, 9), (1, 1)], patience=2) == 4


def test_a_gain_below_min_delta_is_none(steps_until_stop):
    assert steps_until_stop([(3, 9), (2.9995, 9), (2.9990, 9)], patience=2, min_delta=0.01) == 3


def test_a_run_that_had_converged_trains_no_further():
    memory = {"evaluation": {"best": {"a": 1.0}, "without_gain": 3}}
    trainer = SimpleNamespace(state=TrainState(callbacks=memory), stop="")
    DevEvaluation(lambda: 1 / 0, Convergence(evaluate_every=1, patience=3), Path("best"), {}).start(trainer)
    assert trainer.stop == "converged"


def test_it_measures_only_when_it_is_due():
    callback = DevEvaluation(lambda: 1 / 0, Convergence(evaluate_every=10), Path("best"), {})
    trainer = SimpleNamespace(state=TrainState(), stop="", total=20)
    callback.after_step(trainer, SimpleNamespace(step=9))
    callback.after_step(trainer, SimpleNamespace(step=20))  # the end of a stage is measured anyway
    assert not trainer.stop


def test_a_stage_that_has_diverged_has_not_converged():
    memory = {"evaluation": {"best": {"a": 1.0}, "without_gain": 2, "total": 1.0}}
    trainer = SimpleNamespace(state=TrainState(callbacks=memory), stop="diverged", total=20, world=World())
    DevEvaluation(lambda: {"a": TaskMetrics(2.0, 0.0, 1)}, Convergence(evaluate_every=1, patience=3), Path("best"),
                  {}).after_step(trainer, SimpleNamespace(step=7))
    assert trainer.stop == "diverged"


def test_a_stage_is_judged_by_the_tasks_that_it_trains(tmp_path, train):
    """In sequential training the tasks before are forgotten meanwhile: that must not choose the best weights."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}, {"capitalization": 12}], dev_batches=2,
                        until_converged={"evaluate_every": 2, "patience": 9, "min_delta": 0.0})
    assert train(file, tmp_path / "run") == 0 and train(file, tmp_path / "run", number=2) == 0
    stage = tmp_path / "run" / "stage-2"
    done = json.loads((stage / "done.json").read_text())
    memory = json.loads((stage / done["checkpoint"] / "state.json").read_text())["callbacks"]["evaluation"]
    assert list(memory["best"]) == ["capitalization"]
    assert memory["total"] == pytest.approx(memory["best"]["capitalization"])
    assert set(json.loads((stage / "dev.json").read_text())) == {"knowledge_masking", "capitalization"}


def test_a_stage_whose_own_tasks_have_no_dev_data_cannot_converge(tmp_path, train):
    stages = [{"knowledge_masking": 2, "capitalization": 2}, {"capitalization": 2}]
    corpora = {"made": {"path": str(tmp_path / "train"), "dev": str(tmp_path / "dev"), "weight": 1},
               "other": {"path": str(tmp_path / "train"), "weight": 1}}
    file = runs.declare(tmp_path, stages, until_converged={"evaluate_every": 1}, corpora=corpora, tasks=[
        {"name": "knowledge_masking", "corpora": ["made"]}, {"name": "capitalization", "corpora": ["other"]}])
    assert train(file, tmp_path / "run") == 0
    with pytest.raises(InputError, match="stage 2: until_converged needs dev data"):
        train(file, tmp_path / "run", number=2)


def test_a_converged_stage_ends_with_its_best_weights(tmp_path):
    """A learning rate that ruins what was learnt: the dev loss rises, and the weights before that are kept."""
    settings = {"until_converged": {"evaluate_every": 4, "patience": 3}, "checkpoint_every": 4, "dev_batches": 4,
                "optimizer": {"learning_rate": 0.3, "warmup_steps": 24, "schedule": "linear"}}
    file = runs.declare(tmp_path, [{"knowledge_masking": 200}], **settings)
    said = runs.run(file, tmp_path / "run")
    stage = tmp_path / "run" / "stage-1"
    done = json.loads((stage / "done.json").read_text())
    assert done["reason"] == "converged" and done["step"] < 200
    step = int(said.partition("ends with the weights of step ")[2].partition(",")[0])
    assert step < done["step"]
    best = runs.load_file(stage / "best" / "model.safetensors")
    assert runs.identical(best, runs.final(tmp_path / "run"))
    memory = json.loads((stage / done["checkpoint"] / "state.json").read_text())["callbacks"]["evaluation"]
    assert memory["step"] == step
    dev = json.loads((stage / "dev.json").read_text())
    assert dev["knowledge_masking"]["loss"] == pytest.approx(memory["total"], abs=1e-5)
