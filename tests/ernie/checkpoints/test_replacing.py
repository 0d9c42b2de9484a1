"""A directory that is written anew while a former one is there: a kill at any step loses neither."""
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ernie.checkpoints import checkpoint, copies
from ernie.finetuning.predictor import find_model
from reader.store.store import Store
from reader.utils.files import present, settle
from tests.builders import build_store, random_documents

STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}  # what Python tells before each


def killed_at(number: int, call) -> bool:
    """Carry a call out in another process that is killed before its step ``number``; False: it came to its end."""
    pid = os.fork()
    if not pid:
        count = 0

        def hook(event: str, _arguments: tuple) -> None:
            nonlocal count
            if event in STEPS:
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            call()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def weights(folder, number):
    checkpoint.write(folder / "best", {"model.safetensors": {"w": np.full(100, number, np.float32)}},
                     {"finetuned.json": "{}"})


def copied(folder, number):
    weights(folder / "from", number)
    copies.copy(folder / "from" / "best", folder / "best")


def corpus(folder, number):
    build_store(folder / "best", random_documents(2 + number))


def number_of(kind, path) -> int:
    """Which writing a directory is of; it must be whole."""
    if kind is corpus:
        return len(Store(path).documents) - 1 - 2
    assert not checkpoint.check(path)
    return int(checkpoint.load_file(path / "model.safetensors")["w"][0])


@pytest.fixture
def in_memory():
    """A folder where putting a file on the disk takes no time: hundreds are."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", [weights, copied, corpus])
def test_a_kill_at_any_step_leaves_the_former_or_the_new_one(kind, in_memory):
    seen, number, folder = [], 0, in_memory / "folder"
    while True:
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        kind(folder, 1)
        killed = killed_at(number, lambda: kind(folder, 2))
        seen.append(number_of(kind, present(folder / "best")))
        if kind is weights:
            assert find_model(folder) == present(folder / "best")  # also for those who only read
        settle(folder)
        assert number_of(kind, folder / "best") == seen[-1] and not list(folder.glob("*.old"))
        kind(folder, 2)
        assert number_of(kind, folder / "best") == 2
        assert {path.name for path in folder.iterdir()} <= {"best", "best.vocab.txt", "from"}
        if not killed:
            break
    assert seen == sorted(seen) and seen.count(1) > 3 and seen.count(2) > 2  # kills fell before and after the change


def test_a_checkpoint_that_is_half_replaced_is_settled_when_training_goes_on(tmp_path):
    weights(tmp_path, 1)
    os.rename(tmp_path / "best", tmp_path / "best.old")
    checkpoint.write(tmp_path / "step-00000003", {"model.safetensors": {"w": np.zeros(1, np.float32)}}, {})
    shutil.copytree(tmp_path / "step-00000003", tmp_path / "step-00000003.old")
    assert checkpoint.newest(tmp_path) == tmp_path / "step-00000003"
    settle(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "step-00000003"]
