"""The stage x task matrix of dev metrics, in which forgetting shows: one for console, report and comparison."""
from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ernie.pretraining.run_directory import RunDirectory
from ernie.pretraining.stages import Stage
from ernie.training.metrics import TaskMetrics
from reader.utils.errors import InputError

Measured = list[tuple[int, dict[str, TaskMetrics]]]


def read_dev(file: Path) -> Optional[dict[str, TaskMetrics]]:
    """Read the dev metrics of a stage by task; None where the file is absent. Raises InputError on a damaged file."""
    if not file.exists():
        return None
    try:
        return {name: TaskMetrics.from_json(values) for name, values in json.loads(file.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"is not readable as dev metrics ({type(error).__name__}: {error})", file) from None


def stage_metrics(run: RunDirectory, stages: Iterable[Stage]) -> Measured:
    """Return (stage number, dev metrics by task) of every stage of a ``RunDirectory`` that has been measured."""
    found = ((stage.number, read_dev(run.stage_path(stage.number) / "dev.json")) for stage in stages)
    return [(number, metrics) for number, metrics in found if metrics is not None]


@dataclass(frozen=True)
class Cell:
    """A task after a stage. change: headline figure minus that of its best earlier stage; None for the first."""

    metrics: TaskMetrics
    change: Optional[float]


class ForgettingMatrix:
    """Dev metrics of every task after every stage, and what was forgotten.

    Args:
        measured: (stage number, dev metrics by task), in the order of the stages.
        vocabulary: number of tokens; the loss of a uniform guess over it stands in the row of chance.
    Attributes:
        names: tasks in order of introduction. stages: numbers. cells: (stage, task) -> Cell.
        latest: task -> its metrics after the last stage that measured it.
    """

    def __init__(self, measured: Measured, vocabulary: int):
        self.names = list(dict.fromkeys(name for _, metrics in measured for name in metrics))
        self.stages = [number for number, _ in measured]
        self.uniform = math.log(max(1, vocabulary))
        self.cells: dict[tuple[int, str], Cell] = {}
        self.latest: dict[str, TaskMetrics] = {}
        best: dict[str, float] = {}
        for number, metrics in measured:
            for name, values in metrics.items():
                change = values.headline - best[name] if name in best else None
                self.cells[number, name] = Cell(values, change)
                best[name] = max(best.get(name, -math.inf), values.headline)
                self.latest[name] = values
        self.best = best

    def column(self, name: str) -> list[tuple[int, Cell]]:
        """Return (stage number, cell) of a task, wherever it was measured."""
        return [(number, self.cells[number, name]) for number in self.stages if (number, name) in self.cells]

    def forgotten(self, name: str) -> Optional[float]:
        """Return the last headline figure minus the best, 0 or less; None if the last stage did not measure it."""
        if not self.stages or (self.stages[-1], name) not in self.cells:
            return None
        return self.cells[self.stages[-1], name].metrics.headline - self.best[name]

    def table(self) -> str:
        """Format the matrix as text, with the baselines that a figure must beat below it, and a verdict."""
        latest = self.latest
        rows = [["", *(name.replace("_", " ") for name in self.names)],
                ["", *("accuracy" if latest[name].by_accuracy else "loss (lower)" for name in self.names)]]
        rows += [[f"after stage {number}", *(figure(cell.metrics) if (cell := self.cells.get((number, name))) else "-"
                                             for name in self.names)] for number in self.stages]
        rows.append(["forgotten since best", *(difference(latest[n], self.forgotten(n)) for n in self.names)])
        rows.append(["best shallow baseline", *(floor(latest[name]) for name in self.names)])
        rows.append(["difference from it", *(difference(latest[n], latest[n].gain) for n in self.names)])
        rows.append(["majority class", *(percent(latest[name].majority) for name in self.names)])
        rows.append(["chance", *(self.chance(name) for name in self.names)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(self.names) + 1)]
        lines = ["  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:]))]).rstrip()
                 for row in rows]
        return "\n".join([*lines, *verdict(latest)])

    def chance(self, name: str) -> str:
        """Format what a uniform guess reaches."""
        values = self.latest[name]
        return percent(values.chance) if values.by_accuracy else f"{self.uniform:.3f}"


def verdict(latest: dict[str, TaskMetrics]) -> Iterable[str]:
    """Yield lines that name each task's best shallow baseline, and the tasks above theirs by more than the noise."""
    known = {name: values for name, values in latest.items() if values.floor is not None}
    if not known:
        return
    yield "best shallow baseline: " + "; ".join(
        f"{name.replace('_', ' ')}: {values.baseline.name if values.baseline else 'majority class'}"
        for name, values in known.items())
    for title, wanted in (("above it", True), ("not above it", False)):
        names = [name.replace("_", " ") for name, values in known.items() if values.above_baseline == wanted]
        if names:
            yield f"{title}: {', '.join(names)}"


def figure(metrics: TaskMetrics) -> str:
    """Format the figure that a task is judged by: its accuracy, or its loss where it predicts the vocabulary."""
    return percent(metrics.accuracy) if metrics.by_accuracy else f"{metrics.loss:.3f}"


def floor(metrics: TaskMetrics) -> str:
    """Format the best baseline's figure; "-" where there is none."""
    if metrics.floor is None:
        return "-"
    return percent(metrics.floor) if metrics.by_accuracy else f"{-metrics.floor:.3f}"


def difference(metrics: TaskMetrics, change: Optional[float]) -> str:
    """Format a change of the headline figure: percentage points of accuracy, or of the loss with its sign."""
    if change is None:
        return "-"
    return f"{100 * change + 0.0:+.1f}" if metrics.by_accuracy else f"{0.0 - change:+.3f}"


def percent(share: Optional[float]) -> str:
    """Format a share as a percentage with one decimal; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f}%"
