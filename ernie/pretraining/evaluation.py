"""Dev metrics of pre-training tasks."""
from __future__ import annotations

import numpy as np

from ernie.model.pretraining_model import to_tensors
from ernie.training import distributed


def measure(model, batches: dict, count: int, tasks: dict, world: distributed.World) -> dict:
    """Metrics of every task on its own dev batches, the same on all ranks.

    Args:
        batches: task name -> ``reader.batches.batches.Batches`` over dev data. count: batches of each task.
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
    groups = task.groups
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
