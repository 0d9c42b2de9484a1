"""An override that changes nothing is told; iterations that cannot come are refused."""
import argparse

import pytest

from ernie import cli
from ernie.commands import common
from ernie.commands.finetune import tell_idle
from ernie.finetuning import recipe as recipes
from ernie.pretraining import curriculum as curricula
from reader.utils.errors import InputError
from tests.ernie.runs import ROOT

EXPLICIT = """
tasks: [knowledge_masking, capitalization]
corpora: {c: c}
model: m
method: explicit
stages:
  - {tasks: {knowledge_masking: 3}, until_converged: {evaluate_every: 1}}
  - {tasks: {capitalization: 3}, until_converged: {evaluate_every: 1}}
"""


@pytest.mark.parametrize("command", ["stages", "plan"])
def test_iterations_that_every_task_has_of_its_own_refuse_the_default(command, tmp_path, capsys):
    code = cli.main([command, "--config", "continue_en", "--output", str(tmp_path / "run"), "--set",
                     "iterations_per_task=5"])
    said = capsys.readouterr().err
    assert code == 2 and "--set iterations_per_task=5 has no effect: every task has iterations of its own" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("assignment, reason", [
    ("until_converged.evaluate_every=2", "every stage has its own"),
    ("loss_scaling.initial=8", "precision fp16, this is fp32"), ("amp_level=O1", "this is fp32")])
def test_what_changes_nothing_is_told(assignment, reason, tmp_path, capsys):
    file = tmp_path / "written.yaml"
    file.write_text(EXPLICIT)
    lines = curricula.idle_overrides(curricula.load(file, [assignment]), [assignment, "seed=3"])
    assert len(lines) == 1 and f"--set {assignment} has no effect: " in lines[0] and reason in lines[0]
    assert curricula.idle_overrides(curricula.load(file), []) == []  # the same keys may stand in a file


def test_iterations_are_refused_where_the_stages_are_written_out(tmp_path):
    file = tmp_path / "written.yaml"
    file.write_text(EXPLICIT)
    with pytest.raises(InputError, match="iterations_per_task=5 has no effect: the stages are written out"):
        curricula.load(file, ["iterations_per_task=5"])
    assert curricula.load(file).iterations_per_task


def test_a_rollback_that_never_comes_is_told():
    spike = ["loss_spike.factor=2", "loss_spike.max_rollbacks=1"]
    for room, name in ((curricula, ("demo_en",)), (recipes, ("mrpc", "base"))):
        lines = room.idle_overrides(room.load(*name, spike), spike)
        assert len(lines) == 1 and "max_rollbacks=1 has no effect" in lines[0]
        effective = [*spike, "loss_spike.action=rollback"]
        assert room.idle_overrides(room.load(*name, effective), effective) == []


def test_an_effect_on_some_tasks_is_said(tmp_path, capsys):
    file = tmp_path / "mixed.yaml"
    file.write_text(f"base: {ROOT}/configs/curriculum/demo_en.yaml\n"
                    "tasks: [{name: knowledge_masking, iterations: 9}, capitalization]\n")
    assert cli.main(["plan", "--config", str(file), "--set", "iterations_per_task=6"]) in (0, None)
    said = capsys.readouterr().out
    assert "note: --set iterations_per_task=6 is without effect on knowledge_masking, with iterations of its" in said
    assert "15" in said  # 9 + 6 steps
    assert curricula.idle_overrides(curricula.load(file), ["batch_tokens=64"]) == []


def test_a_corpus_that_the_corpus_flag_replaces_is_told(tmp_path):
    given = ["corpora.wikipedia.weight=2"]
    args = argparse.Namespace(config="demo_en", output="out", corpus=str(tmp_path), tasks_from=[], assignments=given)
    lines = curricula.idle_overrides(common.read_curriculum(args), given, str(tmp_path))
    assert lines == [f"--set corpora.wikipedia.weight=2 has no effect: --corpus {tmp_path} takes its place"]


@pytest.mark.parametrize("assignment", ["learning_rate=1e-3", "epochs=9", "predict_batch_tokens=64"])
def test_a_task_without_training_data_has_no_training_to_set(assignment):
    lines = recipes.idle_overrides(recipes.load("ax", "base", [assignment]), [assignment])
    assert lines == [f"--set {assignment} has no effect: a model of mnli answers ax, nothing is trained"]
    assert recipes.idle_overrides(recipes.load("ax", "base", ["max_length=64"]), ["max_length=64"]) == []


def test_tasks_trained_together_are_told_once(caplog):
    given = ["amp_level=O1", "max_length=64"]
    both = [recipes.load(task, "base", given) for task in ("mrpc", "rte")]
    with caplog.at_level("INFO"):
        tell_idle(both, given)
        tell_idle([both[0], recipes.load("rte", "base", [*given, "precision=bf16"])], given)  # it changes one of them
    assert [record.getMessage().count("--set amp_level=O1 has no effect") for record in caplog.records] == [1]


def test_compared_runs_have_the_seeds_of_the_comparison(tmp_path, capsys):
    files = [str(ROOT / f"configs/evidence/{name}.yaml") for name in ("multitask", "sequential")]
    for flag, other in ("--set", "--seeds"), ("--finetune-set", "--finetune-seeds"):
        assert cli.main(["compare", *files, "--corpus", str(tmp_path), "--output", str(tmp_path / "out"), flag,
                         "seed=3"]) == 2
        assert f"{flag} seed=3: " in (said := capsys.readouterr().err) and f"({other})" in said
    assert not (tmp_path / "out").exists()


def test_what_a_comparison_would_pass_over_is_refused(tmp_path, capsys):
    files = [str(ROOT / f"configs/evidence/{name}.yaml") for name in ("multitask", "sequential")]
    command = ["compare", *files, "--corpus", str(tmp_path), "--output", str(tmp_path / "out"), "--equal", "steps"]
    for flags, message in (
            (["--finetune-set", "epochs=1"], "--finetune-set is for --finetune"),
            (["--finetune-seeds", "2"], "--finetune-seeds is for --finetune"),
            (["--finetune", f"rte={tmp_path}", "--finetune", f"rte={tmp_path}"], "--finetune rte stands twice"),
            (["--finetune", "rte=no/such", "--finetune", f"mrpc={tmp_path}"], "--finetune 'rte=no/such': expected")):
        assert cli.main([*command, *flags]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_flags_that_nothing_is_trained_with(caplog, capsys):
    command = ["finetune", "--task", "ax", "--data", "no/such", "--output", "no/such/out"]
    for flags in ["--folds", "3"], ["--sweep", "epochs=1,2"]:
        assert cli.main([*command, "--init", "x", *flags]) == 2
        assert f"{flags[0]}: a model of mnli answers ax, nothing is trained" in capsys.readouterr().err
    with caplog.at_level("INFO"):
        assert cli.main([*command, "--runs", "5"]) == 2  # --init is missing
    assert "note: --runs has no effect: a model of mnli answers ax" in caplog.text
    assert cli.main(["finetune", "--task", "rte", "--data", "x", "--output", "y", "--mixing", "0.5"]) == 2
    assert "--mixing 0.5 is for --together" in capsys.readouterr().err
