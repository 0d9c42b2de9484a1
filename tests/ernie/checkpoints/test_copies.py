"""Checkpoints that are copied to another folder: whole or absent, never at the run's expense, and good to resume."""
import contextlib
import os
import resource
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
        assert copier.wait(100)
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
        copier.wait(100)
    assert copier.failed == 2 and names(tmp_path / "run") == ["step-00000001", "step-00000002"]
    assert "copies that failed so far: 2; training goes on" in said[-1]
    (tmp_path / "copies").unlink()
    save(to, 3)
    to.finish()
    assert names(tmp_path / "copies") == ["step-00000003"]


def test_a_slow_store_holds_nothing_up_and_its_source_stays(tmp_path):
    """A pipe among the files holds the copier up, as a slow file system does, until somebody closes its other end."""
    said = []
    to, copier = writer(tmp_path, said, keep=1)
    checkpoint.write(tmp_path / "run" / "best", {"model.safetensors": {"w": np.zeros(3, np.float32)}}, {})
    os.mkfifo(tmp_path / "run" / "best" / "pipe")
    for step in (1, 2, 3):
        save(to, step)
    assert names(tmp_path / "run") == ["best", "step-00000001", "step-00000003"]  # the first is being copied
    assert not copier.wait(0.1) and "left unfinished" in said[-1]
    deadline = time.monotonic() + 100
    while not copier.wait(0.05):  # the best weights are looked at again beside each checkpoint
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError):  # nobody waits at the pipe now
            os.close(os.open(tmp_path / "run" / "best" / "pipe", os.O_WRONLY | os.O_NONBLOCK))
    assert copier.left_out == 1 and names(tmp_path / "copies") == ["best", "step-00000003"]


def test_a_copy_that_is_not_what_was_written_is_none(tmp_path):
    said = []
    to, copier = writer(tmp_path, said)
    save(to, 1)
    assert copier.wait(100)
    shutil.rmtree(tmp_path / "copies")
    os.truncate(tmp_path / "run" / "step-00000001" / "model.safetensors", 100)  # the disk has lost some of it
    copier.add(tmp_path / "run" / "step-00000001")
    assert copier.wait(100)
    assert copier.failed == 1 and "is not what was written" in said[-1]
    assert checkpoint.newest(tmp_path / "copies") is None


def test_a_store_that_is_full_keeps_the_copy_before(tmp_path):
    said = []
    to, copier = writer(tmp_path, said)
    save(to, 1)
    assert copier.wait(100)
    save(CheckpointWriter(tmp_path / "run", 2, {}, said.append), 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))  # a quota: the file ends in the middle
    try:
        copier.add(tmp_path / "run" / "step-00000002")
        assert copier.wait(100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert copier.failed == 1 and "File too large" in said[-1] and "training goes on" in said[-1]
    assert checkpoint.newest(tmp_path / "copies") == tmp_path / "copies" / "step-00000001"


def test_best_weights_that_are_replaced_while_they_are_copied_are_copied_whole(tmp_path):
    over, errors = threading.Event(), []

    def replace():
        turn = 0
        while not over.is_set():
            turn += 1
            checkpoint.write(tmp_path / "best", {"model.safetensors": {"w": np.full(50_000, turn, np.float32)}}, {})

    checkpoint.write(tmp_path / "best", {"model.safetensors": {"w": np.zeros(50_000, np.float32)}}, {})
    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(60):
            try:
                copies.copy(tmp_path / "best", tmp_path / "copy")
            except OSError as error:
                errors.append(error)
            assert not checkpoint.check(tmp_path / "copy")
    finally:
        over.set()
        thread.join()
    assert not errors


@pytest.mark.parametrize("times", [1, 5])
def test_a_directory_that_is_replaced_while_it_is_opened_is_opened_again(tmp_path, monkeypatch, times):
    """Also when what was in it is deleted before its files are listed."""
    def best(value):
        checkpoint.write(tmp_path / "best", {"model.safetensors": {"w": np.full(3, value, np.float32)}}, {})

    def replaced(folder):
        if isinstance(folder, int) and len(seen) < times:
            seen.append(folder)
            best(len(seen))
        return listed(folder)

    best(0)
    seen, listed = [], os.listdir
    monkeypatch.setattr(copies.os, "listdir", replaced)
    copies.copy(tmp_path / "best", tmp_path / "copy")
    monkeypatch.undo()
    assert len(seen) == times and not checkpoint.check(tmp_path / "copy")
    assert runs.load_file(tmp_path / "copy" / "model.safetensors")["w"][0] == times


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_run_whose_directory_is_lost_goes_on_from_the_copies(kind, tmp_path, model_files):
    for folder in ("alone", "lost"):
        (tmp_path / folder).mkdir()
    alone, lost = (Side(kind, tmp_path / folder, model_files) for folder in ("alone", "lost"))
    ended(alone.start("--set", "checkpoint_every=4"), 0, alone)
    flags = ("--set", "checkpoint_every=4", "--set", f"copy_checkpoints_to={tmp_path / 'store'}")
    process = lost.start(*flags)
    while "step-00000008: copied to" not in lost.said() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(400) in (0, 1), lost.said()  # a quick machine may have come to the end
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
