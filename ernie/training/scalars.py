"""The numbers of the log for VisualDL, where its package is installed (``pip install visualdl``)."""
from __future__ import annotations

import importlib.util
from pathlib import Path

from ernie.training.metrics import LogLine

SHOWN = ("learning_rate", "loss_scale", "gradient_norm", "tokens_per_second", "padding", "data_wait", "memory_mib",
         "skipped")


def scalar_writer(directory):
    """Return a function that writes lines of ``ernie.training.callbacks.Log`` to VisualDL, or None without VisualDL."""
    if importlib.util.find_spec("visualdl") is None:
        return None
    from visualdl import LogWriter
    writer = LogWriter(str(Path(directory)))

    def write(line: LogLine) -> None:
        for tag, value in scalars(line).items():
            writer.add_scalar(tag, value, line.step)

    return write


def scalars(line: LogLine) -> dict[str, float]:
    """Return the curves' values at a log line: loss and accuracy of each task, and how training goes."""
    curves = {}
    for name, values in line.tasks.items():
        curves[f"{name}/loss"], curves[f"{name}/accuracy"] = values.loss, values.accuracy
    shown = ((name, getattr(line, name)) for name in SHOWN)
    curves.update({f"training/{name}": value for name, value in shown if value is not None})
    return curves
