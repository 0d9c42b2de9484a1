"""Checkpoints that are copied to another folder: whole or absent, never at the run's expense, and good to resume."""
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from ernie.checkpoints import checkpoint, copies
from ernie.checkpoints.checkpoint import CheckpointWriter
from ernie.checkpoints.copies import Copier
from tests.ernie import runs
from tests.ernie.finetuning.test_run import model_files  # noqa: F401  (a fixture)
from tests.ernie.training.test_life_cycle import Side, ended


def writer(folder, said, keep=2):
    copier = Copier(folder / "copies", keep, said.append)
    return CheckpointWriter(folder / "run", keep, {"vocab.txt": "a\n"}, said.append, copier), copier


def save(to, step):
    to.save(step, {"w": np.full(1000, step, np.float32)}, {"m": np.zeros(3, np.float32)}, {"step": step}, wait=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_copied_and_kept(tmp_path):
    said = []
    to, copier = writer(tmp_path, said)
    for step in (1, 2, 3):
        save(to, step)
        assert copier.wait(10)
    to.finish()
    assert names(tmp_path / "copies") == names(tmp_path / "run") == ["step-00000002", "step-00000003"]
    assert checkpoint.newest(tmp_path / "copies") == tmp_path / "copies" / "step-00000003"
    assert sum("copied to" in line for line in said) == 3 and not copier.failed


def test_a_store_that_fails_is_counted_and_costs_nothing(tmp_path):
    said = []
    (tmp_path / "copies").write_text("a file where the folder should be")
    to, copier = writer(tmp_path, said)
    for step in (1, 2):
        save(to, step)
        copier.wait(10)
    assert copier.failed == 2 and names(tmp_path / "run") == ["step-00000001", "step-00000002"]
    assert "copies that failed so far: 2; training goes on" in said[-1]
    (tmp_path / "copies").unlink()
    save(to, 3)
    to.finish()
    assert names(tmp_path / "copies") == ["step-00000003"]


def test_a_slow_store_holds_nothing_up_and_its_source_stays(tmp_path, monkeypatch):
    said, go, real = [], threading.Event(), shutil.copyfile
    monkeypatch.setattr(copies.shutil, "copyfile", lambda *args: (go.wait(30), real(*args)))
    to, copier = writer(tmp_path, said, keep=1)
    begun = time.monotonic()
    for step in (1, 2, 3):
        save(to, step)
    assert time.monotonic() - begun < 10
    assert names(tmp_path / "run") == ["step-00000001", "step-00000003"]  # the first is being copied
    assert not copier.wait(0.1) and "left unfinished" in said[-1]
    go.set()
    assert copier.wait(10) and copier.left_out == 1 and names(tmp_path / "copies") == ["step-00000003"]


def test_a_copy_that_was_cut_short_is_none(tmp_path, monkeypatch):
    said = []
    to, copier = writer(tmp_path, said)
    real = shutil.copyfile

    def short(source, target):
        real(source, target)
        os.truncate(target, 10)

    monkeypatch.setattr(copies.shutil, "copyfile", short)
    save(to, 1)
    copier.wait(10)
    assert copier.failed == 1 and "is not what was written" in said[-1]
    assert checkpoint.newest(tmp_path / "copies") is None


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_run_whose_directory_is_lost_goes_on_from_the_copies(kind, tmp_path, model_files):  # noqa: F811
    for folder in ("alone", "lost"):
        (tmp_path / folder).mkdir()
    alone, lost = (Side(kind, tmp_path / folder, model_files) for folder in ("alone", "lost"))
    ended(alone.start("--set", "checkpoint_every=4"), 0, alone)
    flags = ("--set", "checkpoint_every=4", "--set", f"copy_checkpoints_to={tmp_path / 'store'}")
    process = lost.start(*flags)
    while "step-00000008: copied to" not in lost.said() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) in (0, 1), lost.said()  # a quick machine may have come to the end
    runs.end(process)
    assert "copied to" in lost.said()
    shutil.rmtree(lost.output)
    ended(lost.start(*flags), 0, lost)
    assert f"{tmp_path / 'store' / lost.resumable.name / 'step-'}" in lost.said()  # "... is newer than what is here"
    assert f"resumes {lost.resumable / 'step-'}" in lost.said()
    assert runs.identical(alone.weights(), lost.weights())


def test_a_run_that_was_lost_at_its_end_is_whole_again(tmp_path):
    """The stage is over, but what follows begins with its last checkpoint, which must lie where the record says."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 6}, {"knowledge_masking": 3}], checkpoint_every=3,
                        copy_checkpoints_to=str(tmp_path / "store"))
    runs.run(file, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "store" / "stage-2", ignore_errors=True)
    runs.run(file, tmp_path / "run")
    assert (tmp_path / "run" / "stage-1" / "step-00000006" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "stage-2" / "done.json").is_file()
