"""Render several runs over each other as one HTML page."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Optional

from ernie.comparison.budgets import Budget
from ernie.comparison.results import Group, compare_downstream, compare_tasks
from ernie.report.charts import Chart, Series
from ernie.report.page import Column, Point, clock, columns, count, curve_of, environment, of_task
from ernie.report.runs import RunRecord

STYLES = 6  # colours of the style sheet


@dataclass
class GroupView:
    """One curriculum, or one run, as the page shows it."""

    name: str
    runs: list[RunRecord]
    steps: str
    tokens: str
    time: str
    updates: str
    state: str
    columns: list[Column]
    stages: list[int]


def group_of(name: str, runs: Mapping[int, RunRecord],
             downstream: Optional[dict[str, dict[int, float]]] = None) -> Group:
    """Collect the figures of some runs. runs: seed -> run; runs without dev metrics are left out."""
    dev = {seed: [(stage.number, stage.dev) for stage in run.stages if stage.dev] for seed, run in runs.items()}
    sizes = [run.record.get("model", {}).get("vocab_size", 1) for run in runs.values()]
    return Group(name, {seed: measured for seed, measured in dev.items() if measured}, max(sizes, default=1),
                 downstream or {})


def render_comparison(title: str, runs: Mapping[str, Mapping[int, RunRecord]], groups: Sequence[Group],
                      budgets: Optional[Mapping[str, Budget]] = None, equal: Sequence[str] = (),
                      now: Optional[float] = None, refresh: Optional[int] = None) -> str:
    """Render the page as HTML.

    Args:
        runs: name of the group -> seed -> run. groups: their figures, in the same order. budgets: of each group, where
            curricula are compared. equal: the totals that were checked to be equal. refresh: seconds after
            which a browser loads the page again; None for never.
    """
    views = [_view(group, list(runs[group.name].values()), (budgets or {}).get(group.name)) for group in groups]
    return environment().get_template("comparison.html").render(
        title=title, refresh=refresh, groups=views, budgets=bool(budgets), equal=equal,
        tasks_table=compare_tasks(groups), downstream_table=compare_downstream(groups), curves=curves(runs),
        made=time.strftime("%Y-%m-%d %H:%M", time.localtime(now)))


def _view(group: Group, runs: list[RunRecord], budget: Optional[Budget]) -> GroupView:
    matrix = group.matrix
    stages = [stage for run in runs for stage in run.stages]
    done = sum(run.current is None for run in runs)
    state = "finished" if runs and done == len(runs) else f"{done} of {len(runs)} finished" if len(runs) != 1 else \
        f"stage {runs[0].current.number}: {runs[0].current.state}" if runs[0].current else "finished"
    size = max(1, len(runs))
    updates = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in budget.updates.items()) if budget \
        else ", ".join(name.replace("_", " ") for name in (runs[0].tasks if runs else []))
    return GroupView(group.name, runs, f"{sum(stage.step for stage in stages) // size:,}",
                     count(sum(stage.tokens for stage in stages) // size),
                     clock(sum(stage.seconds for stage in stages) / size), updates, state, columns(matrix),
                     matrix.stages)


def curves(runs: Mapping[str, Mapping[int, RunRecord]]) -> list[tuple[str, list[Chart]]]:
    """Chart, for each task, training loss and accuracy of every group over the steps of the run, means over seeds."""
    everything = [run for by_seed in runs.values() for run in by_seed.values()]
    found = []
    for task in dict.fromkeys(name for run in everything for name in run.tasks):
        charts = []
        for title, scale, key in (("training loss", "", "loss"), ("training accuracy", "%", "accuracy")):
            series = []
            for number, (name, by_seed) in enumerate(runs.items()):
                points = mean_curve([curve_of(run, partial(of_task, name=task, key=key)) for run in by_seed.values()])
                if points:
                    series.append(Series(name, points, f"s{number % STYLES + 1}"))
            if series:
                charts.append(Chart(title, series, scale))
        if charts:
            found.append((task, charts))
    return found


def mean_curve(curves: Sequence[list[list[Point]]]) -> list[Point]:
    """Return the mean over several runs at the steps that the largest number of them logged. curves: for each run its
    stages' points."""
    by_step: dict[int, list[float]] = {}
    for stages in curves:
        for step, value in (point for stage in stages for point in stage):
            if value is not None:
                by_step.setdefault(step, []).append(value)
    most = max((len(values) for values in by_step.values()), default=0)
    return [(step, sum(values) / len(values)) for step, values in sorted(by_step.items()) if len(values) == most]

