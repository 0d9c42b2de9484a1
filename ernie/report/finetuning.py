"""Render fine-tuning outputs as one HTML page."""
from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ernie.finetuning.summary import beside_the_paper
from ernie.report.charts import Chart, Series
from ernie.report.finetuning_runs import OutputRecord, TrainingRecord
from ernie.report.page import MOST, environment

STYLES = 6        # colours of the style sheet
MOST_CLASSES = 20  # of a confusion matrix that is shown


@dataclass
class DevCell:
    """A dev figure. chosen: its weights were taken."""

    text: str
    chosen: bool


@dataclass
class OutputView:
    """One output as the page shows it.

    Attributes:
        epochs: headings of the dev table. seeds: (training, its state, cells in the order of ``epochs``).
        confused: the training whose confusion matrix is shown. tints: [label][answer] colours.
    """

    name: str
    output: OutputRecord
    charts: list[Chart]
    epochs: list[str]
    seeds: list[tuple[TrainingRecord, str, list[DevCell]]]
    confused: Optional[TrainingRecord]
    tints: list[list[str]]


def render_finetuning(path: Path, outputs: list[OutputRecord], now: float | None = None,
                      refresh: Optional[int] = None) -> str:
    """Render the page of all outputs at or below ``path``. refresh: seconds after which a browser loads it again."""
    done = [output for output in outputs if output.summary]
    names = {output.path: str(output.path.relative_to(path)) if output.path != path else output.task
             for output in outputs}
    several = len({output.task for output in outputs}) < len(outputs)
    shown = [f"{output.task} [{names[output.path]}]" if several else output.task for output in done]
    return environment().get_template("finetuning.html").render(
        path=path, name=Path(os.path.abspath(path)).name, refresh=refresh,
        made=time.strftime("%Y-%m-%d %H:%M", time.localtime(now)), count=len(outputs),
        unfinished=[names[output.path] for output in outputs if not output.summary],
        summary=beside_the_paper([output.summary for output in done], shown),
        views=[view(output, names[output.path]) for output in outputs])


def view(output: OutputRecord, name: str) -> OutputView:
    """Collect what is shown of one output."""
    steps = sorted({(int(point["step"]), int(point.get("epoch", 0))) for each in output.trainings
                    for point in each.points})
    best = (output.summary or {}).get("best_run")
    confused = next((each for each in output.trainings if each.name == best and each.confusion
                     and len(each.classes) <= MOST_CLASSES), None)
    return OutputView(name, output, charts(output), [f"epoch {epoch}, step {step:,}" for step, epoch in steps],
                      [(each, state(each), [_cell(output, each, step) for step, _ in steps])
                       for each in output.trainings], confused, tints(confused.confusion) if confused else [])


def state(training: TrainingRecord) -> str:
    """Tell how a training stands and which weights it took."""
    if training.result is None:
        return f"step {training.lines[-1].step:,} of {training.lines[-1].of:,}" if training.lines else "not begun"
    best = training.best
    if best is None or not any(name not in ("step", "epoch") for name in best):
        return "finished; no dev data, the last weights were taken"
    place = f"step {training.best_step:,}"
    if best.get("epoch"):  # not in the records of older versions
        place = f"epoch {best['epoch']} ({place})"
    return f"finished; {place} was best on dev data"


def chosen_by(point: dict[str, Any], metrics: list[str]) -> Optional[float]:
    """Return the mean of the metrics at a measurement, by which dev data chooses; None where one is missing."""
    found = [value for name in metrics if (value := _finite(point.get(name))) is not None]
    return sum(found) / len(found) if found and len(found) == len(metrics) else None


def _cell(output: OutputRecord, training: TrainingRecord, step: int) -> DevCell:
    point = next((point for point in training.points if point.get("step") == step), {})
    value = chosen_by(point, output.metrics)
    return DevCell("-" if value is None else f"{100 * value:.1f}",
                training.result is not None and value is not None and step == training.best_step)


def charts(output: OutputRecord) -> list[Chart]:
    """Chart training loss, and at each measurement dev loss and every metric of the recipe, a line for each seed."""
    scale = "" if output.record.get("kind") == "regression" else "%"
    found = [Chart("training loss", [_losses(each, number) for number, each in enumerate(output.trainings)])]
    for key in ["loss", *output.metrics]:
        series = [Series(each.name, [(int(point["step"]), _finite(point.get(key))) for point in each.points],
                         _style(number)) for number, each in enumerate(output.trainings)]
        majority = [each.majority for each in output.trainings if each.majority is not None]
        levels = [("most frequent class", majority[0])] if key == "accuracy" and majority else []
        found.append(Chart(f"dev {key.replace('_', ' ')}", series, "" if key == "loss" else scale, levels))
    return [chart for chart in found if any(y is not None for each in chart.series for _, y in each.points)]


def _losses(training: TrainingRecord, number: int) -> Series:
    points = [(line.step, _finite(next((values.loss for values in line.tasks.values()), None)))
              for line in training.lines if line.tasks]  # of a joint training some steps are of other tasks
    size = -(-len(points) // MOST) or 1
    parts = [points[at:at + size] for at in range(0, len(points), size)]
    means = []
    for part in parts:
        known = [value for _, value in part if value is not None]
        means.append((part[-1][0], sum(known) / len(known) if known else None))
    return Series(training.name, means, _style(number))


def _finite(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _style(number: int) -> str:
    return f"s{number % STYLES + 1}"


def tints(confusion: list[list[int]]) -> list[list[str]]:
    """Return a CSS colour for each count by its share of its label: blue for right answers, red for wrong ones."""
    found = []
    for label, row in enumerate(confusion):
        total = sum(row) or 1
        found.append([f"rgba({'57, 135, 229' if answer == label else '224, 82, 80'}, {0.5 * count / total:.2f})"
                      if count else "" for answer, count in enumerate(row)])
    return found
