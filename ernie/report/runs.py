"""What a run directory tells: stages, log lines, dev metrics, launches. Reads a run that is still going, too."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reader.utils.errors import InputError


@dataclass
class StageRecord:
    """A stage as it was recorded. ``start``: steps of the run before it; ``lines``: of log.jsonl, in order of steps."""

    number: int
    budgets: dict
    new: list
    start: int
    lines: list
    dev: dict | None
    done: dict | None

    @property
    def planned(self) -> int:
        return sum(self.budgets.values())

    @property
    def step(self) -> int:
        """How far it has come, as far as the log tells."""
        return self.done["step"] if self.done else self.lines[-1]["step"] if self.lines else 0

    @property
    def length(self) -> int:
        """Steps it takes on the axis: what it ran when it is over, what is planned before."""
        return self.done["step"] if self.done else self.planned

    @property
    def tokens(self) -> int:
        return (self.done or (self.lines[-1] if self.lines else {})).get("tokens", 0)

    @property
    def seconds(self) -> float:
        """Of training; while the stage goes on, what the log lines add up to."""
        if self.done:
            return self.done.get("seconds", 0.0)
        tokens = [0, *(line.get("tokens", 0) for line in self.lines)]
        return sum(max(0, b - a) / line["tokens_per_second"] for a, b, line in zip(tokens, tokens[1:], self.lines)
                   if line.get("tokens_per_second"))

    @property
    def skipped(self) -> int:
        return self.lines[-1].get("skipped", 0) if self.lines else 0

    @property
    def launches(self) -> list[dict]:
        """The first line that each launch wrote; all but the first are resumes."""
        known, first = set(), []
        for line in self.lines:
            if line.get("launched") not in known:
                known.add(line.get("launched"))
                first.append(line)
        return first

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.done:
            return self.done.get("reason", "finished")
        return f"step {self.step:,} of {self.planned:,}" if self.lines else "not begun"


@dataclass
class RunRecord:
    """A run as its directory tells it."""

    path: Path
    record: dict
    stages: list[StageRecord]

    @property
    def tasks(self) -> list[str]:
        """In order of introduction."""
        return list(dict.fromkeys(name for stage in self.stages for name in stage.budgets))

    @property
    def current(self) -> StageRecord | None:
        """The stage to be trained now, or None after the last."""
        return next((stage for stage in self.stages if not stage.done), None)

    @property
    def lines(self) -> list[tuple[int, dict]]:
        """(step of the run, log line) over all stages."""
        return [(stage.start + line["step"], line) for stage in self.stages for line in stage.lines]

    def dev(self, task: str) -> list[tuple[int, dict]]:
        """(stage number, dev metrics) wherever the task was measured."""
        return [(stage.number, stage.dev[task]) for stage in self.stages if stage.dev and task in stage.dev]


def read_run(path) -> RunRecord:
    """Read a run directory. Raises InputError where there is none."""
    path = Path(path)
    file = path / "run.json"
    if not path.is_dir():
        raise InputError("no such directory", path)
    if not file.exists():
        raise InputError("holds no pre-training run (run.json is missing)", path)
    record, stages, start = _json(file), [], 0
    try:
        for entry in record["stages"]:
            folder = path / f"stage-{entry['number']}"
            stages.append(StageRecord(entry["number"], entry["budgets"], entry["new"], start,
                                      _lines(folder / "log.jsonl"), _json(folder / "dev.json"),
                                      _json(folder / "done.json")))
            start += stages[-1].length
    except (KeyError, TypeError) as error:
        raise InputError(f"is not the record of a run ({type(error).__name__}: {error})", file) from None
    return RunRecord(path, record, stages)


def _json(file: Path) -> dict | None:
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"is not readable ({error})", file) from None


def _lines(file: Path) -> list[dict]:
    """The log, each step once; a line that is just being written, or was cut by a kill, is left out."""
    by_step = {}
    if file.exists():
        for text in file.read_text("utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
                by_step[int(line["step"])] = line
            except (ValueError, KeyError, TypeError):
                continue
    return [by_step[step] for step in sorted(by_step)]
