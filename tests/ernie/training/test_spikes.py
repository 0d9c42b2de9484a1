"""Loss spikes: really too high a learning rate; training goes back, and takes the same path whoever interrupts it."""
from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import pytest

from ernie.checkpoints import checkpoint
from ernie.training.health import LossSpikes
from ernie.training.metrics import TaskMetrics, TrainingMetrics
from ernie.training.settings import LossSpike
from tests.ernie import runs
from tests.ernie.training.test_trainer import trainer


def steep(folder: Path, until_converged: dict | None = None, **rule) -> Path:
    """A curriculum whose learning rate rises to what its model cannot bear."""
    return runs.declare(folder, [{"knowledge_masking": 24}], log_every=2, checkpoint_every=4, batch_tokens=128,
                        loss_spike={"factor": 1.5, "lines": 3, "max_rollbacks": 1, **rule}, check_ranks_every=1,
                        until_converged=until_converged,
                        optimizer={"learning_rate": 5.0, "warmup_steps": 24, "clip_norm": 0.0})


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "stage-1" / "log.jsonl").read_text("utf-8").splitlines()]


def spikes(output: Path) -> list[tuple]:
    return [(line["step"], line["spike"]["back_to"]) for line in lines(output) if line["spike"]]


def state(output: Path) -> dict:
    done = json.loads((output / "stage-1" / "done.json").read_text())
    return json.loads((output / "stage-1" / done["checkpoint"] / "state.json").read_text())


def test_two_ranks_go_back_and_a_killed_run_takes_the_same_path(tmp_path):
    """One rollback is allowed: later spikes are warned of."""
    file = steep(tmp_path, action="rollback")
    said = runs.run(file, tmp_path / "whole", "--devices", "0,1", "--max-restarts", "0")
    found = spikes(tmp_path / "whole")
    step, back_to = found[0]
    assert 0 < back_to < step and all(to is None for _, to in found[1:])
    assert f"goes on with the weights of step {back_to}, without the batches of steps {back_to + 1} to {step} " \
           "(rollback 1 of at most 1)" in said
    ended = state(tmp_path / "whole")
    assert ended["step"] == 24 and ended["updates"] == 24 - (step - back_to)
    assert ended["callbacks"]["loss_spike"]["rollbacks"] == [{"step": step, "back_to": back_to}]

    process = runs.start(file, tmp_path / "killed", "--devices", "0,1", "--max-restarts", "0")
    deadline = time.monotonic() + 240
    while not (tmp_path / "killed" / "stage-1" / f"step-{step:08d}").exists() and process.poll() is None:
        assert time.monotonic() < deadline, runs.said(tmp_path / "killed")
        time.sleep(0.005)
    runs.end(process)  # kill -9 to all
    again = runs.run(file, tmp_path / "killed", "--devices", "0,1", "--max-restarts", "0")
    assert f"at step {step}" in again or state(tmp_path / "killed") == ended  # it may have ended before it was killed
    assert spikes(tmp_path / "killed") == found and runs.losses(tmp_path / "killed") == runs.losses(tmp_path / "whole")
    assert runs.identical(runs.final(tmp_path / "whole"), runs.final(tmp_path / "killed"))


def test_a_stopped_run_judges_as_one_that_was_not(tmp_path, train):
    """Stopped between two log lines, before and after the spike: the lines are made of the same steps all the same."""
    file = steep(tmp_path, action="rollback", max_rollbacks=2)
    assert train(file, tmp_path / "whole") == 0
    found = spikes(tmp_path / "whole")
    assert [to for _, to in found][:2] != [None, None] and found[0][0] > 5
    assert train(file, tmp_path / "parts", stop_after=5) == 75
    assert train(file, tmp_path / "parts", stop_after=found[0][0] - 4) == 75
    assert train(file, tmp_path / "parts") == 0
    assert spikes(tmp_path / "parts") == found and runs.losses(tmp_path / "parts") == runs.losses(tmp_path / "whole")
    assert runs.identical(runs.final(tmp_path / "whole"), runs.final(tmp_path / "parts"))


def test_dev_metrics_of_a_step_that_goes_back_are_in_its_checkpoint(tmp_path, train):
    """A run that is stopped right behind that step has measured it, as one that was not."""
    file = steep(tmp_path, {"evaluate_every": 2, "patience": 20, "min_delta": 0.0}, action="rollback")
    assert train(file, tmp_path / "whole") == 0
    step = spikes(tmp_path / "whole")[0][0]
    assert train(file, tmp_path / "parts", stop_after=2 * step) == 75  # asked twice a step of two micro-batches
    last = checkpoint.newest(tmp_path / "parts" / "stage-1")
    assert checkpoint.step_of(last) == step and step in [entry["step"] for entry in checkpoint.read(last).state[
        "callbacks"]["loss_spike"]["rollbacks"]]
    assert train(file, tmp_path / "parts") == 0
    assert state(tmp_path / "parts")["callbacks"]["evaluation"] == state(tmp_path / "whole")["callbacks"]["evaluation"]


def test_a_stage_that_converges_where_it_goes_back_ends_with_its_best_weights(tmp_path, train, monkeypatch):
    """Dev losses that rise: the first measurement is the best one."""
    file = steep(tmp_path, action="rollback")
    assert train(file, tmp_path / "whole") == 0
    step = spikes(tmp_path / "whole")[0][0]
    file = steep(tmp_path, {"evaluate_every": step // 2, "patience": 1}, action="rollback")
    from ernie.pretraining import evaluation
    losses = count(1)
    monkeypatch.setattr(evaluation, "measure", lambda *_, **__: {"knowledge_masking": TaskMetrics(next(losses), 0, 1)})
    assert train(file, tmp_path / "run") == 0
    ended = state(tmp_path / "run")
    assert ended["step"] == step and ended["callbacks"]["evaluation"]["step"] == step // 2
    best = runs.load_file(tmp_path / "run" / "stage-1" / "best" / "model.safetensors")
    assert runs.identical(best, runs.final(tmp_path / "run"))


def test_going_back_waits_for_a_checkpoint_that_is_being_written(tmp_path, train, monkeypatch):
    """On a slow disk a run takes the path that it takes on a fast one."""
    file = steep(tmp_path, action="rollback", max_rollbacks=2)
    assert train(file, tmp_path / "fast") == 0
    write = checkpoint.write

    def slowly(*arguments):
        time.sleep(1)
        return write(*arguments)

    monkeypatch.setattr(checkpoint, "write", slowly)
    assert train(file, tmp_path / "slow") == 0
    assert spikes(tmp_path / "slow") == spikes(tmp_path / "fast") != []


def judged(rule: LossSpike, curve: list[tuple[str, float]]) -> list[int]:
    """Numbers of the lines, from 0, that are spikes; of each the drawn task and its loss."""
    made, found = trainer([1]), LossSpikes(rule, "run", Path("nowhere"), 1, lambda: None, lambda: None)
    return [number for number, (task, loss) in enumerate(curve)
            if found.judge(made, number + 1, {"lm": TrainingMetrics(loss, 0.0, 1)}, {task: 1})]


@pytest.mark.parametrize("curve, expected", [
    ([4, 3, 2, 9], [3]),                            # three times the median of 4, 3, 2
    ([4, 3, 2, 8.99, 3], []),
    ([4, 3, 99], []),                               # not three lines yet
    ([4, 3, 2, 9.1, 1, 1, 5, 1, 5, 5, 5], [3, 6, 8]),  # what is gone on with becomes the new level
])
def test_a_spike_is_judged_by_the_median_of_the_last_lines(curve, expected):
    assert judged(LossSpike(factor=2.999, lines=3), [("a", loss) for loss in curve]) == expected


def test_lines_of_other_tasks_are_no_measure():
    low, high = [("a", 1.0)] * 3, [("b", 5.0)] * 4
    assert judged(LossSpike(factor=2.0, lines=3), [*low, *high]) == []
    assert judged(LossSpike(factor=2.0, lines=3), [*low, *high, ("b", 11.0), ("a", 5.0)]) == [7, 8]
