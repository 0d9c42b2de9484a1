"""Show what a run reads: examples of its own batches, and how its labels and masks are spread."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ernie.report.runs import RunRecord
from reader.utils.errors import InputError

EACH = 2  # examples of each task


@dataclass
class TaskExamples:
    """Examples of one task at one step. rows: examples in the batch. summary: labels of the whole batch, counted.
    note: why there are none."""

    task: str
    stage: int
    step: int
    rows: int = 0
    texts: list[str] = field(default_factory=list)
    summary: str = ""
    note: str = ""


def examples(run: RunRecord) -> list[TaskExamples]:
    """Return examples of every task that a log line names as drawn, from the latest such step.

    Tasks of a user's own files are not shown: a page about a run must not execute what the run names.
    """
    latest = {line.task: (stage.number, line.step) for stage in run.stages for line in stage.lines if line.task}
    foreign = bool(run.record["curriculum"].get("tasks_from"))
    return [_of_task(run, name, *latest[name], foreign) for name in run.tasks if name in latest]


def _of_task(run: RunRecord, name: str, stage: int, step: int, foreign: bool) -> TaskExamples:
    shown = TaskExamples(name, stage, step)
    if foreign:
        shown.note = ("The run has tasks of its own, whose code a page does not execute: "
                      f"ernie inspect --run {run.path} --stage {stage} --step {step}")
        return shown
    try:
        from ernie.pretraining.inspection import pages, step_of_run
        batches, number, _ = step_of_run(run.path, stage, step)
        window, rows = batches.rows(number)
        shown.rows = len(rows)
        *texts, shown.summary = pages(batches.task, batches.corpus, window, np.asarray(rows))
        shown.texts = [text.strip() for text in texts[:EACH]]
        shown.summary = shown.summary.replace("\n", "; ")
    except InputError as error:
        shown.note = f"Cannot be shown: {error}"
    return shown
