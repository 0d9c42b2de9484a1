"""What is averaged and when it is said: the training lines of 2019, the figures of --enable_ce, the answers' files."""
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("paddle")

from ernie.release2019 import watcher, words  # noqa: E402
from ernie.training.distributed import World  # noqa: E402
from tests.ernie.finetuning.tiny import TINY  # noqa: E402
from tests.ernie.release2019.test_finetune import call  # noqa: E402


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(watcher.time, "perf_counter", lambda: now.seconds)
    return now


def test_a_training_line_is_of_the_steps_since_the_last_one(monkeypatch, capsys, clock):
    said = []
    monkeypatch.setattr(words.LOG, "info", said.append)
    args = SimpleNamespace(skip_steps=2, enable_ce=True, metric="simple_accuracy")
    training = SimpleNamespace(kind=SimpleNamespace(name="kind", percent=True, level="sequence"))
    batches = SimpleNamespace(epoch=lambda step: step // 3, ends=np.array([3, 6]), lengths=range(9),
                              cuts=[[0, 4, 8, 9], [0, 4, 8, 9]])
    lines = watcher.TrainingLines(watcher.Watcher2019(args, 2, watcher.Files()), training,
                                  SimpleNamespace(batches=batches))
    trainer = SimpleNamespace(world=World(), total=5)
    lines.start(trainer)
    for step, sums in enumerate([(8, 2, 4), (4, 4, 4), (1, 1, 1), (2, 0, 4), (2, 3, 4)], start=1):
        clock.seconds += 0.5
        lines.after_step(trainer, SimpleNamespace(step=step, sums={"kind": np.array(sums)}, batches=[]))
    lines.finish(trainer)
    assert said == [
        "epoch: 0, progress: 8/9, step: 2, ave loss: 1.500000, ave acc: 0.750000, speed: 2.000000 steps/s",
        "epoch: 1, progress: 4/9, step: 4, ave loss: 0.600000, ave acc: 0.200000, speed: 2.000000 steps/s",
        "epoch: 1, progress: 8/9, step: 5, ave loss: 0.500000, ave acc: 0.750000, speed: 2.000000 steps/s"]
    assert capsys.readouterr().out == ("kpis\ttrain_duration_card2\t2.500000\nkpis\ttrain_loss_card2\t0.500000\n"
                                       "kpis\ttrain_acc_card2\t0.750000\n")


def test_a_loss_that_is_no_number_does_not_count_as_zero(monkeypatch, clock):
    said = []
    monkeypatch.setattr(words.LOG, "info", said.append)
    training = SimpleNamespace(kind=SimpleNamespace(name="kind", percent=True, level="sequence"))
    batches = SimpleNamespace(epoch=lambda step: 0, ends=np.array([2]), lengths=range(8), cuts=[[0, 4, 8]])
    args = SimpleNamespace(skip_steps=2, enable_ce=False, metric="simple_accuracy")
    lines = watcher.TrainingLines(watcher.Watcher2019(args, 1, watcher.Files()), training,
                                  SimpleNamespace(batches=batches))
    trainer = SimpleNamespace(world=World(), total=2)
    lines.start(trainer)
    for step, sums in enumerate([(8, 2, 4), (np.nan, 0, 4)], start=1):
        clock.seconds += 0.5
        lines.after_step(trainer, SimpleNamespace(step=step, sums={"kind": np.array(sums)}, batches=[]))
    assert "ave loss: 2.000000, ave acc: 0.500000" in said[0]


@pytest.fixture
def rows(tmp_path):
    """A labelled file whose rows have names."""
    file = tmp_path / "rows.tsv"
    file.write_text("qid\ttext_a\tlabel\n" + "".join(f"q{n}\t{'abcdefgh'[n]}\t{n % 2}\n" for n in range(8)))
    return file


def test_test_files_are_answered_when_asked_and_the_diagnostic_at_the_end(tmp_path, model_files, rows,
                                                                         capfd):
    assert call("classifier", tmp_path, model_files, "--train_set", str(rows), "--dev_set", str(rows), "--test_set",
                str(rows), "--batch_size", "2", "--validation_steps", "3", "--save_steps", "3", "--diagnostic",
                str(rows), "--diagnostic_save", str(tmp_path / "diagnostic")) == 0
    log = capfd.readouterr().err
    assert re.findall(r"]:\t(testing|Final|Done final)", log) == ["testing", "testing", "Final", "Done final"]
    assert {file.name for file in tmp_path.glob("out*")} == {"out.0.3", "out.0.4"}
    assert sorted(step.name for step in (tmp_path / "checkpoints").glob("step_*")) == ["step_3", "step_4"]
    for name in "out.0.3", "out.0.4", "diagnostic":
        found = [line.split("\t") for line in (tmp_path / name).read_text().splitlines()]
        assert [line[0] for line in found] == [f"q{n}" for n in range(8)]
        for _, label, chances in found:
            first, second = (float(chance) for chance in chances.strip("[]").split(", "))
            assert int(label) == (second > first) and first + second == pytest.approx(1)


def test_a_reader_that_is_not_trained_writes_its_answers(tmp_path, model_files, capfd):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "天地人", "qas": [
        {"id": "q", "question": "光", "answers": [{"text": "地", "answer_start": 1}]}]}]}]}))
    sizes = ["--doc_stride", "8", "--max_query_length", "4"]
    assert call("mrc", tmp_path, model_files, "--train_set", str(file), *sizes) == 0
    again = tmp_path / "again"
    assert call("mrc", tmp_path, model_files, "--do_train", "false", "--init_checkpoint",
                str(tmp_path / "checkpoints" / "step_1"), "--checkpoints", str(again), "--dev_set", str(file),
                "--test_set", str(file), *sizes) == 0
    assert re.search(rf"questions: 1, elapsed time: [\d.]+, file: {file}, epoch: 0, steps: 0\n", capfd.readouterr().err)
    for split in "dev", "test":
        assert list(json.loads((again / f"{split}_predictions.json").read_text())) == ["q"]
        assert list(json.loads((again / f"{split}_nbest_predictions.json").read_text())) == ["q"]


def test_a_step_of_a_random_model_goes_on_under_the_same_configuration(tmp_path, model_files, rows, capfd):
    given = ["--train_set", str(rows), "--dev_set", str(rows), "--do_test", "false"]
    assert call("classifier", tmp_path, model_files, *given) == 0
    step = tmp_path / "checkpoints" / "step_1"
    assert json.loads((step / "ernie_config.json").read_text())["vocab_size"] == TINY["vocab_size"]
    capfd.readouterr()
    assert call("classifier", tmp_path, model_files, *given, "--init_checkpoint", str(step)) == 0, capfd.readouterr()
