"""A run put together as one HTML page."""
from __future__ import annotations

import math
import time
from pathlib import Path

import jinja2
import yaml

from ernie.report.charts import Chart, Series
from ernie.report.runs import RunRecord, StageRecord

MOST = 300  # points of a curve; a longer log is averaged down to this


def render(run: RunRecord, now: float | None = None) -> str:
    """The page. ``now``: seconds since the epoch, for how long ago the run was heard of."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(clock=clock, task=lambda name: name.replace("_", " "))
    record = run.record
    return environment.get_template("page.html").render(
        run=run, name=record["curriculum"].get("name", run.path.name), summary=summary(run, now or time.time()),
        tasks=[(name, task_charts(run, name)) for name in run.tasks], engine=engine_charts(run), matrix=matrix(run),
        granularity=granularity(run), resumes=resumes(run),
        configuration=yaml.safe_dump(record["curriculum"], sort_keys=False, allow_unicode=True),
        model=yaml.safe_dump(record.get("model"), sort_keys=False),
        data=yaml.safe_dump({key: record.get(key) for key in ("vocabulary", "data")}, sort_keys=False),
        made=time.strftime("%Y-%m-%d %H:%M", time.localtime(now)))


def summary(run: RunRecord, now: float) -> list[tuple[str, str, str]]:
    """(what, figure, small print) for the tiles at the top."""
    stages = run.stages
    seconds, tokens = sum(stage.seconds for stage in stages), sum(stage.tokens for stage in stages)
    steps, planned = sum(stage.step for stage in stages), sum(stage.length for stage in stages)
    skipped = sum(stage.skipped for stage in stages)
    tiles = [_standing(run, now), ("steps", f"{steps:,}", f"of {planned:,}"),
             ("tokens", _count(tokens), "without padding"),
             ("training time", clock(seconds), f"{tokens / seconds:,.0f} tokens/s" if seconds else "")]
    if seconds and run.lines and run.lines[-1][1].get("cards", 1) > 1:
        tiles.append(("cards", str(run.lines[-1][1]["cards"]), "in the last launch"))
    return [*tiles, ("skipped steps", f"{skipped:,}", "loss or gradient not finite"),
            ("resumes", str(len(resumes(run))), "launches that went on inside a stage")]


def _standing(run: RunRecord, now: float) -> tuple[str, str, str]:
    current, count = run.current, len(run.stages)
    if current is None:
        return "state", "finished", f"{count} stage{'s' * (count > 1)}"
    heard = [line["time"] for _, line in run.lines if "time" in line]
    ago = f"last heard of {clock(max(0.0, now - heard[-1]))} ago" if heard else "no step logged yet"
    if current.lines and current.lines[-1].get("eta_run") is not None:
        ago += f"; {clock(current.lines[-1]['eta_run'])} of training left then"
    return "state", f"stage {current.number} of {count}", f"{current.state}; {ago}"


def task_charts(run: RunRecord, name: str) -> list[Chart]:
    """Loss and accuracy of a task over the whole run: training, dev after each stage, and what guessing gives."""
    dev = run.dev(name)
    ends = {stage.number: stage.start + stage.length for stage in run.stages}
    charts = []
    for key, title, unit in (("loss", "loss", ""), ("accuracy", "accuracy", "%")):
        curve = _curve(run, lambda line, key=key: line.get("tasks", {}).get(name, {}).get(key))
        series = [Series("training", [point for stage in curve for point in stage], "s1")]
        if dev:
            series.append(Series("dev, after a stage", [(ends[number], values[key]) for number, values in dev], "s2",
                                 dots=True))
        levels = [("majority class", dev[-1][1]["majority"])] if unit and dev and "majority" in dev[-1][1] else []
        charts.append(_chart(run, title, series, unit, levels))
    return _drawable(charts)


def engine_charts(run: RunRecord) -> list[Chart]:
    """What the machine did: rates, speed, gradients, waste, memory."""
    cards = max((line.get("cards", 1) for _, line in run.lines), default=1)
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
    if any(line.get("loss_scale", 1) != 1 for _, line in run.lines):
        charts.append(_chart(run, "loss scale", [_series(run, "loss scale", "loss_scale", "s1")], zero=True))
    if any(line.get("skipped") for _, line in run.lines):
        charts.append(_chart(run, "skipped steps of the stage so far", [_series(run, "skipped", "skipped", "s1")],
                             zero=True))
    return _drawable(charts)


def matrix(run: RunRecord) -> dict | None:
    """Stage x task with, for each cell, how it compares with the best earlier stage; None before any dev metrics."""
    names = [name for name in run.tasks if run.dev(name)]
    if not names:
        return None
    uniform = math.log(run.record.get("model", {}).get("vocab_size", 1))
    columns = [_column(run.dev(name), uniform) for name in names]
    measured = [stage.number for stage in run.stages if stage.dev]
    rows = [(f"after stage {number}", [column["cells"].get(number) for column in columns]) for number in measured]
    return {"names": names, "rows": rows, "columns": columns}


def _column(dev: list[tuple[int, dict]], uniform: float) -> dict:
    """A task's cells, and below them what was forgotten, the majority class and chance.

    uniform: loss of a guess over the vocabulary, the chance of a task that has no classes of its own.
    """
    classes = "majority" in dev[-1][1]
    worth = [values["accuracy"] if classes else -values["loss"] for _, values in dev]
    say = (lambda value: f"{100 * value:.1f} %") if classes else (lambda value: f"{-value:.3f}")
    change = (lambda value: f"{100 * value:+.1f}") if classes else (lambda value: f"{-value:+.3f}")
    gains = [None, *(worth[k] - max(worth[:k]) for k in range(1, len(worth)))]
    largest = max((abs(gain) for gain in gains if gain is not None), default=0.0)
    cells = {number: {"value": say(value), "change": "" if gain is None else change(gain),
                      "colour": "" if gain is None or not largest else _tint(gain / largest)}
             for (number, _), value, gain in zip(dev, worth, gains)}
    return {"unit": "accuracy" if classes else "loss, lower is better", "cells": cells,
            "forgotten": change(worth[-1] - max(worth)) if worth[-1] < max(worth) else "nothing",
            "lost": worth[-1] < max(worth),
            "majority": say(dev[-1][1]["majority"]) if classes else "-",
            "chance": say(dev[-1][1]["chance"]) if classes else say(-uniform)}


def _tint(share: float) -> str:
    """Blue where a task is better than ever before, red where it has lost."""
    return f"rgba({'57, 135, 229' if share >= 0 else '224, 82, 80'}, {0.08 + 0.34 * abs(share):.2f})"


def granularity(run: RunRecord) -> list[dict]:
    """For each task that is measured by group: a table by stage, and its chart."""
    found = []
    for name in run.tasks:
        dev = [(number, values["groups"]) for number, values in run.dev(name) if values.get("groups")]
        if not dev:
            continue
        groups = list(dev[-1][1])
        total = sum(dev[-1][1][group]["targets"] for group in groups)
        shares = [(group, dev[-1][1][group]["targets"], dev[-1][1][group]["targets"] / max(1, total))
                  for group in groups]
        rows = [(number, [values[group]["accuracy"] if group in values else None for group in groups])
                for number, values in dev]
        ends = {stage.number: stage.start + stage.length for stage in run.stages}
        series = [Series(group, [(ends[number], values[group]["accuracy"]) for number, values in dev
                                 if group in values], f"s{1 + k % 4}") for k, group in enumerate(groups)]
        found.append({"task": name, "groups": groups, "shares": shares, "rows": rows,
                      "chart": _chart(run, "dev accuracy by granularity", series, "%", zero=True)})
    return found


def resumes(run: RunRecord) -> list[tuple[StageRecord, int, str]]:
    """(stage, first logged step of the launch, when) of every launch that continued a stage."""
    return [(stage, line["step"], time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["launched"])))
            for stage in run.stages for line in stage.launches[1:] if line.get("launched")]


def _chart(run: RunRecord, title: str, series: list, unit: str = "", levels=(), zero: bool = False) -> Chart:
    marks = [(stage.start + step, f"resumed in stage {stage.number} before step {step:,}, {when}")
             for stage, step, when in resumes(run)]
    stages = [(str(stage.number), stage.start, stage.start + stage.length) for stage in run.stages]
    return Chart(title, series, unit, list(levels), stages if len(stages) > 1 else [], marks, zero)


def _drawable(charts: list[Chart]) -> list[Chart]:
    return [chart for chart in charts if any(y is not None for series in chart.series for _, y in series.points)]


def _series(run: RunRecord, name: str, key: str, style: str) -> Series:
    """A line that breaks between stages, where schedules and counters start anew."""
    points = []
    for stage in _curve(run, lambda line: line.get(key)):
        points += [*stage, (stage[-1][0], None)]
    return Series(name, points, style)


def _curve(run: RunRecord, value) -> list[list]:
    """(step of the run, ``value(line)``) for each stage that has any; a long log as means of neighbours."""
    size, curve = -(-len(run.lines) // MOST), []
    for stage in run.stages:
        points = [(stage.start + line["step"], value(line)) for line in stage.lines]
        if any(y is not None for _, y in points):
            curve.append([_mean(points[k:k + size]) for k in range(0, len(points), size)])
    return curve


def _mean(points: list) -> tuple:
    """The last step and the mean value of some points; None where there is no number among them."""
    values = [y for _, y in points if y is not None and math.isfinite(y)]
    return points[-1][0], sum(values) / len(values) if values else None


def clock(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hour} h {minute} min"
    return f"{minute} min {second} s" if minutes else f"{second} s"


def _count(tokens: int) -> str:
    return f"{tokens / 1e9:.2f} G" if tokens >= 1e9 else f"{tokens / 1e6:.2f} M" if tokens >= 1e6 else f"{tokens:,}"
