"""Render a run as one HTML page."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

import jinja2
import yaml

from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.forgetting import ForgettingMatrix, difference, figure, floor, percent
from ernie.pretraining.passes import known_tokens, passes, tokens_drawn
from ernie.pretraining.stages import Stage
from ernie.report.charts import Chart, Series
from ernie.report.examples import TaskExamples
from ernie.report.runs import RunRecord, StageRecord
from ernie.training.metrics import LogLine, TaskMetrics
from ernie.utils.config_io import build
from reader.utils.errors import InputError
from reader.utils.text import counted

Point = tuple[int, Optional[float]]  # (step of the run, value)
MOST = 300  # points of a curve; a longer log is averaged down to this
FIRST = 10  # log lines of the run that are never averaged: in the first steps a loss falls fastest
FULL_TINT = {True: 0.10, False: 1.0}  # a change of this much has the full colour: share of accuracy, nats of loss


def render(run: RunRecord, now: float | None = None, shown: Sequence[TaskExamples] = (),
           refresh: float | None = None) -> str:
    """Render the page of a run.

    Args:
        now: seconds since the epoch, to say how long ago the run was heard of. shown: examples of its batches.
        refresh: seconds after which a browser loads the page again; None for never.
    """
    record = run.record
    return environment().get_template("page.html").render(
        shown=shown, refresh=refresh, launches=launches(run), corpora=corpora(run), skips=skips(run),
        run=run, name=record["curriculum"].get("name", run.path.name), summary=summary(run, now or time.time()),
        tasks=[(name, task_charts(run, name)) for name in run.tasks], engine=engine_charts(run), matrix=run.matrix,
        columns=columns(run.matrix),
        granularity=granularity(run), resumes=resumes(run),
        configuration=yaml.safe_dump(record["curriculum"], sort_keys=False, allow_unicode=True),
        model=yaml.safe_dump(record.get("model"), sort_keys=False),
        data=yaml.safe_dump({key: record.get(key) for key in ("vocabulary", "data")}, sort_keys=False),
        made=time.strftime("%Y-%m-%d %H:%M", time.localtime(now)))


def environment() -> jinja2.Environment:
    """Return the jinja2 environment of this room's templates, with the filters that they use."""
    found = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                               lstrip_blocks=True)
    found.filters.update(clock=clock, task=lambda name: name.replace("_", " "))
    return found


def summary(run: RunRecord, now: float) -> list[tuple[str, str, str]]:
    """Return (title, figure, small print) for each tile at the top."""
    stages = run.stages
    seconds, tokens = sum(stage.seconds for stage in stages), sum(stage.tokens for stage in stages)
    steps, planned = sum(stage.step for stage in stages), sum(stage.length for stage in stages)
    skipped = sum(stage.skipped for stage in stages)
    tiles = [_standing(run, now), ("steps", f"{steps:,}", f"of {planned:,}"),
             ("tokens", count(tokens), "without padding"),
             ("training time", clock(seconds), f"{tokens / seconds:,.0f} tokens/s" if seconds else "")]
    if seconds and run.lines and run.lines[-1][1].cards > 1:
        tiles.append(("cards", str(run.lines[-1][1].cards), "in the last launch"))
    if run.lines and (slowest := run.lines[-1][1].slowest):
        tiles.append(("slowest rank", f"{slowest.ratio:.2f} x", f"the median: rank {slowest.rank} on {slowest.host}"))
    return [*tiles, ("skipped steps", f"{skipped:,}", "loss or gradient not finite"),
            ("resumes", str(len(resumes(run))), "launches that went on inside a stage")]


def _standing(run: RunRecord, now: float) -> tuple[str, str, str]:
    current, count = run.current, len(run.stages)
    if current is None:
        return "state", "finished", counted(count, "stage")
    heard = [line.time for _, line in run.lines if line.time is not None]
    ago = f"last heard of {clock(max(0.0, now - heard[-1]))} ago" if heard else "no step logged yet"
    if current.lines and (left := current.lines[-1].eta_run) is not None:
        ago += f"; {clock(left)} of training left then"
    return "state", f"stage {current.number} of {count}", f"{current.state}; {ago}"


def task_charts(run: RunRecord, name: str) -> list[Chart]:
    """Chart loss and accuracy of a task over the run: training, dev after each stage, and baselines as dashed lines."""
    dev = run.dev(name)
    ends = {stage.number: stage.start + stage.length for stage in run.stages}
    charts = []
    for key, title, scale in (("loss", "loss", ""), ("accuracy", "accuracy", "%")):
        curve = curve_of(run, partial(of_task, name=name, key=key))
        series = [Series("training", [point for stage in curve for point in stage], "s1")]
        if dev:
            points = [_mean([(ends[number], getattr(values, key))]) for number, values in dev]
            series.append(Series("dev, after a stage", points, "s2", dots=True))
        charts.append(_chart(run, title, series, scale, _levels(dev[-1][1], key) if dev else []))
    return _drawable(charts)


def of_task(line: LogLine, name: str, key: str) -> Optional[float]:
    """Return a training metric of a task at a log line, "loss" or "accuracy"; None where the line lacks it."""
    return getattr(line.tasks.get(name), key, None)


def _levels(last: TaskMetrics, key: str) -> list[tuple[str, float]]:
    """Dashed lines of a chart: the best shallow baseline, and the majority class in a chart of accuracy."""
    levels = []
    if key == "accuracy" and last.majority is not None:
        levels.append(("majority class", last.majority))
    value = getattr(last.baseline, key, None)
    if value is not None and last.baseline is not None:
        levels.append((f"shallow baseline ({last.baseline.name})", value))
    return levels


def engine_charts(run: RunRecord) -> list[Chart]:
    """Chart learning rate, speed, gradient norm, padding, waiting for data and memory over the run."""
    cards = max((line.cards for _, line in run.lines), default=1)
    charts = [_chart(run, "learning rate", [_series(run, "learning rate", "learning_rate", "s1")], "e", zero=True),
              _chart(run, "tokens a second", [_series(run, "tokens a second", "tokens_per_second", "s1")], zero=True),
              _chart(run, "gradient norm, before clipping", [_series(run, "gradient norm", "gradient_norm", "s1")],
                     zero=True),
              _chart(run, "padding and waiting for data", [
                  _series(run, "padding, of all places", "padding", "s1"),
                  _series(run, "data wait, of the time", "data_wait", "s2")], "%", zero=True),
              _chart(run, "peak memory of rank 0, MiB", [_series(run, "memory", "memory_mib", "s1")], zero=True)]
    if cards > 1:
        charts.insert(2, _chart(run, "tokens a second, of one card", [
            _series(run, "of one card", "tokens_per_second_per_card", "s1")], zero=True))
    if any(line.loss_scale != 1 for _, line in run.lines):
        charts.append(_chart(run, "loss scale", [_series(run, "loss scale", "loss_scale", "s1")], zero=True))
    if any(line.skipped for _, line in run.lines):
        charts.append(_chart(run, "skipped steps of the stage so far", [_series(run, "skipped", "skipped", "s1")],
                             zero=True))
    return _drawable(charts)


@dataclass
class Column:
    """A task's column of the matrix as text and colours. cells: stage number -> (figure, change, colour)."""

    name: str
    unit: str
    cells: dict[int, tuple[str, str, str]]
    forgotten: str
    lost: bool
    baseline: str
    baseline_name: str
    gain: str
    above: bool
    majority: str
    chance: str


def columns(matrix: ForgettingMatrix) -> list[Column]:
    """Return the forgetting matrix as text and colours, a column for each task."""
    return [_column(matrix, name) for name in matrix.names]


def _column(matrix: ForgettingMatrix, name: str) -> Column:
    last, lost = matrix.latest[name], matrix.forgotten(name)
    cells = {number: (figure(cell.metrics), "" if cell.change is None else difference(cell.metrics, cell.change),
                      "" if cell.change is None else tint(cell.change, cell.metrics.by_accuracy))
             for number, cell in matrix.column(name)}
    return Column(name, "accuracy" if last.by_accuracy else "loss, lower is better", cells,
                  "nothing" if lost == 0 else difference(last, lost), bool(lost), floor(last),
                  last.baseline.name if last.baseline else "majority class" if last.by_accuracy else "",
                  difference(last, last.gain), last.above_baseline, percent(last.majority), matrix.chance(name))


def tint(change: float, by_accuracy: bool) -> str:
    """Return a CSS colour: blue for better than before, red for worse, on one scale for the whole page.

    The colour is full at ``FULL_TINT`` points of accuracy or nats of loss; "" for what rounds to nothing.
    """
    share = max(-1.0, min(1.0, change / FULL_TINT[by_accuracy]))
    if abs(share) < 0.005:
        return ""
    return f"rgba({'57, 135, 229' if share > 0 else '224, 82, 80'}, {0.06 + 0.36 * abs(share):.2f})"


def granularity(run: RunRecord) -> list[dict[str, Any]]:
    """Return a table by stage and a chart for each task that is measured by group."""
    found = []
    for name in run.tasks:
        dev = [(number, values.groups) for number, values in run.dev(name) if values.groups]
        if not dev:
            continue
        counts = {group: values.targets for group, values in dev[-1][1].items() if values.targets}
        groups = list(counts)
        shares = [(group, count, count / max(1, sum(counts.values()))) for group, count in counts.items()]
        rows = [(number, [values[group].accuracy if group in values and values[group].targets else None
                          for group in groups]) for number, values in dev]
        ends = {stage.number: stage.start + stage.length for stage in run.stages}
        series = [Series(group, [(ends[number], values[group].accuracy) for number, values in dev
                                 if group in values], f"s{1 + k % 4}") for k, group in enumerate(groups)]
        found.append({"task": name, "groups": groups, "shares": shares, "rows": rows,
                      "chart": _chart(run, "dev accuracy by granularity", series, "%", zero=True)})
    return found


def resumes(run: RunRecord) -> list[tuple[StageRecord, int, str]]:
    """Return (stage, first logged step, date) of every launch that continued a stage."""
    return [(stage, line.step, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.launched)))
            for stage in run.stages for line in stage.launches[1:] if line.launched]


def skips(run: RunRecord) -> list[tuple[StageRecord, int, int, int]]:
    """Return (stage, step before, step, skipped steps between them) wherever the log counts more skipped steps."""
    found = []
    for stage in run.stages:
        for before, line in zip([LogLine(0), *stage.lines], stage.lines):
            if line.skipped > before.skipped:
                found.append((stage, before.step, line.step, line.skipped - before.skipped))
    return found


def launches(run: RunRecord) -> list[tuple[str, str, dict[str, str]]]:
    """Return (what was trained, dates, versions and machine) for each sequence of launches on one machine."""
    found: list[tuple[list[str], list[str], dict[str, str]]] = []
    for launch in run.launches:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(launch.time))
        if not found or found[-1][2] != launch.facts:
            found.append(([], [], launch.facts))
        found[-1][0].append(launch.of)
        found[-1][1].append(when)
    return [(", ".join(dict.fromkeys(of)), when[0] if when[0] == when[-1] else f"{when[0]} to {when[-1]}", facts)
            for of, when, facts in found]


def corpora(run: RunRecord) -> list[tuple[str, str, str, str]]:
    """Return (corpus, tokens in it, tokens drawn from it so far, passes) for each source of the run.

    What is drawn follows from the steps trained and the weights of the corpora, as the walk over them is even. Where
    run.json does not hold a whole curriculum the list is empty.
    """
    try:
        curriculum = build(Curriculum, run.record["curriculum"], str(run.path / "run.json"))
    except InputError:
        return []
    known = known_tokens(curriculum)
    trained = [Stage(stage.number, {name: round(budget * stage.step / max(1, stage.planned))
                                    for name, budget in stage.budgets.items()}, stage.new) for stage in run.stages]
    made = passes(curriculum, trained, known)
    return [(name, count(known[name]) if name in known else "no longer there", count(round(drawn)),
             f"{made[name]:.2f}" if name in made else "")
            for name, drawn in tokens_drawn(curriculum, trained, known).items()]


def _chart(run: RunRecord, title: str, series: list[Series], scale: str = "",
           levels: Sequence[tuple[str, float]] = (), zero: bool = False) -> Chart:
    marks = [(stage.start + step, f"resumed in stage {stage.number} before step {step:,}, {when}")
             for stage, step, when in resumes(run)]
    stages = [(str(stage.number), stage.start, stage.start + stage.length) for stage in run.stages]
    levels = [level for level in levels if math.isfinite(level[1])]
    missed = [(stage.start + step, f"{counted(number, 'step')} skipped in stage {stage.number} between steps "
                                   f"{before:,} and {step:,}") for stage, before, step, number in skips(run)]
    return Chart(title, series, scale, levels, stages if len(stages) > 1 else [], marks, zero,
                 skips=missed)


def _drawable(charts: list[Chart]) -> list[Chart]:
    return [chart for chart in charts if any(y is not None for series in chart.series for _, y in series.points)]


def _series(run: RunRecord, name: str, key: str, style: str) -> Series:
    """A line that breaks between stages, where schedules and counters start anew."""
    points = []
    for stage in curve_of(run, lambda line: getattr(line, key)):
        points += [*stage, (stage[-1][0], None)]
    return Series(name, points, style)


def curve_of(run: RunRecord, value: Callable[[LogLine], Optional[float]]) -> list[list[Point]]:
    """Return the points (step of the run, ``value(line)``) of each stage that has any; at most ``MOST`` in all."""
    size, curve = -(-len(run.lines) // MOST), []
    for stage in run.stages:
        points = [(stage.start + line.step, value(line)) for line in stage.lines]
        first = FIRST if stage.start == 0 else 0
        if any(y is not None for _, y in points):
            curve.append([*map(_mean, ([point] for point in points[:first])),
                          *(_mean(points[k:k + size]) for k in range(first, len(points), size))])
    return curve


def _mean(points: list[Point]) -> Point:
    """The last step and the mean value of some points; None where there is no number among them."""
    values = [y for _, y in points if y is not None and math.isfinite(y)]
    return points[-1][0], sum(values) / len(values) if values else None


def clock(seconds: float) -> str:
    """Write a duration in its two largest units."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hour} h {minute} min"
    return f"{minute} min {second} s" if minutes else f"{second} s"


def count(tokens: int) -> str:
    """Write a number of tokens in few characters: 1.50 G, 2.30 M, 65,536."""
    return f"{tokens / 1e9:.2f} G" if tokens >= 1e9 else f"{tokens / 1e6:.2f} M" if tokens >= 1e6 else f"{tokens:,}"
