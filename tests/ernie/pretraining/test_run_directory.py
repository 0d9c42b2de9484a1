"""A run goes on where it stood: a finished stage whose end is lost is no dead end, another run is refused."""
import json
import shutil
import sys

import pytest

from ernie.cli import main
from ernie.pretraining.run_directory import RunDirectory
from tests.ernie import runs


def test_a_finished_stage_with_a_damaged_end_is_trained_again_from_its_newest_whole_checkpoint(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 7}, {"knowledge_masking": 3}], checkpoint_every=5)
    runs.run(file, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stage-2")
    end = tmp_path / "run" / "stage-1" / "step-00000007" / "model.safetensors"
    end.write_bytes(end.read_bytes()[:-8])
    said = runs.run(file, tmp_path / "run")
    assert "stage 1 was finished, but its last checkpoint is damaged (model.safetensors has" in said
    assert "it is trained again from step-00000005" in said
    for stage in (1, 2):
        assert runs.identical(runs.final(tmp_path / "whole", stage), runs.final(tmp_path / "run", stage))


def test_an_earlier_stages_end_is_not_missed_once_the_next_has_begun(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}, {"knowledge_masking": 3}])
    runs.run(file, tmp_path / "run")
    end = tmp_path / "run" / "stage-1" / "step-00000004" / "model.safetensors"
    end.write_bytes(b"")
    assert "damaged" not in runs.run(file, tmp_path / "run")


OWN = """
import numpy as np
from tasks.base import TokenTask


class {kind}(TokenTask):
    name = "{name}"
    classes = {classes}

    def labels(self, tokens):
        return (tokens.ids % len(self.classes)).astype(np.int64)
"""


@pytest.fixture
def two_stages(tmp_path):
    """A run whose first stage, of a task in the user's own file, is over; and its command line."""
    (tmp_path / "remainder.py").write_text(OWN.format(kind="Remainder", name="remainder", classes=("even", "odd")))
    file = runs.declare(tmp_path, [{"remainder": 4}, {"knowledge_masking": 3}], checkpoint_every=2,
                        tasks_from=[str(tmp_path / "remainder.py")])
    common = ["--config", str(file), "--output", str(tmp_path / "run")]
    assert main(["pretrain", *common, "--stage", "1"]) == 0
    return common


@pytest.mark.parametrize("classes, difference", [
    (("none", "one", "two"), "classes.remainder: was ['even', 'odd'], is now ['none', 'one', 'two']"),
    (("odd", "even"), "classes.remainder[0]: was 'even', is now 'odd'"),
])
def test_other_classes_of_the_users_own_task_are_another_run(two_stages, tmp_path, capsys, classes, difference):
    """As found by the launcher's first look, by the next stage and by the stage that is resumed in its midst."""
    (tmp_path / "remainder.py").write_text(OWN.format(kind="Remainder", name="remainder", classes=classes))
    for name in [name for name in sys.modules if name.startswith("tasks_from_")]:  # as in a new process
        del sys.modules[name]
    for command in (["stages", *two_stages], ["pretrain", *two_stages, "--stage", "2"]):
        assert main(command) == 2
        assert difference in capsys.readouterr().err
    shutil.rmtree(tmp_path / "run" / "stage-1" / "step-00000004")
    (tmp_path / "run" / "stage-1" / "done.json").unlink()
    assert main(["pretrain", *two_stages, "--stage", "1"]) == 2
    assert difference in capsys.readouterr().err


def test_a_run_may_still_be_extended_by_a_task_with_classes_of_its_own(two_stages, tmp_path, capsys):
    (tmp_path / "later.py").write_text(OWN.format(kind="Later", name="later", classes=("a", "b", "c")))
    extended = [*two_stages, "--tasks-from", str(tmp_path / "later.py"), "--set",
                "tasks=[remainder, knowledge_masking, later]", "--set",
                "stages=[{tasks: {remainder: 4}}, {tasks: {knowledge_masking: 3}}, {tasks: {later: 2}}]"]
    assert main(["stages", *extended]) == 0
    assert capsys.readouterr().out.split() == ["2", "3"]
    assert main(["pretrain", *extended, "--stage", "2"]) == 0
    assert list(RunDirectory(tmp_path / "run").recorded()["classes"]) == ["remainder", "knowledge_masking", "later"]


def test_a_record_without_classes_is_gone_on_with(two_stages, tmp_path):
    file = tmp_path / "run" / "run.json"
    record = json.loads(file.read_text())
    del record["classes"]
    file.write_text(json.dumps(record))
    assert main(["stages", *two_stages]) == 0
