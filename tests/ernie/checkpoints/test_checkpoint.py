"""Checkpoints are whole or absent, whatever happens to the disk; and a run takes only what continues it."""
import errno
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from ernie.checkpoints import checkpoint
from ernie.checkpoints.checkpoint import CheckpointWriter
from ernie.cli import main
from ernie.pretraining.run_directory import RunDirectory
from ernie.utils.files import lock
from reader.utils.errors import InputError
from tests.ernie import runs

ARRAYS = {"a": np.arange(1000, dtype=np.float32), "b.c": np.ones((3, 4), np.float32)}


def saved(folder, *steps, keep=5, extra=None):
    """Whole checkpoints of these steps."""
    writer = CheckpointWriter(folder, keep, extra or {"vocab.txt": "[PAD]\n"})
    for step in steps:
        writer.save(step, ARRAYS, {"moment1/a": ARRAYS["a"] * step}, {"step": step}, wait=True)
    return folder


def test_what_is_written_comes_back(tmp_path):
    found = checkpoint.read(checkpoint.newest(saved(tmp_path, 5, 10)))
    assert found.path.name == "step-00000010" and found.state == {"step": 10}
    assert all(np.array_equal(found.model[name], ARRAYS[name]) for name in ARRAYS)
    assert np.array_equal(found.optimizer["moment1/a"], ARRAYS["a"] * 10)
    assert (found.path / "vocab.txt").read_text() == "[PAD]\n"


def truncate(path):
    with open(path / "model.safetensors", "r+b") as file:
        file.truncate(100)


def flip(path):
    content = bytearray((path / "optimizer.safetensors").read_bytes())
    content[-7] ^= 1
    (path / "optimizer.safetensors").write_bytes(content)


DAMAGE = {
    "truncated": (truncate, "model.safetensors has 100 bytes, not "),
    "a byte flipped": (flip, "optimizer.safetensors has another checksum than when it was written"),
    "a file deleted": (lambda path: (path / "state.json").unlink(), "state.json is missing"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json cannot be read"),
    "half a manifest": (lambda path: (path / "manifest.json").write_text('{"files":'), "manifest.json cannot be read"),
    "an empty directory": (lambda path: [file.unlink() for file in path.iterdir()], "manifest.json cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, kind):
    spoil, words = DAMAGE[kind]
    spoil(saved(tmp_path, 5, 10) / "step-00000010")
    told = []
    assert checkpoint.newest(tmp_path, told.append).name == "step-00000005"
    assert len(told) == 1 and "step-00000010 is damaged and passed over" in told[0] and words in told[0]


def test_nothing_whole_is_nothing(tmp_path):
    truncate(saved(tmp_path, 5) / "step-00000005")
    assert checkpoint.newest(tmp_path, lambda text: None) is None
    assert checkpoint.newest(tmp_path / "absent") is None


def test_the_newest_are_kept_and_halves_cleared_away(tmp_path):
    (tmp_path / "step-00000003.partial").mkdir()
    saved(tmp_path, 5, 10, 15, 20, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000015", "step-00000020"]


def test_a_half_written_checkpoint_does_not_count(tmp_path):
    saved(tmp_path, 5)
    (tmp_path / "step-00000010.partial").mkdir()
    assert checkpoint.newest(tmp_path).name == "step-00000005"


def full(path, arrays, texts):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path, monkeypatch):
    told = []
    writer = CheckpointWriter(saved(tmp_path, 5), 1, {}, told.append)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", full)
        writer.save(10, ARRAYS, {}, {})
        writer.wait()
        assert "step-00000010 could not be written" in told[0] and "No space left" in told[0] and "intact" in told[0]
        with pytest.raises(OSError, match="could not be written"):  # at the end of a stage there is no next time
            writer.save(11, ARRAYS, {}, {}, wait=True)
    assert checkpoint.newest(tmp_path).name == "step-00000005"
    writer.save(15, ARRAYS, {}, {}, wait=True)
    assert checkpoint.newest(tmp_path).name == "step-00000015"


LIMITED = """
import resource, signal, sys
import numpy as np
from ernie.checkpoints.checkpoint import CheckpointWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = CheckpointWriter(sys.argv[1], 5, {})
writer.save(5, {"a": np.zeros(1000, np.float32)}, {}, {}, wait=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
writer.save(10, {"a": np.zeros(100000, np.float32)}, {}, {})
writer.wait()
"""


def test_a_real_limit_of_the_file_system_leaves_the_last_good_one(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, cwd=runs.ROOT)
    assert done.returncode == 0, done.stderr
    assert "step-00000010 could not be written" in done.stdout and "the one before it is intact" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]
    assert checkpoint.newest(tmp_path).name == "step-00000005"


def test_training_is_held_up_for_copying_only(tmp_path, monkeypatch):
    go_on = threading.Event()
    write = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", lambda *args: (go_on.wait(100), write(*args)))
    writer = CheckpointWriter(tmp_path, 2, {})
    writer.save(5, ARRAYS, {}, {"step": 5})  # returns although nothing can be written yet
    assert checkpoint.newest(tmp_path) is None
    go_on.set()
    writer.wait()
    assert checkpoint.newest(tmp_path).name == "step-00000005"


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path):
    run = RunDirectory(tmp_path / "run")
    with lock(run.path):
        told = []
        with pytest.raises(InputError, match=rf"another process \(pid {os.getpid()} on .*\) is training"):
            lock(run.path, patience=0.6, say=told.append)
        assert told and "waiting for another process" in told[0]
    lock(run.path, patience=0).close()


@pytest.fixture
def prepared(tmp_path, capsys):
    """command(*options) runs ``ernie stages`` on a recorded run; gives (exit code, stderr)."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}, {"knowledge_masking": 2, "capitalization": 2}])
    from ernie.pretraining.curriculum import load
    from ernie.pretraining.data import PretrainingData
    from ernie.pretraining.model_config import model_config
    curriculum = load(file)
    run, data = RunDirectory(tmp_path / "run"), PretrainingData(curriculum)
    run.record(curriculum, run.stages(curriculum), data.facts(model_config(curriculum, data.tokenizer.size)))

    def command(*options):
        capsys.readouterr()
        code = main(["stages", "--config", str(file), "--output", str(tmp_path / "run"), *options])
        return code, capsys.readouterr().err
    return command


@pytest.mark.parametrize("change, words", [
    ("seed=2", "curriculum.seed: was 1, is now 2"),
    ("optimizer.learning_rate=1", "curriculum.optimizer.learning_rate: was 0.003, is now 1"),
    ("batch_tokens=512", "curriculum.batch_tokens: was 256, is now 512"),
    ("stages=[{tasks: {knowledge_masking: 5}}, {tasks: {knowledge_masking: 2, capitalization: 2}}]",
     "curriculum.stages[0].tasks.knowledge_masking: was 4, is now 5"),
    ("tasks=[capitalization, knowledge_masking]", "must begin with these tasks in this order"),
])
def test_another_curriculum_is_refused_with_the_difference(prepared, change, words):
    code, error = prepared("--set", change)
    assert code == 2 and words in error and error.count("was ") <= 2


def test_what_changes_nothing_that_is_computed_may_change(prepared):
    code, error = prepared(*(word for change in ("workers=3", "log_every=7", "checkpoint_every=9", "recompute=true",
                                                 "keep_checkpoints=4") for word in ("--set", change)))
    assert code == 0, error


def test_another_model_is_refused_with_the_difference(prepared, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({**runs.MODEL, "num_hidden_layers": 3}))
    code, error = prepared()
    assert code == 2 and "model.num_hidden_layers: was 2, is now 3" in error


def test_other_data_and_another_vocabulary_are_refused(prepared, tmp_path):
    from tests.builders import build_store, random_documents
    build_store(tmp_path / "train", random_documents(61))
    code, error = prepared()
    assert code == 2 and "data.made: was " in error and "vocabulary" not in error
    for name in ("train", "dev"):
        build_store(tmp_path / name, random_documents(60, words=51))
    code, error = prepared()
    assert code == 2 and "vocabulary: was " in error


def test_a_stage_may_be_added_to_stages_that_are_written_out(prepared):
    code, error = prepared("--set", "tasks=[knowledge_masking, capitalization, token_document]", "--set",
                           "stages=[{tasks: {knowledge_masking: 4}}, {tasks: {knowledge_masking: 2, "
                           "capitalization: 2}}, {tasks: {token_document: 5}}]")
    assert code == 0, error



def damage(path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def test_damaged_checkpoints_take_no_whole_ones_place(tmp_path):
    writer = CheckpointWriter(tmp_path, 2, {})
    for step in (119, 120):
        writer.save(step, ARRAYS, {}, {"step": step}, wait=True)
        damage(tmp_path / f"step-{step:08d}")
    again = CheckpointWriter(tmp_path, 2, {})  # a new process, which has resumed from nothing
    for step in (19, 39, 59):
        again.save(step, ARRAYS, {}, {"step": step}, wait=True)
        assert checkpoint.newest(tmp_path, lambda line: None).name == f"step-{step:08d}"
    whole = [path.name for path in sorted(tmp_path.glob("step-*")) if not checkpoint.check(path)]
    assert whole == ["step-00000039", "step-00000059"]
