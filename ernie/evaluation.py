"""Dev metrics of pre-training tasks, and the stage x task table in which forgetting shows."""
from __future__ import annotations

import json
import math

import numpy as np

from ernie import distributed
from ernie.model import to_tensors


def measure(model, batches: dict, count: int, tasks: dict, world: distributed.World) -> dict:
    """Metrics of every task on its own dev batches, the same on all ranks.

    Args:
        batches: task name -> ``reader.batches.Batches`` over dev data. count: batches of each task.
        tasks: name -> task declaration.
    Returns:
        name -> {"loss", "accuracy", "targets", "majority", "chance", and "groups" where the task has them}.
        majority: accuracy of always answering the most frequent class of these dev targets.
    """
    layer = distributed.unwrap(model)
    layer.eval()
    try:
        return {name: _measure_task(layer, source, count, tasks[name], world) for name, source in batches.items()}
    finally:
        layer.train()


def _measure_task(layer, source, count: int, task, world: distributed.World) -> dict:
    groups = getattr(task, "groups", ())
    classes = len(task.classes)
    totals = np.zeros(3 + 2 * len(groups) + classes)  # loss, right, targets; right and targets by group; class counts
    for number in range(count):
        for batch in source.at(number, range(world.rank, source.slices, world.size)):
            target = batch.targets.get(task.name)
            if target is None or not len(target.labels):
                continue
            batch.targets = {task.name: target}
            losses, right = layer.score(**to_tensors(batch))[task.name]
            totals[:3] += losses.sum(), right.sum(), len(right)
            for k in range(len(groups)):
                chosen = target.groups == k
                totals[3 + 2 * k:5 + 2 * k] += right[chosen].sum(), chosen.sum()
            if classes:
                totals[-classes:] += np.bincount(target.labels, minlength=classes)
    totals = distributed.sum_over_ranks(world, totals)
    loss, right, targets = totals[:3]
    metrics = {"loss": float(loss / max(1, targets)), "accuracy": float(right / max(1, targets)),
               "targets": int(targets)}
    if classes:
        metrics["majority"] = float(totals[-classes:].max() / max(1, targets))
        metrics["chance"] = 1 / classes
    if groups:
        by_group = totals[3:3 + 2 * len(groups)].reshape(-1, 2)
        metrics["groups"] = {name: {"accuracy": float(r / max(1, n)), "targets": int(n)}
                             for name, (r, n) in zip(groups, by_group)}
    return metrics


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
