"""`ernie verify`, permissions of what is written, and the hash of the data that a run has read."""
import json
import os
import random
import resource
import shutil
import signal
import tarfile

import numpy as np
import pytest
from safetensors.numpy import load_file

from ernie import cli
from ernie.checkpoints import checkpoint
from ernie.checkpoints.formats.families import FAMILIES, write
from ernie.checkpoints.formats.tensor_files import write_safetensors
from tests.bounded import outcome
from tests.builders import build_store, random_documents
from tests.ernie import runs
from tests.ernie.released import checkpoint as released
from tests.long_form import LONG

pytest.importorskip("paddle")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    file = runs.declare(folder, [{"knowledge_masking": 8}, {"knowledge_masking": 4, "capitalization": 4}])
    runs.run(file, folder / "out")
    return folder, file


def verified(capsys, *paths) -> tuple[int, str]:
    code = cli.main(["verify", *map(str, paths)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out + captured.err


def test_a_run_is_whole(trained, capsys):
    folder, _ = trained
    code, text = verified(capsys, folder / "out", folder / "train")
    assert code == 0 and text.count("whole") >= 6, text
    assert "every block with its checksum" in text and "files as they were written" in text


def test_an_archive_and_the_path_of_weights_are_read_as_elsewhere(tmp_path, capsys):
    write(released(tmp_path), tmp_path / "one", "static")
    write(released(tmp_path), tmp_path / "two", "dygraph")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "one", "one")
    code, text = verified(capsys, tmp_path / "a.tar.gz", tmp_path / "two" / "saved_weights.pdparams")
    assert code == 0 and text.count("agree with their configuration") == 2, text
    (tmp_path / "a.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:500])
    code, text = verified(capsys, tmp_path / "a.tar.gz")
    assert code == 2 and "not a whole archive" in text


@pytest.mark.parametrize("place, message", [
    ("out/stage-1/step-00000008/model.safetensors", "another checksum"), ("out/run.json", "cannot be read"),
    ("out/stage-2/done.json", "cannot be read"), ("train/flags.npy", "not what was written"),
    ("out/stage-2/log.jsonl", "cannot be read"), ("out/stage-2/step-00000008/manifest.json", "cannot be read"),
])
def test_damage_anywhere_in_a_run_is_named(trained, tmp_path, capsys, place, message):
    shutil.copytree(trained[0], tmp_path / "run")
    file = tmp_path / "run" / place
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0x80
    file.write_bytes(raw)
    code, text = verified(capsys, tmp_path / "run")
    assert code == 2 and message in text and "1 damaged" in text, text


def test_a_run_without_its_last_checkpoint_and_on_another_store(trained, tmp_path, capsys):
    folder, _ = trained
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/out/stage-2/step-00000008")
    record = json.loads((tmp_path / "run/out/run.json").read_text())
    other = build_store(tmp_path / "other", random_documents(9))
    record["curriculum"]["corpora"]["made"]["path"] = str(other.path)
    (tmp_path / "run/out/run.json").write_text(json.dumps(record))
    code, text = verified(capsys, tmp_path / "run/out")
    assert code == 2 and "which is not there" in text and "is not the store" in text, text


def test_weights_that_are_not_finite_are_damaged(tmp_path, capsys):
    checkpoint.write(tmp_path / "step-1", {"model.safetensors": {"a": np.array([1.0, np.nan], np.float32)}}, {})
    code, text = verified(capsys, tmp_path)
    assert code == 2 and "a in model.safetensors is not finite" in text


def test_released_checkpoints_are_read(tmp_path, capsys):
    write(released(tmp_path), tmp_path / "hf", "huggingface")
    assert verified(capsys, tmp_path / "hf")[0] == 0
    (tmp_path / "hf" / "config.json").write_text("[1]")
    assert verified(capsys, tmp_path / "hf")[0] == 2
    (tmp_path / "empty").mkdir()
    assert verified(capsys, tmp_path / "empty")[0] == 2
    code, text = verified(capsys, tmp_path / "none")
    assert code == 2 and "no such file" in text


def test_damaged_manifests_end_in_a_line(tmp_path, capsys):
    """60 damaged manifests (2,000 in the long form) of checkpoints, each refused or found whole."""
    rng = random.Random(3)
    checkpoint.write(tmp_path / "step-1", {"model.safetensors": {"a": np.ones(3, np.float32)}}, {"state.json": "{}"})
    manifest = tmp_path / "step-1" / "manifest.json"
    whole, noticed = manifest.read_bytes(), 0
    texts = [b"[]", b"null", b'{"files": []}', b'{"files": {}}', b'{"files": {"../x": {"bytes": 1, "sha256": "a"}}}',
             b'{"files": {"a": 3}}', b'{"files": {"state.json": {"bytes": null, "sha256": 3}}}', b"[" * 10_000]
    for turn in range(2_000 if LONG else 60):
        raw = bytearray(whole)
        place = rng.randrange(len(raw))
        raw[place:place + rng.choice([1, 1, 20])] = rng.randbytes(rng.choice([0, 1, 4]))
        manifest.write_bytes(texts[turn] if turn < len(texts) else raw)
        code, _ = verified(capsys, tmp_path / "step-1")
        assert code in (0, 2)
        noticed += code == 2
        assert bool(checkpoint.check(tmp_path / "step-1")) == (code == 2)
    assert noticed > 40


@pytest.mark.parametrize("mask, expected", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_what_is_written_honours_the_umask(tmp_path, mask, expected):
    before = os.umask(mask)
    try:
        checkpoint.write(tmp_path / "step-1", {"model.safetensors": {"a": np.ones(3, np.float32)}}, {"s.json": "{}"})
        found = released(tmp_path)
        for family in FAMILIES:
            write(found, tmp_path / family, family)
    finally:
        os.umask(before)
    for folder in ("step-1", *FAMILIES):
        for file in (tmp_path / folder).rglob("*"):
            mode = file.stat().st_mode & 0o777
            assert mode == (expected | (expected & 0o444) >> 2 if file.is_dir() else expected), file


def test_what_the_system_says_about_a_file_that_cannot_be_written_is_an_oserror(tmp_path):
    def too_large():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        write_safetensors(tmp_path / "m.safetensors", {"a": np.ones(1 << 20, np.float32)})

    kind, message = outcome(too_large)
    assert kind == "OSError" and "File too large" in message and "m.safetensors" in message


def test_the_hash_of_the_data_is_that_of_the_steps_however_often_a_run_was_restarted(trained, tmp_path):
    folder, file = trained
    shutil.copytree(folder / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out/stage-2/step-00000008")
    (tmp_path / "out/stage-2/done.json").unlink()
    runs.run(file, tmp_path / "out")
    states = [json.loads((place / "stage-2/step-00000008/state.json").read_text())
              for place in (folder / "out", tmp_path / "out")]
    assert states[0]["data_hash"] == states[1]["data_hash"] != ""
    earlier = json.loads((folder / "out/stage-2/step-00000005/state.json").read_text())
    assert earlier["data_hash"] != states[0]["data_hash"]
    arrays = [load_file(place / "stage-2/step-00000008/model.safetensors")
              for place in (folder / "out", tmp_path / "out")]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_the_log_says_what_a_checkpoint_cost(trained):
    text = runs.said(trained[0] / "out")
    assert "checkpoint step-00000008: " in text and "which it held up for" in text


def test_a_folder_that_cannot_be_listed_is_named_itself(tmp_path, capsys, monkeypatch):
    write(released(tmp_path), tmp_path / "closed", "huggingface")
    listed = os.scandir

    def refuse(path="."):
        if os.fspath(path) == str(tmp_path / "closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)
    monkeypatch.setattr(os, "scandir", refuse)
    code, said = verified(capsys, tmp_path)
    assert code == 2 and f"DAMAGED  {tmp_path / 'closed'}: cannot be read (Permission denied)\n" in said
