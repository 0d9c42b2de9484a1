"""The numbers of the log for VisualDL, TensorBoard and MLflow, whichever of them is installed.

A ``ScalarWriter`` is all that another tool needs: a name in ``WRITERS`` and the two methods. ``ERNIE_SCALARS`` names
the writers to use, parted by commas, or ``none``; unset, VisualDL and TensorBoard are used where their package is
installed, and MLflow where also ``MLFLOW_TRACKING_URI`` says where its server or folder is.
"""
from __future__ import annotations

import atexit
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Optional, Protocol

from ernie.training.metrics import LogLine
from ernie.utils.console import LOG
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

SHOWN = ("learning_rate", "loss_scale", "gradient_norm", "tokens_per_second", "padding", "data_wait", "memory_mib",
         "skipped")
SOON = 1  # seconds until a point can be seen; both libraries wait two minutes by default
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # seconds


class ScalarWriter(Protocol):
    """A tool that draws curves."""

    package: ClassVar[str]

    def __init__(self, directory: Path):
        """Begin to write. directory: of the stage or of the seed, where log.jsonl lies."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Write the value of each curve at a step, so that it can be seen soon."""


class AddsScalars:
    """Share the writing of libraries that take one point of one curve at a time."""

    _writer: Any

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each curve."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)


class VisualDL(AddsScalars):
    """Write into ``visualdl/`` for ``visualdl --logdir RUN``."""

    package: ClassVar[str] = "visualdl"

    def __init__(self, directory: Path):
        from visualdl import LogWriter
        self._writer = LogWriter(str(directory / "visualdl"), flush_secs=SOON)
        atexit.register(self._writer.close)


class TensorBoard(AddsScalars):
    """Write into ``tensorboard/`` for ``tensorboard --logdir RUN``."""

    package: ClassVar[str] = "tensorboardX"

    def __init__(self, directory: Path):
        from tensorboardX import SummaryWriter
        self._writer = SummaryWriter(str(directory / "tensorboard"), flush_secs=SOON)


class MLflow:
    """Write to the server or folder that ``MLFLOW_TRACKING_URI`` names; a resumed stage goes on in its MLflow run."""

    package: ClassVar[str] = "mlflow"

    def __init__(self, directory: Path):
        for key, value in PATIENCE.items():  # by default it would hold the run for minutes where its server is away
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient
        self._client, file = MlflowClient(), directory / "mlflow.txt"
        if file.exists():
            self._run = file.read_text("utf-8").strip()
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ernie")
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._run = self._client.create_run(number, run_name="/".join(directory.absolute().parts[-2:])).info.run_id
        directory.mkdir(parents=True, exist_ok=True)
        file.write_text(self._run + "\n", "utf-8")

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Send a point of each curve in one call."""
        from mlflow.entities import Metric
        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[Metric(tag.replace(" ", "_"), value, now, step)
                                                   for tag, value in values.items()])


WRITERS: dict[str, type[ScalarWriter]] = {"visualdl": VisualDL, "tensorboard": TensorBoard, "mlflow": MLflow}


def scalar_writer(directory: str | Path) -> Optional[Callable[[LogLine], None]]:
    """Return a function that hands lines of ``ernie.training.callbacks.Log`` to every writer, or None without any.

    Curves are no reason to lose a run: a writer that fails is named in one line and left out from then on.

    Raises:
        InputError: ``ERNIE_SCALARS`` names a writer that is unknown or not installed.
    """
    writers: dict[str, ScalarWriter] = {}
    for name in chosen():
        _try(name, writers, partial(_open, name, writers, Path(directory)))
    if not writers:
        return None

    def write(line: LogLine) -> None:
        values = scalars(line)
        for name, writer in list(writers.items()):
            _try(name, writers, partial(writer.write, values, line.step))

    return write


def _open(name: str, writers: dict[str, ScalarWriter], directory: Path) -> None:
    writers[name] = WRITERS[name](directory)


def _try(name: str, writers: dict[str, ScalarWriter], action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001  (three libraries, each with errors of its own)
        writers.pop(name, None)
        first = (str(error).splitlines() or [""])[0]
        LOG.warning("no more curves for %s (%s: %s); log.jsonl has them", name, type(error).__name__, first)


def chosen() -> list[str]:
    """Return the names of the writers to use, see the head of this file."""
    wanted = os.environ.get("ERNIE_SCALARS", "").strip()
    if not wanted:
        return [name for name, kind in WRITERS.items() if importlib.util.find_spec(kind.package)
                and (name != "mlflow" or os.environ.get("MLFLOW_TRACKING_URI"))]
    names = [] if wanted == "none" else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in WRITERS:
            raise InputError(f"ERNIE_SCALARS: {name!r} is not one of {', '.join(WRITERS)}, none"
                             f"{did_you_mean(name, WRITERS)}")
        if importlib.util.find_spec(WRITERS[name].package) is None:
            raise InputError(f"ERNIE_SCALARS: {name} is not installed: pip install {WRITERS[name].package}")
    return names


def scalars(line: LogLine) -> dict[str, float]:
    """Return the curves' values at a log line: loss and accuracy of each task, and how training goes."""
    curves = {}
    for name, values in line.tasks.items():
        curves[f"{name}/loss"], curves[f"{name}/accuracy"] = values.loss, values.accuracy
    shown = ((name, getattr(line, name)) for name in SHOWN)
    curves.update({f"training/{name}": value for name, value in shown if value is not None})
    return curves
