"""An attempt that trained nothing leaves nothing that was not there."""
import subprocess

import pytest

from ernie.utils.files import lock
from ernie.utils.footprint import Footprint, hold
from reader.utils.errors import InputError
from tests.ernie import runs


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_was_there_stays_and_what_came_goes(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    before = Footprint(tmp_path / "out")
    (tmp_path / "out" / "seed-1").mkdir()
    (tmp_path / "out" / "seed-1" / "a").write_text("x")
    (tmp_path / "out" / "corpus").mkdir()
    before.undo(keep=["corpus"])
    assert listing(tmp_path / "out") == ["corpus", "mine"]


def test_a_mistake_under_the_lock_leaves_no_directory(tmp_path):
    with pytest.raises(InputError), hold(tmp_path / "deep" / "out"):
        raise InputError("wrong")
    assert listing(tmp_path) == []
    with hold(tmp_path / "out"):
        pass
    assert listing(tmp_path) == ["out", "out/.lock"]


def test_what_another_wrote_while_we_waited_stays(tmp_path):
    before = Footprint(tmp_path / "out")
    with lock(tmp_path / "out"):
        (tmp_path / "out" / "theirs").write_text("x")
        before.locked()
        (tmp_path / "out" / "ours").write_text("x")
        before.undo()
    assert listing(tmp_path) == ["out", "out/theirs"]


@pytest.mark.parametrize("wrong", ["max_length=4000", "class_weights=1,2,3", "frozen_layers=99"])
def test_a_mistake_before_training_leaves_no_output(wrong, tmp_path, capsys):
    """The last two are found when the record and the folder of the seed are there."""
    pytest.importorskip("paddle")
    from ernie.cli import main
    (tmp_path / "data").mkdir()
    for name in ("train", "dev"):
        (tmp_path / "data" / f"{name}.tsv").write_text("label\ttext_a\n1\tgood\n0\tbad\n")
    before = listing(tmp_path)
    command = ["finetune", "--task", "chnsenticorp", "--data", str(tmp_path / "data"), "--output",
               str(tmp_path / "output" / "reviews"), "--model", "configs/model/mini.json"]
    assert main([*command, "--set", wrong]) == 2, capsys.readouterr()
    assert listing(tmp_path) == before
    (tmp_path / "output").mkdir()
    assert main([*command, "--set", wrong]) == 2
    assert listing(tmp_path) == [*before, "output"]


@pytest.mark.slow
def test_nor_does_a_mistake_behind_the_launcher(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.tsv").write_text("label\ttext_a\n1\tgood\n0\tbad\n")
    before = listing(tmp_path)
    for devices in ("0", "0,1"):
        command = ["bash", str(runs.ROOT / "run_finetune.sh"), "chnsenticorp", "--data", "data", "--output",
                   "output/x", "--model", "configs/model/mini.json", "--set", "frozen_layers=99", "--devices", devices]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=runs.ENVIRONMENT)
        said = done.stdout + done.stderr
        assert done.returncode == 2 and "frozen_layers 99" in said, said
        assert listing(tmp_path) == before
