"""The stage x task table of dev metrics, in which forgetting shows."""
from __future__ import annotations

import json
import math


def stage_metrics(run, stages) -> list[tuple[int, dict]]:
    """(stage number, dev metrics) of every stage that has been measured."""
    measured = []
    for stage in stages:
        file = run.stage_path(stage.number) / "dev.json"
        if file.exists():
            measured.append((stage.number, json.loads(file.read_text("utf-8"))))
    return measured


def cell(metrics: dict | None) -> str:
    """How one task's metrics stand in the table: its loss where it predicts words, its accuracy otherwise."""
    if metrics is None:
        return "-"
    if "majority" not in metrics:
        return f"{metrics['loss']:.3f}"
    return f"{100 * metrics['accuracy']:.1f}%"


def forgotten(measured: list[tuple[int, dict]], name: str) -> str:
    """How much worse a task is after the last stage than after its best one."""
    values = [metrics[name] for _, metrics in measured if name in metrics]
    if not values or name not in measured[-1][1]:
        return "-"
    if "majority" not in values[-1]:
        return f"{values[-1]['loss'] - min(v['loss'] for v in values):+.3f}"
    return f"{100 * (values[-1]['accuracy'] - max(v['accuracy'] for v in values)):+.1f}"


def table(measured: list[tuple[int, dict]], vocabulary: int) -> str:
    """Stage x task as text, with chance and the majority class beside it and what was forgotten below it."""
    names = list(dict.fromkeys(name for _, metrics in measured for name in metrics))
    latest = {name: next(m[name] for _, m in reversed(measured) if name in m) for name in names}
    rows = [["", *(name.replace("_", " ") for name in names)],
            ["", *("accuracy" if "majority" in latest[name] else "loss (lower)" for name in names)]]
    rows += [[f"after stage {number}", *(cell(metrics.get(name)) for name in names)] for number, metrics in measured]
    rows.append(["forgotten since best", *(forgotten(measured, name) for name in names)])
    rows.append(["majority class", *(f"{100 * latest[n]['majority']:.1f}%" if "majority" in latest[n] else "-"
                                     for n in names)])
    rows.append(["chance", *(f"{100 * latest[n]['chance']:.1f}%" if "chance" in latest[n] else
                             f"{math.log(vocabulary):.3f}" for n in names)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(names) + 1)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:]))])
                     .rstrip() for row in rows)
