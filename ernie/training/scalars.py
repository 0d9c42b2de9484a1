"""The numbers of the log for VisualDL, where its package is installed (``pip install visualdl``)."""
from __future__ import annotations

import importlib.util
from pathlib import Path

SHOWN = ("learning_rate", "loss_scale", "gradient_norm", "tokens_per_second", "padding", "data_wait", "memory_mib",
         "skipped")


def scalar_writer(directory):
    """A function that takes lines of the log (see ``ernie.training.callbacks.Log``), or None without VisualDL."""
    if importlib.util.find_spec("visualdl") is None:
        return None
    from visualdl import LogWriter
    writer = LogWriter(str(Path(directory)))

    def write(line: dict) -> None:
        for tag, value in scalars(line).items():
            writer.add_scalar(tag, value, line["step"])

    return write


def scalars(line: dict) -> dict[str, float]:
    """The curves of a line: loss and accuracy of each task, and how training goes."""
    curves = {f"{name}/{metric}": values[metric] for name, values in line["tasks"].items()
              for metric in ("loss", "accuracy")}
    curves.update({f"training/{name}": line[name] for name in SHOWN if line[name] is not None})
    return curves
