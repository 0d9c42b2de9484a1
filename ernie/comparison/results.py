"""Put the figures of several runs side by side: means over seeds, spread, paired differences. No paddle."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ernie.finetuning.summary import dev_mean, read_summary
from ernie.pretraining.forgetting import ForgettingMatrix, Measured, difference, floor, percent
from ernie.training.metrics import Baseline, TaskMetrics

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A figure over seeds. spread: standard deviation; interval: half of the 95 % confidence interval of the mean
    (Student's t); both None for a single seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return sum(self.values) / len(self.values)

    @property
    def spread(self) -> Optional[float]:
        """Standard deviation over the seeds."""
        if len(self.values) < 2:
            return None
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def interval(self) -> Optional[float]:
        """Half of the confidence interval of the mean."""
        if self.spread is None:
            return None
        from scipy.stats import t
        count = len(self.values)
        return float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * self.spread / math.sqrt(count)

    @property
    def clear(self) -> bool:
        """Tell whether the confidence interval of the mean leaves 0 out."""
        return self.interval is not None and abs(self.mean) > self.interval


@dataclass
class Group:
    """The runs of one curriculum.

    Attributes:
        name: of the curriculum. dev: seed -> dev metrics of every stage. vocabulary: number of tokens.
        downstream: fine-tuning task -> seed -> dev figure, as a share.
    """

    name: str
    dev: dict[int, Measured]
    vocabulary: int = 1
    downstream: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def matrix(self) -> ForgettingMatrix:
        """Return the forgetting matrix of the means over seeds."""
        runs = list(self.dev.values())
        stages = [number for number, _ in runs[0]] if runs else []
        measured: Measured = []
        for number in stages:
            found = [dict(run)[number] for run in runs if number in dict(run)]
            measured.append((number, {name: mean_metrics([metrics[name] for metrics in found if name in metrics])
                                      for name in found[0]}))
        return ForgettingMatrix(measured, self.vocabulary)

    def final(self, task: str) -> dict[int, TaskMetrics]:
        """Return {seed: dev metrics of a task after the last stage that measured it}."""
        return {seed: next(metrics[task] for _, metrics in reversed(measured) if task in metrics)
                for seed, measured in self.dev.items() if any(task in metrics for _, metrics in measured)}

    def lines(self) -> list[dict[str, Any]]:
        """Return a record of each seed that has figures, for a line of JSON each."""
        seeds = sorted({*self.dev, *(seed for values in self.downstream.values() for seed in values)})
        return [{"curriculum": self.name, "seed": seed,
                 "stages": {number: {task: metrics.to_json() for task, metrics in dev.items()}
                            for number, dev in self.dev.get(seed, [])},
                 "downstream": {task: values[seed] for task, values in self.downstream.items() if seed in values}}
                for seed in seeds]


@dataclass
class ComparisonRow:
    """A row of the table: one task or downstream task over all curricula.

    Attributes:
        name: of the task. unit: what the figures are. reference: baseline and majority as text.
        figures, shown: for each curriculum, and as text. differences: from the first curriculum over the seeds that
            both have, as text with the confidence interval; clear: whether the interval leaves 0 out.
    """

    name: str
    unit: str
    reference: list[str]
    figures: list[Optional[Figure]]
    shown: list[str]
    differences: list[str]
    clear: list[bool]


def mean_metrics(found: Sequence[TaskMetrics]) -> TaskMetrics:
    """Return the means of the figures of one task over several runs; targets are added up."""
    def mean(values: Sequence[Optional[float]]) -> Optional[float]:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    baselines = [metrics.baseline for metrics in found if metrics.baseline]
    baseline = None
    if baselines:
        baseline = Baseline(baselines[0].name, mean([b.accuracy for b in baselines]) or 0.0,
                            mean([b.loss for b in baselines]), baselines[0].by_loss)
    return TaskMetrics(mean([m.loss for m in found]) or 0.0, mean([m.accuracy for m in found]) or 0.0,
                       sum(m.targets for m in found), mean([m.majority for m in found]), found[0].chance, baseline)


def compare_tasks(groups: Sequence[Group]) -> list[ComparisonRow]:
    """Compare the final dev metrics of every pre-training task, side by side."""
    names = list(dict.fromkeys(name for group in groups for name in group.matrix.names))
    rows = []
    for name in names:
        final = [group.final(name) for group in groups]
        example = mean_metrics([metrics for by_seed in final for metrics in by_seed.values()])
        values = [{seed: metrics.headline for seed, metrics in by_seed.items()} for by_seed in final]

        def say(value: float, example: TaskMetrics = example) -> str:
            return percent(value) if example.by_accuracy else f"{-value:.3f}"

        def change(value: float, example: TaskMetrics = example) -> str:
            return difference(example, value)

        rows.append(_row(name, "accuracy" if example.by_accuracy else "loss (lower)",
                         [floor(example), percent(example.majority)], values, say, change, example.by_accuracy))
    return rows


def compare_downstream(groups: Sequence[Group]) -> list[ComparisonRow]:
    """Compare the fine-tuned dev figures of every downstream task, side by side."""
    names = list(dict.fromkeys(name for group in groups for name in group.downstream))
    return [_row(name, "dev", [], [group.downstream.get(name, {}) for group in groups], percent,
                 lambda value: f"{100 * value:+.1f}", True) for name in names]


def _row(name: str, unit: str, reference: list[str], values: list[dict[int, float]], say: Any, change: Any,
         share: bool) -> ComparisonRow:
    figures = [Figure(tuple(by_seed.values())) if by_seed else None for by_seed in values]
    size = (lambda value: f"{100 * value:.1f}") if share else (lambda value: f"{value:.3f}")
    shown, differences, clear = [], [], []
    for number, (found, by_seed) in enumerate(zip(figures, values)):
        spread = f" ± {size(found.spread)}" if found and found.spread is not None else ""
        shown.append(say(found.mean) + spread if found else "-")
        both = [seed for seed in by_seed if seed in values[0]]
        if not number or not both:
            differences.append("")
            clear.append(False)
            continue
        paired = Figure(tuple(by_seed[seed] - values[0][seed] for seed in both))
        interval = f" ± {size(paired.interval)}" if paired.interval is not None else ""
        differences.append(change(paired.mean) + interval)
        clear.append(paired.clear)
    return ComparisonRow(name, unit, reference, figures, shown, differences, clear)


def table(rows: Sequence[ComparisonRow], groups: Sequence[Group], reference: Sequence[str]) -> str:
    """Format rows as text: figures with their spread, and differences from the first curriculum with their interval."""
    lines = [["", *reference, *(group.name for group in groups),
              *(f"{group.name} - {groups[0].name}" for group in groups[1:])]]
    for row in rows:
        lines.append([f"{row.name.replace('_', ' ')}, {row.unit}", *row.reference, *row.shown,
                      *(text + ("  *" if clear else "") for text, clear in zip(row.differences[1:], row.clear[1:]))])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *(text.rjust(width) for text, width in
                                                           zip(line[1:], widths[1:]))]).rstrip() for line in lines)


def downstream_figure(directory: Path, seeds: int = 1) -> Optional[float]:
    """Return the mean dev metrics of a fine-tuning output over its seeds; None where there are fewer than asked for."""
    file = directory / "result.json"
    if not file.exists() or (summary := read_summary(file)).get("runs", 1) < seeds:
        return None
    return dev_mean(summary)
