"""Read a run directory: stages, log lines, dev metrics, launches. A run that is still going can be read, too."""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Optional

from ernie.pretraining.forgetting import ForgettingMatrix, read_dev
from ernie.training.metrics import LogLine, TaskMetrics
from ernie.utils.config_io import build
from ernie.utils.limits import Count, Natural, NotNegative, Range
from ernie.utils.machine import Launch, read_launches
from reader.utils.errors import InputError


@dataclass
class StageRecord:
    """A stage as it was recorded.

    Attributes:
        number: from 1. budgets: task -> iterations. new: tasks that enter here. start: steps of the run before it.
        lines: of log.jsonl, in order of steps. dev: task -> dev metrics at its end. done: content of done.json.
    """

    number: int
    budgets: dict[str, int]
    new: list[str]
    start: int
    lines: list[LogLine]
    dev: Optional[dict[str, TaskMetrics]]
    done: Optional[dict[str, Any]]

    @property
    def planned(self) -> int:
        """Steps that were declared."""
        return sum(self.budgets.values())

    @property
    def step(self) -> int:
        """Steps trained so far, as far as the log tells."""
        return self.done["step"] if self.done else self.lines[-1].step if self.lines else 0

    @property
    def length(self) -> int:
        """Steps it takes on the axis: those it ran when it is over, those planned before."""
        return self.done["step"] if self.done else self.planned

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, without padding."""
        return self.done.get("tokens", 0) if self.done else self.lines[-1].tokens if self.lines else 0

    @property
    def seconds(self) -> float:
        """Seconds of training; while the stage goes on, the sum of what the log lines tell."""
        if self.done:
            return self.done.get("seconds", 0.0)
        tokens = [0, *(line.tokens for line in self.lines)]
        return sum(max(0, after - before) / line.tokens_per_second
                   for before, after, line in zip(tokens, tokens[1:], self.lines) if line.tokens_per_second)

    @property
    def skipped(self) -> int:
        """Steps whose loss or gradient was not finite."""
        return self.lines[-1].skipped if self.lines else 0

    @property
    def launches(self) -> list[LogLine]:
        """Return the first line that each launch wrote; all but the first are resumes."""
        known, first = set(), []
        for line in self.lines:
            if line.launched not in known:
                known.add(line.launched)
                first.append(line)
        return first

    @property
    def state(self) -> str:
        """Tell how the stage stands: why it ended, the step it is at, or "not begun"."""
        if self.done:
            return self.done.get("reason", "finished")
        return f"step {self.step:,} of {self.planned:,}" if self.lines else "not begun"


@dataclass
class RunRecord:
    """A run as its directory tells it. record: content of run.json. launches: what each launch ran on."""

    path: Path
    record: dict[str, Any]
    stages: list[StageRecord]
    launches: list[Launch] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the curriculum's name, or else that of the directory."""
        return self.record["curriculum"].get("name", self.path.name)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in order of introduction."""
        return list(dict.fromkeys(name for stage in self.stages for name in stage.budgets))

    @property
    def current(self) -> StageRecord | None:
        """Return the stage to be trained now, or None after the last."""
        return next((stage for stage in self.stages if not stage.done), None)

    @property
    def lines(self) -> list[tuple[int, LogLine]]:
        """Return (step of the run, log line) over all stages."""
        return [(stage.start + line.step, line) for stage in self.stages for line in stage.lines]

    @property
    def matrix(self) -> ForgettingMatrix:
        """Stage x task; empty before any dev metrics."""
        return ForgettingMatrix([(stage.number, stage.dev) for stage in self.stages if stage.dev],
                                self.record.get("model", {}).get("vocab_size", 1))

    def dev(self, task: str) -> list[tuple[int, TaskMetrics]]:
        """Return (stage number, dev metrics) wherever the task was measured."""
        return [(stage.number, stage.dev[task]) for stage in self.stages if stage.dev and task in stage.dev]


def read_run(path: str | Path) -> RunRecord:
    """Read a run directory. Raises InputError where there is none, or its files are damaged."""
    path = Path(path)
    file = path / "run.json"
    if not path.is_dir():
        raise InputError("no such directory", path)
    if not file.exists():
        raise InputError("holds no pre-training run (run.json is missing)", path)
    record, stages, start = read_json(file), [], 0
    for entry in build(_RunFile, record, str(file), strict=False).stages:
        folder = path / f"stage-{entry.number}"
        done = read_json(folder / "done.json")
        if done is not None:
            build(_DoneFile, done, str(folder / "done.json"), strict=False)
        stages.append(StageRecord(entry.number, entry.budgets, entry.new, start, read_log(folder / "log.jsonl"),
                                  read_dev(folder / "dev.json"), done))
        start += stages[-1].length
    return RunRecord(path, record, stages, read_launches(path))


@dataclass
class _StageEntry:
    number: Count
    budgets: dict[str, Count]
    new: list[str]


@dataclass
class _ModelEntry:
    vocab_size: Count = 1


@dataclass
class _CurriculumEntry:
    name: str = ""


@dataclass
class _RunFile:
    """The parts of run.json that a page needs."""

    stages: list[_StageEntry]
    curriculum: _CurriculumEntry
    model: _ModelEntry = field(default_factory=_ModelEntry)


@dataclass
class _DoneFile:
    """The parts of done.json that a page needs."""

    step: Natural
    tokens: Annotated[int, Range(0, 2 ** 63)] = 0
    seconds: NotNegative = 0.0
    reason: str = "finished"


def read_json(file: Path) -> Any:
    """Read a json file; None where there is none. Raises InputError for a damaged one."""
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"is not readable ({error})", file) from None


def read_log(file: Path) -> list[LogLine]:
    """Read a log, each step once; a line that is just being written, or was cut by a kill, is left out."""
    by_step = {}
    if file.exists():
        for text in file.read_text("utf-8", errors="replace").splitlines():
            try:
                line = LogLine.from_json(json.loads(text))
                by_step[line.step] = line
            except (ValueError, RecursionError):  # InputError is a ValueError
                continue
    return [by_step[step] for step in sorted(by_step)]
