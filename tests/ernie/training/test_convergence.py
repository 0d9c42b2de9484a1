"""A stage may end when its dev losses no longer fall."""
from types import SimpleNamespace

from ernie.pretraining.curriculum import Convergence
from ernie.training.callbacks import Evaluation
from ernie.training.metrics import TaskMetrics
from ernie.training.trainer import TrainState


def steps_until_stop(losses, **settings) -> int:
    """Evaluates once a step on the given dev losses of two tasks; returns the step that ended training."""
    measured = iter(losses)
    callback = Evaluation(lambda: {name: TaskMetrics(loss, 0.0, 1) for name, loss in zip("ab", next(measured))},
                         Convergence(evaluate_every=1, **settings))
    trainer = SimpleNamespace(state=TrainState(), stop="", total=10**9)
    for step in range(1, len(losses) + 1):
        callback.after_step(trainer, SimpleNamespace(step=step))
        if trainer.stop:
            assert trainer.stop == "converged"
            return step
    return 0


def test_it_goes_on_while_any_task_gains():
    assert steps_until_stop([(3, 9), (3, 8), (3, 7), (3, 6), (3, 5)], patience=2) == 0


def test_it_ends_after_patience_without_gain():
    assert steps_until_stop([(3, 9), (2, 9), (2, 9), (2.5, 9), (1, 1)], patience=2) == 4


def test_a_gain_below_min_delta_is_none():
    assert steps_until_stop([(3, 9), (2.9995, 9), (2.9990, 9)], patience=2, min_delta=0.01) == 3


def test_a_run_that_had_converged_trains_no_further():
    memory = {"evaluation": {"best": {"a": 1.0}, "without_gain": 3}}
    trainer = SimpleNamespace(state=TrainState(callbacks=memory), stop="")
    Evaluation(lambda: 1 / 0, Convergence(evaluate_every=1, patience=3)).start(trainer)
    assert trainer.stop == "converged"


def test_it_measures_only_when_it_is_due():
    callback = Evaluation(lambda: 1 / 0, Convergence(evaluate_every=10))
    trainer = SimpleNamespace(state=TrainState(), stop="", total=20)
    callback.after_step(trainer, SimpleNamespace(step=9))
    callback.after_step(trainer, SimpleNamespace(step=20))  # the end of a stage is measured anyway
    assert not trainer.stop
