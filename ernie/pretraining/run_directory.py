"""The directory of a pre-training run: what it was started with, how far it has come, who writes in it.

    run.json            curriculum, stages, model and fingerprints of the data, as first started
    stage-<n>/          step-<k>/ checkpoints, log.jsonl, dev.json, done.json when the stage is over
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ernie.checkpoints import checkpoint
from ernie.checkpoints.copies_folder import CopiesFolder
from ernie.pretraining.curriculum import Convergence, Curriculum
from ernie.pretraining.stages import Stage, extend, stages_of
from ernie.utils.records import read_record, refuse_another_run
from reader.utils.errors import InputError
from reader.utils.files import write_json

# what may change between two launches without changing what is computed
FREE = ("workers", "log_every", "checkpoint_every", "keep_checkpoints", "copy_checkpoints_to",
        "max_bad_steps", "step_timeout", "recompute",
        "deterministic", "kernels", "check_ranks_every", "micro_batch_tokens", "name", "tasks_from", "start_timeout",
        "health_every", "loss_spike", "width_multiple", "gradient_bucket_mb")


class RunDirectory:
    """Paths and records of a run. Nothing is created until ``record`` is called.

    Args:
        copies: folder to which the checkpoints are copied; a run whose directory is lost is known by its record there.
    """

    def __init__(self, path: str | Path, copies: str | None = None):
        self.path = Path(path)
        self.file = self.path / "run.json"
        self.copies = CopiesFolder(copies, self.file, ["stage-*"], _refuse_other_copies) if copies else None

    def stage_path(self, number: int) -> Path:
        """Return the directory of a stage (1-based)."""
        return self.path / f"stage-{number}"

    def recorded(self) -> dict | None:
        """Return what ``record`` wrote when the run was first started, here or beside the copies, or None."""
        if self.file.exists():
            return read_record(self.file)
        return self.copies.recorded() if self.copies else None

    def stages(self, curriculum: Curriculum) -> list[Stage]:
        """Return the stages of this run: as declared, or as recorded and extended by the tasks appended since."""
        record = self.recorded()
        if record is None:
            return stages_of(curriculum)
        if self.copies and not self.file.exists():  # of which nobody has said that they are to be gone on with
            _refuse_other_copies(self.copies.file, record, {**record, "curriculum": curriculum.to_dict()})
        done = [_stage(entry) for entry in record["stages"]]
        return extend(done, curriculum, [task["name"] for task in record["curriculum"]["tasks"]])

    def done(self, number: int) -> dict | None:
        """Return the record of the end of a stage, or None while it has not ended."""
        file = self.stage_path(number) / "done.json"
        if not file.exists():
            return None
        return read_record(file)

    def finished(self, stages: list[Stage], say: Callable[[str], None]) -> list[int]:
        """Return the numbers of the stages that need no more training.

        A finished stage from whose last checkpoint the next one would have to begin is trained again, from its newest
        whole checkpoint, when that checkpoint is damaged.
        """
        done = [stage.number for stage in stages if self.done(stage.number)]
        last = max(done, default=0)
        if not last or checkpoint.newest(self.stage_path(last + 1), lambda line: None):
            return done
        damage = self._damage(last)
        if damage:
            whole = checkpoint.newest(self.stage_path(last), lambda line: None)
            say(f"stage {last} was finished, but its last checkpoint is damaged ({damage}); it is trained again from "
                f"{whole.name if whole else 'its beginning'}")
            done.remove(last)
        return done

    def _damage(self, number: int) -> str:
        record = self.done(number)
        return checkpoint.check(self.stage_path(number) / record["checkpoint"]) if record else ""

    def end_of(self, number: int) -> Path:
        """Return the checkpoint with which a stage ended.

        Raises:
            InputError: the stage is not finished, or the checkpoint is damaged.
        """
        record = self.done(number)
        if not record:
            raise InputError(f"stage {number + 1} begins where stage {number} ends, which is not finished", self.path)
        path = self.stage_path(number) / record["checkpoint"]
        damage = checkpoint.check(path)
        if damage:
            raise InputError(f"the last checkpoint of stage {number} is damaged: {damage}", path)
        return path

    def record(self, curriculum: Curriculum, stages: list[Stage], facts: dict) -> None:
        """Write down what the run is; later launches are compared with it. See ``check`` for arguments and errors."""
        new = self.check(curriculum, stages, facts)
        old = self.recorded()
        if old is None or len(old["stages"]) != len(new["stages"]) or not self.file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.file, new)

    def check(self, curriculum: Curriculum, stages: list[Stage], facts: dict) -> dict[str, Any]:
        """Return what ``record`` would write; writes nothing.

        Args:
            facts: ``model`` (configuration), ``vocabulary`` (hash), ``data`` (name -> fingerprint).
        Raises:
            InputError: this launch would not continue the recorded run; every difference is spelled out.
        """
        new = {"curriculum": curriculum.to_dict(), "stages": [asdict(stage) for stage in stages], **facts}
        if self.file.exists():
            old = read_record(self.file)
            refuse_another_run(self.file, _comparable(old), _comparable(new, old))
        if self.copies:
            self.copies.check(new)
        return new


def _refuse_other_copies(file: Path, old: dict, new: dict) -> None:
    refuse_another_run(file, _comparable(old), _comparable(new, old), "folder in copy_checkpoints_to")


def _stage(entry: dict) -> Stage:
    until = entry.get("until_converged")
    return Stage(**{**entry, "until_converged": Convergence(**until) if until else None})


def _comparable(record: dict, old: dict | None = None) -> dict[str, Any]:
    """The parts that must agree: all but what is free, where the data lies, and tasks that ``old`` did not have."""
    curriculum = {key: value for key, value in record["curriculum"].items() if key not in FREE}
    known = len((old or record)["curriculum"]["tasks"])
    curriculum["tasks"] = [{key: value for key, value in task.items() if key != "rehearsal"}
                           for task in curriculum["tasks"][:known]]
    if curriculum["stages"]:
        curriculum["stages"] = curriculum["stages"][:len((old or record)["curriculum"]["stages"] or ())]
    for group in ("corpora", "pairs"):
        names = (old or record)["curriculum"][group]
        curriculum[group] = {name: source["weight"] for name, source in curriculum[group].items() if name in names}
    facts = {}
    for kind in ("data", "classes"):
        names = (old or record).get(kind, {})
        facts[kind] = {name: value for name, value in record.get(kind, {}).items() if name in names}
    return {"curriculum": curriculum, "model": record["model"], "vocabulary": record["vocabulary"], **facts}
