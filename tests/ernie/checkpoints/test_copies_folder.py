"""Copies of checkpoints have the record of their run beside them: another run is refused and takes nothing over."""
import argparse
import json
import shutil

import numpy as np
import pytest

from ernie.checkpoints import checkpoint
from ernie.checkpoints.copies import Copier
from ernie.checkpoints.copies_folder import CopiesFolder
from ernie.cli import main
from ernie.commands import compare
from ernie.pretraining.run_directory import RunDirectory
from ernie.utils.records import refuse_another_run
from reader.utils.files import write_json
from tests.ernie import runs
from tests.ernie.finetuning.tiny import QUICK, finetune, make_data


class Pretraining:
    """A run of one stage whose checkpoints are copied to ``store``."""

    record = "run.json"

    def __init__(self, folder, model_files):
        self.folder = folder
        self.file = runs.declare(folder, [{"knowledge_masking": 4}], checkpoint_every=2,
                                 copy_checkpoints_to=str(folder / "store"))

    def __call__(self, output, *settings):
        return main(["pretrain", "--config", str(self.file), "--output", str(self.folder / output), "--stage", "1",
                     *(part for setting in settings for part in ("--set", setting))])

    other = "optimizer.learning_rate=0.001"
    difference = "curriculum.optimizer.learning_rate: was 0.003, is now 0.001"


class Finetuning:
    """A run of one seed whose checkpoints are copied to ``store``."""

    record = "finetune.json"

    def __init__(self, folder, model_files):
        self.folder, self.model_files = folder, model_files
        self.data = make_data("rte", folder / "data")

    def __call__(self, output, *settings):
        return finetune("rte", self.data, self.folder / output, self.model_files, "checkpoint_every=1",
                        f"copy_checkpoints_to={self.folder / 'store'}", *settings)

    other = "learning_rate=0.001"
    difference = "learning_rate: was 2e-05, is now 0.001"


class Together(Finetuning):
    """A joint run of two tasks."""

    record = "together.json"

    def __init__(self, folder, model_files):
        super().__init__(folder, model_files)
        make_data("mrpc", folder / "mrpc")

    def __call__(self, output, *settings):
        flags = ["finetune", "--together", f"rte={self.data},mrpc={self.folder / 'mrpc'}", "--output",
                 str(self.folder / output), "--model", str(self.model_files[0]), "--vocab", str(self.model_files[1])]
        return main(flags + [part for setting in [*QUICK, "checkpoint_every=1", *settings,
                                                  f"copy_checkpoints_to={self.folder / 'store'}"]
                             for part in ("--set", setting)])

    difference = "tasks.rte.learning_rate: was 2e-05, is now 0.001"


@pytest.fixture(params=[Pretraining, Finetuning, Together])
def train(request, tmp_path, model_files):
    return request.param(tmp_path, model_files)


def test_another_run_does_not_take_the_copies_over(train, tmp_path, capsys):
    assert train("first") == 0
    assert (tmp_path / "store" / train.record).read_bytes() == (tmp_path / "first" / train.record).read_bytes()
    shutil.rmtree(tmp_path / "first")  # a run begun anew with another setting is another one, too
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert train("first", train.other) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'store' / train.record}: this run was started differently; use another folder in " \
           "copy_checkpoints_to, or undo:" in error
    assert train.difference in error
    assert not (tmp_path / "first" / train.record).exists()
    assert before == {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    record = (tmp_path / "store" / train.record).rename(tmp_path / "aside")
    assert train("second") == 2
    assert f"{tmp_path / 'store'}: holds checkpoints and no {train.record} that says of which run" in \
        capsys.readouterr().err
    record.rename(tmp_path / "store" / train.record)
    assert train("again") == 0  # the same run may
    assert "is newer than what is here, which is nothing" in capsys.readouterr().out


def test_a_folder_that_another_run_has_claimed_since_gets_no_copies(tmp_path):
    """Two runs begin at once with an empty folder: the first copy decides whose it is."""
    def refuse(file, old, new):
        refuse_another_run(file, old, new, "folder")

    said = []
    for name, seed in (("first", 1), ("second", 2)):
        write_json(tmp_path / name / "run.json", {"seed": seed})
        checkpoint.write(tmp_path / name / "stage-1" / f"step-0000000{seed}",
                         {"model.safetensors": {"w": np.zeros(3, np.float32)}}, {})
    folders = [CopiesFolder(tmp_path / "store", tmp_path / name / "run.json", ["stage-*"], refuse)
               for name in ("first", "second")]
    for seed, folder in enumerate(folders, 1):
        folder.check({"seed": seed})
    for seed, (name, folder) in enumerate(zip(("first", "second"), folders), 1):
        copier = Copier(tmp_path / "store" / "stage-1", 2, said.append, folder.claim)
        copier.add(tmp_path / name / "stage-1" / f"step-0000000{seed}")
        assert copier.wait(100) and copier.failed == seed - 1
    assert "run.json: this run was started differently; use another folder" in said[-1]
    assert "seed: was 1, is now 2" in said[-1]
    assert [path.name for path in (tmp_path / "store" / "stage-1").iterdir()] == ["step-00000001"]


def test_the_launchers_first_look_refuses_too(tmp_path, model_files, capsys):
    train = Pretraining(tmp_path, model_files)
    assert train("first") == 0
    capsys.readouterr()
    look = ["stages", "--config", str(train.file), "--output", str(tmp_path / "second")]
    assert main([*look, "--set", train.other]) == 2
    assert train.difference in capsys.readouterr().err
    (tmp_path / "store" / "run.json").unlink()
    assert main(look) == 2
    assert "holds checkpoints and no run.json" in capsys.readouterr().err


def test_a_lost_run_keeps_the_stages_that_it_was_recorded_with(tmp_path):
    """Tasks that a run was extended by have stages of their own, other than if all had been declared at once."""
    def flags(tasks, stage):
        return ["pretrain", "--config", str(file), "--output", str(tmp_path / "run"), "--stage", str(stage), "--set",
                f"tasks=[{tasks}]"]

    declared = json.loads(runs.declare(tmp_path, [], checkpoint_every=2,
                                       copy_checkpoints_to=str(tmp_path / "store")).read_text())
    del declared["method"], declared["stages"]
    file = tmp_path / "continual.yaml"
    file.write_text(json.dumps({**declared, "iterations_per_task": 4}))
    one, both = "knowledge_masking", "knowledge_masking, sentence_distance"
    assert main(flags(one, 1)) == 0
    assert main(flags(both, 2)) == 0
    stages = RunDirectory(tmp_path / "run").recorded()["stages"]
    assert [stage["budgets"] for stage in stages] == [{"knowledge_masking": 4}, {"knowledge_masking": 1,
                                                                                 "sentence_distance": 4}]
    shutil.rmtree(tmp_path / "run")
    assert main(flags(both, 1)) == 0
    assert RunDirectory(tmp_path / "run").recorded()["stages"] == stages


def test_runs_of_a_comparison_have_folders_of_their_own(tmp_path):
    runs.declare(tmp_path, [{"knowledge_masking": 4}]).rename(tmp_path / "a.yaml")
    runs.declare(tmp_path, [{"knowledge_masking": 4}], copy_checkpoints_to="bucket").rename(tmp_path / "b.yaml")
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    plan, *_ = compare.make_plan(parser.parse_args(
        [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "--corpus", str(tmp_path), "--output",
         str(tmp_path / "out"), "--seeds", "1", "--finetune", f"rte={tmp_path}", "--finetune-set",
         "copy_checkpoints_to=/mnt/fine"]))

    given = [[part for part in job.arguments if part.startswith("copy_checkpoints_to=")][-1:]
             for chain in plan.chains() for job in chain]
    assert given == [[], ["copy_checkpoints_to=/mnt/fine/a/finetune-rte/seed-1"],
                     ["copy_checkpoints_to=bucket/b/seed-1"], ["copy_checkpoints_to=/mnt/fine/b/finetune-rte/seed-1"]]


def test_every_setting_of_a_sweep_has_a_folder_of_its_own(tmp_path, model_files, capsys):
    train = Finetuning(tmp_path, model_files)
    assert finetune("rte", train.data, tmp_path / "out", model_files, "checkpoint_every=1",
                    f"copy_checkpoints_to={tmp_path / 'store'}", extra=["--sweep", "seed=1,2"]) == 0
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["seed=1", "seed=2"]
    assert "which is nothing" not in capsys.readouterr().out
