"""Read fine-tuning outputs: seeds, dev metrics by epoch, training log. A run that is still going can be read, too."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from ernie.finetuning.summary import TOGETHER, read_summary
from ernie.report.runs import read_json, read_log
from ernie.training.metrics import LogLine
from ernie.utils.config_io import build
from ernie.utils.limits import Natural
from reader.utils.errors import InputError

TRAININGS = ("seed-*", "fold-*")


@dataclass
class TrainingRecord:
    """One seed or fold.

    Attributes:
        name: of its directory. lines: of log.jsonl, in order of steps. result: content of result.json; None while it
            goes on. points: dev metrics at every measurement, with "step", "epoch" and "loss". best_step: whose weights
            were taken. confusion: [label, answer] counts on dev data in the order of ``classes``.
    """

    name: str
    lines: list[LogLine]
    result: Optional[dict[str, Any]]
    points: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    majority: Optional[float] = None
    classes: list[str] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)

    @property
    def best(self) -> Optional[dict[str, Any]]:
        """Return the measurement whose weights were taken."""
        return next((point for point in self.points if point.get("step") == self.best_step), None)


@dataclass
class OutputRecord:
    """One fine-tuning output.

    Attributes:
        record: content of finetune.json. summary: content of result.json; None while it goes on.
    """

    path: Path
    record: dict[str, Any]
    summary: Optional[dict[str, Any]]
    trainings: list[TrainingRecord]

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.record.get("task", self.path.name))

    @property
    def metrics(self) -> list[str]:
        """Metrics of the recipe; their mean on dev data chooses the weights."""
        return [str(name) for name in self.record.get("metrics", [])]


def is_output(path: str | Path) -> bool:
    """Tell whether a directory is, or holds somewhere below, a fine-tuning output and is no pre-training run."""
    path = Path(path)
    return not (path / "run.json").exists() and path.is_dir() and next(output_folders(path), None) is not None


def output_folders(path: str | Path, records: tuple[str, ...] = ("finetune.json",)) -> Iterator[Path]:
    """Yield every fine-tuning output at or below a directory, checkpoints left aside: they come and go meanwhile.

    Args:
        records: file names by which one is known.
    """
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if name != "best" and not name.startswith("step-"))
        if any(record in files for record in records):
            yield Path(folder)


def read_outputs(path: str | Path) -> list[OutputRecord]:
    """Read all fine-tuning outputs at or below a directory, in order of their paths.

    Raises:
        InputError: there is none, or a file is damaged.
    """
    found = [_output(folder) for folder in sorted(output_folders(path))]
    if not found:
        raise InputError("holds no fine-tuning run (finetune.json is missing)", path)
    return found


def _output(path: Path) -> OutputRecord:
    record = read_json(path / "finetune.json")
    build(_RecipeFile, record, str(path / "finetune.json"), strict=False)
    place = Path(os.path.abspath(path))
    joint = place.parents[1] if place.parent.name == "tasks" else place
    one = joint == place or not (joint / TOGETHER).is_file()  # a task of a joint run has only what is finished
    folders = [folder for pattern in TRAININGS for folder in sorted((path if one else joint).glob(pattern), key=_number)
               if folder.is_dir()]
    result = path / "result.json"
    return OutputRecord(path, record, read_summary(result) if result.exists() else None,
                        [_training(each) if one else _training(path / each.name, each) for each in folders])


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.partition("-")[2]
    return int(digits) if digits.isdigit() else 0, folder.name


@dataclass
class _RecipeFile:
    """The parts of finetune.json that a page needs."""

    task: str = ""
    kind: str = ""
    metrics: list[str] = field(default_factory=list)


@dataclass
class _Point:
    step: Natural
    epoch: Natural = 0


@dataclass
class _DevEntry:
    names: list[str] = field(default_factory=list)
    confusion: list[list[Natural]] = field(default_factory=list)
    majority: Optional[float] = None


@dataclass
class _EvaluationEntry:
    dev: _DevEntry = field(default_factory=_DevEntry)


@dataclass
class _ResultFile:
    """The parts of a training's result.json that a page needs."""

    best_step: Natural = 0
    dev_points: list[dict] = field(default_factory=list)
    evaluation: _EvaluationEntry = field(default_factory=_EvaluationEntry)


def _training(folder: Path, joint: Optional[Path] = None) -> TrainingRecord:
    """A training. joint: the folder of the one on several tasks of which this is a part."""
    file = folder / "result.json"
    content, lines = read_json(file), read_log((joint or folder) / "log.jsonl")
    if joint is not None:
        name = folder.parent.name
        lines = [replace(line, tasks={task: values for task, values in line.tasks.items() if task == name})
                 for line in lines]
    if content is None:
        points = _points_so_far(joint or folder)
        if joint is not None:
            points = [{"step": point["step"], "epoch": point["epoch"], **point.get("tasks", {}).get(name, {})}
                      for point in points]
        return TrainingRecord(folder.name, lines, None, points)
    known = build(_ResultFile, content, str(file), strict=False)
    for point in known.dev_points:
        build(_Point, point, f"{file}: dev_points", strict=False)
    dev = known.evaluation.dev
    return TrainingRecord(folder.name, lines, content, known.dev_points, known.best_step, dev.majority, dev.names,
                    dev.confusion)


def _points_so_far(folder: Path) -> list[dict[str, Any]]:
    """Dev measurements of a training that goes on, from the state of its newest checkpoint; none before the first."""
    states = sorted(folder.glob("step-*/state.json"), reverse=True)
    for file in states:
        try:
            return list(json.loads(file.read_text("utf-8"))["callbacks"]["dev"]["history"])
        except (OSError, ValueError, KeyError, TypeError):  # being written or removed at this moment
            continue
    return []
