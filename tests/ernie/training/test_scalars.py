"""The curves that VisualDL, TensorBoard and MLflow get are those of the log, read back from what each wrote."""
import importlib.util
import logging
import struct
import time

import pytest

from ernie.training import scalars as module
from ernie.training.metrics import LogLine, TrainingMetrics
from ernie.training.scalars import WRITERS, chosen, scalar_writer, scalars
from reader.utils.errors import InputError

LINE = LogLine(5, tasks={"a": TrainingMetrics(2.0, 0.5, 7)}, learning_rate=0.125, gradient_norm=None)


@pytest.fixture
def use(monkeypatch, tmp_path):
    """use(name) chooses a writer, or skips where its package is absent."""
    def choose(name):
        pytest.importorskip(WRITERS[name].package)
        monkeypatch.setenv("ERNIE_SCALARS", name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return choose


def test_curves_are_those_of_the_log():
    assert scalars(LINE)["a/loss"] == 2.0 and scalars(LINE)["training/learning_rate"] == 0.125
    assert "training/gradient_norm" not in scalars(LINE)


def events(folder):
    """(tag, value, step) of every point in TensorBoard's files: length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event
    for file in folder.glob("events*"):
        data, place = file.read_bytes(), 0
        while place < len(data):
            size = struct.unpack_from("<Q", data, place)[0]
            event = Event.FromString(data[place + 12:place + 12 + size])
            yield from ((value.tag, value.simple_value, event.step) for value in event.summary.value)
            place += 16 + size


def soon(found, wanted):
    """Whether ``found()`` becomes ``wanted`` within a minute."""
    deadline = time.monotonic() + 60
    while found() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return found() == wanted


def test_tensorboard_reads_what_was_logged_soon(use, tmp_path):
    use("tensorboard")
    scalar_writer(tmp_path)(LINE)
    assert soon(lambda: set(events(tmp_path / "tensorboard")), {(tag, v, 5) for tag, v in scalars(LINE).items()})


def test_visualdl_gets_a_file(use, tmp_path):
    use("visualdl")
    write = scalar_writer(tmp_path)
    write(LINE)
    from visualdl import LogReader

    def seen():
        return {key.rpartition("/")[2].replace("%", "/") for file in (tmp_path / "visualdl").glob("*")
                for key, kind in LogReader(file_path=str(file)).tags().items() if kind == "scalar"}

    assert soon(seen, set(scalars(LINE)))


def test_a_resumed_stage_goes_on_in_its_mlflow_run(use, tmp_path):
    use("mlflow")
    for step in (5, 6):  # two launches
        scalar_writer(tmp_path / "run" / "stage-1")(LogLine(step, tasks=LINE.tasks))
    from mlflow import MlflowClient
    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("ernie").experiment_id])
    assert [run.info.run_name for run in runs] == ["run/stage-1"]
    assert [(point.step, point.value) for point in client.get_metric_history(runs[0].info.run_id, "a/loss")] == [
        (5, 2.0), (6, 2.0)]


def test_a_tool_that_fails_is_named_once_and_the_others_go_on(monkeypatch, tmp_path):
    pytest.importorskip("tensorboardX")
    monkeypatch.setenv("ERNIE_SCALARS", "tensorboard")
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    monkeypatch.setattr(module.LOG, "handlers", [handler])
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    assert scalar_writer(tmp_path) is None
    assert len(said) == 1 and "no more curves for tensorboard" in said[0] and "log.jsonl" in said[0]


def test_names_are_checked(monkeypatch):
    for wanted, message in (("tensorbord", "did you mean|one of"), ("visualdl", "is not installed: pip install")):
        monkeypatch.setenv("ERNIE_SCALARS", wanted)
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=message):
            chosen()
    monkeypatch.setenv("ERNIE_SCALARS", "none")
    assert chosen() == []


def test_mlflow_is_used_only_where_a_server_is_named(monkeypatch):
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed")
    monkeypatch.delenv("ERNIE_SCALARS", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "mlflow" not in chosen()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "mlflow" in chosen()
