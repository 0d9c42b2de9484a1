"""Float16 O2 training, emulated on a CPU (see ``half_on_cpu``): against float32, overflow, resume, several ranks."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.ernie import runs
from tests.ernie.finetuning.tiny import finetune, make_data

STAGE = {"knowledge_masking": 34, "sentence_reordering": 6}
SHORT = {"knowledge_masking": 6, "sentence_reordering": 3}
CLOSE = 5e-4  # of the weights' norm after 40 steps; unscaled in float16 it is 3e-3 on Paddle 3.3.1, 1e-2 on 2.6.2
HALF = "precision=fp16"
SCALE = "loss_scaling.initial=1024"  # so that a batch of few targets does not overflow


def apart(first: dict, second: dict) -> float:
    """The norm of the difference of two sets of weights, relative to the first."""
    assert first.keys() == second.keys()
    square = sum(float(((first[name] - second[name]) ** 2).sum()) for name in first)
    return (square / sum(float((value ** 2).sum()) for value in first.values())) ** 0.5


def log(output) -> list:
    return [json.loads(line) for line in (output / "stage-1" / "log.jsonl").read_text("utf-8").splitlines()]


def two_ranks(file, output, *settings):
    """Stage 1 on two gloo ranks with half-precision weights and gradients."""
    script = str(runs.ROOT / "tests/ernie/training/half_on_cpu.py")
    command = [sys.executable, "-m", "ernie.launching.launcher", "--logs", str(output / "logs"), "--marks",
               str(output / "alive"), "--devices", "0,1", "--", script, "pretrain", "--config", str(file), "--output",
               str(output), "--stage", "1"]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, timeout=500,
                          env={**runs.ENVIRONMENT, "ERNIE_STOP_FILE": os.devnull + "/none"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_float16_follows_float32_over_forty_steps(tmp_path, train, half, monkeypatch):
    """And what is measured on dev data is computed in float16 as well."""
    import paddle

    from ernie.model.pretraining_model import PretrainingModel
    from ernie.planning.plan import Plan
    from ernie.pretraining.curriculum import load
    from ernie.training.optimizer import Updater
    file = runs.declare(tmp_path, [STAGE], dropout=0.0)
    assert train(file, tmp_path / "single") == 0
    half()
    weights, levels, grouped = set(), set(), set()
    real_step, real_score = Updater.step, PretrainingModel.score

    def step(self, *arguments, **named):
        weights.update((str(p.dtype), str(p.grad.dtype), "norm" in name) for name, p in self.layer.named_parameters()
                       if p.grad is not None)
        grouped.add(self.optimizer.grouped)
        return real_step(self, *arguments, **named)

    def score(self, *arguments, **named):
        levels.add(int(paddle.base.framework._dygraph_tracer()._amp_level))
        return real_score(self, *arguments, **named)

    monkeypatch.setattr(Updater, "step", step)
    monkeypatch.setattr(PretrainingModel, "score", score)
    assert train(file, tmp_path / "half", HALF, SCALE) == 0
    assert weights == {("paddle.float16", "paddle.float16", False), ("paddle.float32", "paddle.float32", True)}
    assert levels == {2} and grouped == {True}
    assert log(tmp_path / "half")[-1]["loss_scale"] == 1024 and log(tmp_path / "half")[-1]["skipped"] == 0
    planned = Plan.of(load(file, [HALF]), 1).checkpoint
    written = sum(len(np.concatenate([array.reshape(-1) for array in load_file(part).values()])) * 4
                  for part in (tmp_path / "half").glob("stage-1/step-00000040/*.safetensors"))
    assert planned == pytest.approx(written, rel=0.01)
    assert 0 < apart(runs.final(tmp_path / "single"), runs.final(tmp_path / "half")) < CLOSE
    scores = [json.loads((tmp_path / name / "stage-1/dev.json").read_text()) for name in ("single", "half")]
    for name in STAGE:
        assert scores[0][name]["loss"] == pytest.approx(scores[1][name]["loss"], rel=2e-3)


def test_overflow_skips_steps_until_the_loss_scale_fits(tmp_path, train, half, capsys):
    half()
    file = runs.declare(tmp_path, [SHORT], dropout=0.0)
    settings = ["loss_scaling.initial=1e8", "loss_scaling.decrease_ratio=0.00001", "loss_scaling.increase_every=4"]
    assert train(file, tmp_path / "run", HALF, *settings) == 0
    lines = log(tmp_path / "run")
    assert [line["skipped"] for line in lines] == [1, *[2] * 8]
    assert [line["loss_scale"] for line in lines] == pytest.approx([1e8, *[1e3] * 4, *[2e3] * 4])
    assert [line["learning_rate"] for line in lines[:4]] == pytest.approx([7.5e-4, 7.5e-4, 7.5e-4, 1.5e-3])
    assert lines[0]["gradient_norm"] is None and lines[2]["gradient_norm"] > 0
    said = capsys.readouterr().out
    assert "the first 2 steps were skipped: their gradients were too large for float16 at loss scale 1e+08" in said
    assert all(np.isfinite(value).all() for value in runs.final(tmp_path / "run").values())


def test_a_stopped_float16_run_goes_on_bit_for_bit(tmp_path, train, half):
    half()
    file = runs.declare(tmp_path, [SHORT], checkpoint_every=4)
    settings = [HALF, "recompute=true", "loss_scaling.initial=1e8", "loss_scaling.decrease_ratio=0.00001"]
    assert train(file, tmp_path / "whole", *settings) == 0
    for stop_after in (1, 5, None):
        assert train(file, tmp_path / "parts", *settings, stop_after=stop_after) == (75 if stop_after else 0)
    assert runs.identical(runs.final(tmp_path / "whole"), runs.final(tmp_path / "parts"))
    assert [line["loss_scale"] for line in log(tmp_path / "whole")] == \
        [line["loss_scale"] for line in log(tmp_path / "parts")]


def test_two_ranks_with_accumulation_and_recompute(tmp_path, train, half):
    """On Paddle 3.3.1 in bfloat16, since its gloo sums float16 over ranks to infinity; on 2.6.2 in float16."""
    import paddle
    precision, close = ("fp16", CLOSE) if paddle.__version__ < "3" else ("bf16", 2e-3)
    file, half_precision = runs.declare(tmp_path, [SHORT], dropout=0.0), f"precision={precision}"
    two_ranks(file, tmp_path / "plain", half_precision, SCALE)
    two_ranks(file, tmp_path / "recomputed", half_precision, SCALE, "recompute=true")
    assert runs.identical(runs.final(tmp_path / "plain"), runs.final(tmp_path / "recomputed"))
    half()
    assert train(file, tmp_path / "one", half_precision, SCALE) == 0
    assert log(tmp_path / "one")[-1]["skipped"] == log(tmp_path / "plain")[-1]["skipped"] == 0
    assert 0 < apart(runs.final(tmp_path / "one"), runs.final(tmp_path / "plain")) < close


def test_a_new_stage_begins_with_the_master_weights(tmp_path, train, half):
    """Not with what float16 leaves of them: a stage that learns next to nothing changes nothing."""
    half()
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}, {"knowledge_masking": 2}])
    assert train(file, tmp_path / "run", HALF, SCALE) == 0
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}, {"knowledge_masking": 2}])
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace("0.003", "1e-30"))
    assert train(file, tmp_path / "run", HALF, SCALE, "optimizer.learning_rate=1e-30", number=2) == 0
    assert runs.identical(runs.final(tmp_path / "run"), runs.final(tmp_path / "run", 2))


@pytest.mark.parametrize("level", ["O1", "O2"])
def test_fine_tuning_measures_as_it_trains(tmp_path, half, model_files, monkeypatch, level):
    """Every forward pass, in training and in evaluation, is one of the recipe's level."""
    import paddle

    from ernie.model.finetuning_model import FinetuningModel
    half()
    seen, real = set(), FinetuningModel.outputs

    def outputs(self, *arguments, **named):
        seen.add((self.training, int(paddle.base.framework._dygraph_tracer()._amp_level)))
        return real(self, *arguments, **named)

    monkeypatch.setattr(FinetuningModel, "outputs", outputs)
    assert finetune("rte", make_data("rte", tmp_path / "data"), tmp_path / "run", model_files, HALF, SCALE,
                    f"amp_level={level}") == 0
    assert seen == {(True, int(level[1])), (False, int(level[1]))}
