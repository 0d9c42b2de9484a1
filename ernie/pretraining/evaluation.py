"""Dev metrics of pre-training tasks."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from paddle import nn

from ernie.baselines.run import RunBaselines, shallow_baselines
from ernie.model.pretraining_model import to_tensors
from ernie.pretraining.data import PretrainingData
from ernie.training import distributed
from ernie.training.metrics import Baseline, GroupMetrics, TaskMetrics
from reader.batches.batches import Batches, slices_of_rank
from tasks.base import Task


def run_baselines(data: PretrainingData, names: list[str], directory: str | Path, world: distributed.World,
                  heartbeat: Callable[[], None] = lambda: None) -> dict[str, Baseline]:
    """Find the best shallow baseline of each task of a run; the result is the same on all ranks.

    The main rank computes what ``baselines.json`` in the run directory does not hold yet: seconds, once in a run.

    Args:
        names: tasks that have dev data. directory: of the run. heartbeat: called before every task.
    """
    def compute(name: str) -> list[Baseline]:
        heartbeat()
        return shallow_baselines(data.tasks[name], data.batches(name, [name], 1),
                                 data.batches(name, [name], 1, dev=True), data.curriculum.dev_batches,
                                 data.tokenizer.size)

    found = RunBaselines(directory).complete({name: partial(compute, name) for name in names}) if world.main else None
    return distributed.gather(world, found)[0]


def measure(model: nn.Layer, batches: Mapping[str, Batches], count: int, tasks: Mapping[str, Task],
            world: distributed.World,
            baselines: Mapping[str, Baseline] | None = None,
            heartbeat: Callable[[], None] = lambda: None,
            autocast: Callable[[], AbstractContextManager] = nullcontext) -> dict[str, TaskMetrics]:
    """Measure every task on its own dev batches; the result is the same on all ranks.

    Args:
        batches: task name -> ``reader.batches.batches.Batches`` over dev data. count: batches of each task.
        tasks: name -> task declaration. baselines: name -> the best shallow baseline on these batches, if known.
        heartbeat: called before every batch. autocast: the context of a forward pass, the same as in training.
    """
    layer = distributed.unwrap(model)
    layer.eval()
    try:
        with autocast():
            return {name: _measure_task(layer, source, count, tasks[name], world, (baselines or {}).get(name),
                                        heartbeat) for name, source in batches.items()}
    finally:
        layer.train()


def _measure_task(layer, source, count: int, task, world: distributed.World, baseline: Baseline | None,
                  heartbeat: Callable[[], None]) -> TaskMetrics:
    groups, classes = task.groups, len(task.classes)
    totals = np.zeros(3 + 2 * len(groups) + classes)  # loss, right, targets; right and targets by group; class counts
    for number in range(count):
        for batch in source.at(number, slices_of_rank(source.slices, world.rank, world.size)):
            heartbeat()
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
    loss, right, targets = totals[:3] / max(1.0, totals[2])
    metrics = TaskMetrics(float(loss), float(right), int(totals[2]), baseline=baseline)
    if classes:
        metrics.majority, metrics.chance = float(totals[-classes:].max() / max(1.0, totals[2])), 1 / classes
    by_group = totals[3:3 + 2 * len(groups)].reshape(-1, 2)
    metrics.groups = {name: GroupMetrics(float(hit / max(1.0, size)), int(size))
                      for name, (hit, size) in zip(groups, by_group)}
    return metrics
