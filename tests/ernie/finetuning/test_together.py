"""Several tasks on one encoder: what a run leaves, exact resume, two ranks, and fine-tuning from it."""
import json

import pytest
from safetensors.numpy import load_file

from ernie.cli import main
from tests.ernie import runs
from tests.ernie.finetuning.test_ranks import ended, start
from tests.ernie.finetuning.tiny import QUICK, TINY, finetune, make_data, result

TASKS = {"sst-2": "SST-2", "sts-b": "STS-B", "msra-ner": "msra", "cmrc2018": "cmrc"}  # one of each kind


@pytest.fixture
def folders(tmp_path):
    return {task: make_data(task, tmp_path / "data" / folder) for task, folder in TASKS.items()}


def together(folders, output, model_files, *settings, extra=()):
    return main(arguments(folders, output, model_files, *settings, extra=extra))


def arguments(folders, output, model_files, *settings, extra=()):
    found = ["finetune", "--output", str(output), "--model", str(model_files[0]), "--vocab", str(model_files[1]),
             "--together", ",".join(f"{task}={folder}" for task, folder in folders.items()), *extra]
    for setting in [*QUICK, "epochs=2", "batch_size=4", *settings]:
        found += ["--set", setting]
    return found


def best(output, seed=1):
    return load_file(output / f"seed-{seed}" / "best" / "model.safetensors")


def test_every_task_gets_a_model_and_the_encoder_goes_on(tmp_path, folders, model_files, capsys):
    output = tmp_path / "out"
    assert together(folders, output, model_files, extra=["--runs", "2"]) == 0
    said = capsys.readouterr().out
    assert "seed 1: 2 epochs of 8 steps (sst-2 2, sts-b 2, msra-ner 2, cmrc2018 2), learning rate" in said
    lines = [json.loads(line) for line in (output / "seed-1" / "log.jsonl").read_text().splitlines()]
    assert sorted(line["task"] for line in lines[:8]) == sorted(2 * [*TASKS])
    weights = best(output)
    for task, folder in folders.items():
        place = output / "tasks" / task
        summary = result(place)
        assert summary["runs"] == 2 and summary["figures"]["dev"], task
        model = load_file(place / "seed-1" / "best" / "model.safetensors")
        (head,) = {name.split(".")[1] for name in model if name.startswith("heads.")}
        for name, array in model.items():
            assert (array == weights[name.replace(f"heads.{head}.", f"heads.{task}.")]).all(), name
        test = next(file for file in sorted(folder.glob("test*")))
        answers = tmp_path / f"{task}.tsv"
        assert main(["predict", "--model", str(place / "seed-1" / "best"), "--input", str(test), "--output",
                     str(answers)]) == 0
        ours = (place / "seed-1" / "test.tsv").read_text().splitlines()
        assert len(answers.read_text().splitlines()) == len(ours)
        assert main(["evaluate", "--model", str(place), "--input", str(next(folder.glob("dev*"))), "--output",
                     str(tmp_path / f"evaluated-{task}")]) == 0
        capsys.readouterr()
    assert main(["predict", "--model", str(output), "--input", str(answers), "--output",
                 str(tmp_path / "p")]) == 2
    assert f"each has a model of its own: {output / 'tasks' / 'sst-2'}" in capsys.readouterr().err
    assert main(["finetune", "--task", "sst-2", "--data", str(folders["sst-2"]), "--init", str(output), "--output",
                 str(tmp_path / "after"), "--set", "max_length=32", "--set", "epochs=1"]) == 0
    said = capsys.readouterr().out
    assert f"from {output / result(output)['best_run'] / 'best'}" in said
    assert "not in the checkpoint, as initialised: heads.classification.weight, heads.classification.bias" in said
    assert main(["finetune", "--summary", str(output)]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{task} " in f"\n{said}" for task in TASKS)
    assert main(["report", str(output)]) == 0


def test_a_resumed_run_ends_with_the_same_bits(tmp_path, folders, model_files, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    settings = ["checkpoint_every=3", "evaluate_every=5"]
    assert together(folders, whole, model_files, *settings) == 0
    from ernie.training.trainer import Trainer
    trained = Trainer.train_step

    def stops(self, *arguments):
        if self.state.step == 10:
            raise KeyboardInterrupt
        return trained(self, *arguments)

    monkeypatch.setattr(Trainer, "train_step", stops)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        raise SystemExit(together(folders, cut, model_files, *settings))
    assert not (cut / "result.json").exists()
    monkeypatch.undo()
    assert together(folders, cut, model_files, *settings) == 0
    assert runs.identical(best(whole), best(cut))
    last = [load_file(output / "seed-1" / "step-00000016" / "model.safetensors") for output in (whole, cut)]
    assert runs.identical(*last)
    for task in TASKS:
        found = [result(output / "tasks" / task / "seed-1") for output in (whole, cut)]
        for one in found:
            one.pop("seconds")
        assert found[0] == found[1]


def test_answers_about_other_rows_have_no_figures(tmp_path, folders, model_files, capsys):
    two, output = dict(list(folders.items())[:2]), tmp_path / "out"
    assert together(two, output, model_files) == 0
    assert "test" in result(output / "tasks" / "sst-2")["figures"]
    header, *rows = (folders["sst-2"] / "test.tsv").read_text().splitlines()
    (folders["sst-2"] / "test.tsv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    capsys.readouterr()
    assert together(two, output, model_files, extra=["--runs", "2"]) == 0
    assert "test: seed-1 did not answer" in capsys.readouterr().out
    assert list(result(output / "tasks" / "sst-2")["figures"]) == ["dev"]
    assert set(result(output / "tasks" / "sts-b")["figures"]) >= {"dev"}


@pytest.mark.slow
def test_two_ranks_compute_what_one_process_computes(tmp_path, folders, model_files):
    (tmp_path / "model.json").write_text(json.dumps({**TINY, "hidden_dropout_prob": 0.0,
                                                     "attention_probs_dropout_prob": 0.0}))
    files, one, two = (tmp_path / "model.json", model_files[1]), tmp_path / "one", tmp_path / "two"
    settings = ["epochs=3", "batch_size=7"]  # the last batch of an epoch has one row: none for one rank
    assert together(folders, one, files, *settings, extra=["--mixing", "0.5"]) == 0
    given = ",".join(f"{task}={folder}" for task, folder in folders.items())
    process = start("--together", tmp_path, two, files, *settings, between=[given, "--mixing", "0.5"])
    try:
        ended(process, two)
    finally:
        runs.end(process)
    assert runs.difference(best(one), best(two)) < 1e-5
    for task in TASKS:
        assert result(one / "tasks" / task / "seed-1")["dev"] == pytest.approx(
            result(two / "tasks" / task / "seed-1")["dev"], abs=1e-3)


def test_what_cannot_be_joined_is_refused(tmp_path, folders, model_files, capsys):
    output = tmp_path / "out"
    two = dict(list(folders.items())[:2])
    for given, message in [
            (["--together", "sst-2=x"], "two tasks or more"), (["--together", "sst-2,rte"], "expected TASK=DIR"),
            (["--together", "sst-2=x,sst-2=y"], "stands twice"), (["--together", "ax=x,sst-2=y"], "no training data"),
            (["--together", "sst-2=x,rte=y", "--task", "mrpc"], "exclude each other"),
            (["--together", "sst-2=x,rte=y", "--set", "fgm=1"], "fgm is for training on one task"),
            (["--together", f"sst-2={folders['sst-2']},sts-b={folders['sts-b']}"], "give --init")]:
        assert main(["finetune", *given, "--output", str(output)]) == 2
        assert message in capsys.readouterr().err
    assert together(two, output, model_files, extra=["--mixing", "sst-2=1"]) == 2
    assert "a positive weight for every task: sst-2=1,sts-b=1" in capsys.readouterr().err
    assert together(two, output, model_files, "frozen_layers=99") == 2
    assert "frozen_layers 99: the encoder has" in capsys.readouterr().err
    assert not (output / "together.json").exists()  # it would refuse the run with the mistake mended
    assert together(two, output, model_files) == 0
    assert together(two, output, model_files, extra=["--mixing", "0.5"]) == 2
    assert "mixing: was '1', is now '0.5'" in capsys.readouterr().err
    other = {task: folders[task] for task in ("sst-2", "msra-ner")}
    assert together(other, output, model_files) == 2  # another task: named, not printed with all its settings
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == ["  tasks.sts-b: was there, is not now", "  tasks.msra-ner: was not there, is now"], said
    assert finetune("sst-2", folders["sst-2"], output, model_files) == 2
