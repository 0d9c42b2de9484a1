"""Commands that export a model of themselves where that pays: the same answers, made once, and never a stale one."""
import os
import time

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.checkpoints.formats import write  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.serving import cache  # noqa: E402
from tests.ernie.finetuning.tiny import finetune, make_data  # noqa: E402
from tests.ernie.released import checkpoint  # noqa: E402


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """The folder of the exports of a test, with a threshold that its texts exceed."""
    monkeypatch.setenv("ERNIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "PAYS", 10)
    return tmp_path / "cache"


def encode(tmp_path, *flags):
    (tmp_path / "texts.txt").write_text("the ernie\na b c d e f g\nz " + "z " * 9 + "\n", "utf-8")
    assert main(["encode", "--init", str(tmp_path / "own"), "--input", str(tmp_path / "texts.txt"),
                 "--output", str(tmp_path / "v.npy"), *flags]) == 0
    return np.load(tmp_path / "v.npy")


@pytest.mark.slow
def test_encode_exports_once_and_gives_the_same(tmp_path, kept, capsys, monkeypatch):
    write(checkpoint(tmp_path), tmp_path / "own", "own")
    plain = encode(tmp_path, "--no-export")
    assert not kept.exists() and "exported encoder" not in capsys.readouterr().out
    first = encode(tmp_path)
    said = capsys.readouterr()
    assert "exporting the model once" in said.err and f"exported encoder {kept}" in said.out
    assert np.abs(first - plain).max() <= 1e-5 * np.abs(plain).max()
    second = encode(tmp_path)
    assert "exporting" not in capsys.readouterr().err and len(list(kept.iterdir())) == 1
    assert (first == second).all()
    monkeypatch.setattr(cache, "PAYS", 10_000)  # little text is not worth it, though the export is there
    assert (encode(tmp_path) == plain).all()


def test_other_weights_have_an_export_of_their_own(tmp_path, kept):
    names = set()
    for seed in (0, 1):
        write(checkpoint(tmp_path, seed=seed), tmp_path / f"model{seed}", "own")
        names.add(cache._key(tmp_path / f"model{seed}", "versions"))
    names.add(cache._key(tmp_path / "model1", "other versions"))
    assert len(names) == 3


def test_what_cannot_be_exported_or_kept_runs_as_it_is(tmp_path, kept, capsys, monkeypatch):
    write(checkpoint(tmp_path), tmp_path / "own", "own")
    plain = encode(tmp_path, "--no-export")
    kept.write_text("a file in the way of the folder")
    assert (encode(tmp_path) == plain).all()
    assert "no export is kept" in capsys.readouterr().err
    kept.unlink()
    monkeypatch.setattr(cache.sys, "executable", "false")
    assert (encode(tmp_path) == plain).all()
    assert "cannot be exported" in capsys.readouterr().err and not list(kept.iterdir())


def test_old_exports_are_forgotten(kept):
    now = time.time()
    for number in range(7):
        (kept / str(number)).mkdir(parents=True)
        (kept / str(number) / "export.json").touch()
        age = number * 3600 if number < 5 else 3 * cache.DAY
        os.utime(kept / str(number), (now - age, now - age))
    cache._forget(kept / "0")
    assert sorted(place.name for place in kept.iterdir()) == ["0", "1", "2", "3", "4"]  # 4: used today


@pytest.mark.slow
def test_predict_exports_a_fine_tuned_model_and_encode_does_not(tmp_path, model_files, kept, capsys):
    data = make_data("rte", tmp_path / "data")
    assert finetune("rte", data, tmp_path / "out", model_files) == 0
    rows, answers = next(data.glob("test*")), []
    for flags in (["--no-export"], [], []):
        assert main(["predict", "--model", str(tmp_path / "out"), "--input", str(rows),
                     "--output", str(tmp_path / "answers.tsv"), *flags]) == 0
        answers.append([line.split("\t") for line in (tmp_path / "answers.tsv").read_text("utf-8").splitlines()])
    assert capsys.readouterr().err.count("exporting the model once") == 1
    assert answers[1] == answers[2] and len(answers[0]) == 9
    for ours, theirs in zip(answers[0][1:], answers[1][1:]):
        assert ours[0] == theirs[0] and [float(x) for x in ours[1:]] == pytest.approx([float(x) for x in theirs[1:]],
                                                                                    abs=1e-4)
    assert main(["encode", "--init", str(tmp_path / "out"), "--input", str(rows), "--output",
                 str(tmp_path / "v.npy")]) == 0
    assert len(list(kept.iterdir())) == 1
