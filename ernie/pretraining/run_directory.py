"""The directory of a pre-training run: what it was started with, how far it has come, who writes in it.

    run.json            curriculum, stages, model and fingerprints of the data, as first started
    stage-<n>/          step-<k>/ checkpoints, log.jsonl, dev.json, done.json when the stage is over
"""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ernie.checkpoints import checkpoint
from ernie.pretraining.curriculum import Convergence, Curriculum
from ernie.pretraining.stages import Stage, extend, stages_of
from reader.utils.errors import InputError
from reader.utils.files import write_json

# what may change between two launches without changing what is computed
FREE = ("workers", "log_every", "checkpoint_every", "keep_checkpoints", "max_bad_steps", "step_timeout", "recompute",
        "check_ranks_every", "micro_batch_tokens", "name", "tasks_from")


class RunDirectory:
    """Paths and records of a run; creates nothing until ``record``."""

    def __init__(self, path):
        self.path = Path(path)
        self.file = self.path / "run.json"

    def stage_path(self, number: int) -> Path:
        """Directory of a stage (1-based)."""
        return self.path / f"stage-{number}"

    def recorded(self) -> dict | None:
        """What ``record`` wrote when the run was first started."""
        if not self.file.exists():
            return None
        try:
            return json.loads(self.file.read_text("utf-8"))
        except ValueError as error:
            raise InputError(f"is not readable ({error})", self.file) from None

    def stages(self, curriculum: Curriculum) -> list[Stage]:
        """The stages of this run: as declared, or as recorded and then extended by tasks that were appended."""
        record = self.recorded()
        if record is None:
            return stages_of(curriculum)
        done = [_stage(entry) for entry in record["stages"]]
        return extend(done, curriculum, [task["name"] for task in record["curriculum"]["tasks"]])

    def done(self, number: int) -> dict | None:
        """How a stage ended, or None while it has not."""
        file = self.stage_path(number) / "done.json"
        return json.loads(file.read_text("utf-8")) if file.exists() else None

    def last_checkpoint(self, number: int, report=print) -> Path | None:
        """The newest whole checkpoint of a stage."""
        return checkpoint.newest(self.stage_path(number), report)

    def record(self, curriculum: Curriculum, stages: list[Stage], facts: dict) -> None:
        """Write down what the run is; later launches are compared with it.

        Args:
            facts: ``model`` (configuration), ``vocabulary`` (hash), ``data`` (name -> fingerprint).
        Raises:
            InputError: this launch would not continue the recorded run; every difference is spelled out.
        """
        new = {"curriculum": curriculum.to_dict(), "stages": [asdict(stage) for stage in stages], **facts}
        old = self.recorded()
        if old:
            differences = _differences(_comparable(old), _comparable(new, old))
            if differences:
                raise InputError("this run was started differently; use another --output, or undo:\n  "
                                 + "\n  ".join(differences), self.file)
            if len(old["stages"]) == len(new["stages"]):
                return
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.file, new)


def _stage(entry: dict) -> Stage:
    until = entry.get("until_converged")
    return Stage(**{**entry, "until_converged": Convergence(**until) if until else None})


def _comparable(record: dict, old: dict | None = None) -> dict:
    """The parts that must agree: all but what is free, where the data lies, and tasks that ``old`` did not have."""
    curriculum = {key: value for key, value in record["curriculum"].items() if key not in FREE}
    known = len((old or record)["curriculum"]["tasks"])
    curriculum["tasks"] = curriculum["tasks"][:known]
    if curriculum["stages"]:
        curriculum["stages"] = curriculum["stages"][:len((old or record)["curriculum"]["stages"] or ())]
    for group in ("corpora", "pairs"):
        names = (old or record)["curriculum"][group]
        curriculum[group] = {name: source["weight"] for name, source in curriculum[group].items() if name in names}
    for task in curriculum["tasks"]:
        task.pop("rehearsal", None)
    data = {name: value for name, value in record["data"].items() if name in (old or record)["data"]}
    return {"curriculum": curriculum, "model": record["model"], "vocabulary": record["vocabulary"], "data": data}


def _differences(old, new, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in [*old, *(k for k in new if k not in old)]
                for line in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for k, (a, b) in enumerate(zip(old, new)) for line in _differences(a, b, f"{where}[{k}]")]
    return [] if old == new else [f"{where}: was {old!r}, is now {new!r}"]
