"""Say what a comparison runs, and where it lies. No paddle."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ernie.finetuning.summary import read_record
from ernie.pretraining.run_directory import RunDirectory

UNTOUCHED = "untouched"  # the name of the checkpoint that is fine-tuned as it is


@dataclass(frozen=True)
class Contestant:
    """A curriculum of the comparison. name: of its file; config: the file; copies: its copy_checkpoints_to."""

    name: str
    config: str
    copies: Optional[str] = None


@dataclass(frozen=True)
class FineTuning:
    """A task that every run is fine-tuned on. recipe: its name, or a yaml of one's own; data: its files; copies:
    copy_checkpoints_to of the recipe."""

    recipe: str
    data: str
    copies: Optional[str] = None


@dataclass(frozen=True)
class Job:
    """A command of a launcher. who: the curriculum and seed that it is for. what: the same with the task, and where."""

    launcher: str
    arguments: list[str]
    who: str
    what: str


@dataclass
class ComparisonPlan:
    """Curricula, seeds, data and options of a comparison.

    Attributes:
        output: of the comparison. corpus: for ``run_pretrain.sh --corpus``. seeds: of every curriculum.
        finetune: task -> what the end of every run is fine-tuned on. options: of run_pretrain.sh, for every run.
        finetune_options: of run_finetune.sh. finetune_seeds: runs of each fine-tuning, from the run's seed upwards.
        untouched: a checkpoint that is fine-tuned as it is, to tell what pre-training adds.
    """

    output: Path
    corpus: str
    contestants: list[Contestant]
    seeds: list[int]
    finetune: dict[str, FineTuning] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    finetune_options: list[str] = field(default_factory=list)
    finetune_seeds: int = 1
    untouched: Optional[str] = None

    @property
    def names(self) -> list[str]:
        """Return what is fine-tuned: the contestants, and ``UNTOUCHED`` where there is such a checkpoint."""
        return [contestant.name for contestant in self.contestants] + [UNTOUCHED] * bool(self.untouched)

    def run_path(self, name: str, seed: int) -> Path:
        """Return the run directory of a curriculum and seed."""
        return self.output / name / f"seed-{seed}"

    def finetune_path(self, name: str, seed: int, task: str) -> Path:
        """Return the output directory of fine-tuning from the end of a curriculum's run, or from ``untouched``."""
        return self.output / name / f"finetune-{task}" / f"seed-{seed}"

    def copies_of(self, path: Path, folder: Optional[str]) -> list[str]:
        """Return the flags by which the copies of a run in ``path`` have a place of their own below ``folder``."""
        return ["--set", f"copy_checkpoints_to={Path(folder) / path.relative_to(self.output)}"] if folder else []

    def chains(self) -> Iterator[Iterator[Job]]:
        """Yield a chain of jobs, each after the other, for every curriculum and ``untouched``, seed by seed.

        What is finished when its turn comes is left out.
        """
        for seed in self.seeds:  # all curricula of a seed first: pairs are complete early
            for contestant in self.contestants:
                yield self._chain(contestant, seed)
            if self.untouched:
                yield self._finetunings(UNTOUCHED, self.untouched, seed)

    def _chain(self, contestant: Contestant, seed: int) -> Iterator[Job]:
        name, path = contestant.name, self.run_path(contestant.name, seed)
        if not finished(path):
            who = f"{name}, seed {seed}"
            yield Job("pretrain", ["--config", contestant.config, "--corpus", self.corpus, "--output", str(path),
                                   "--set", f"seed={seed}", *self.options, *self.copies_of(path, contestant.copies)],
                      who, f"{who}: {path}")
        yield from self._finetunings(name, str(path), seed)

    def _finetunings(self, name: str, init: str, seed: int) -> Iterator[Job]:
        for task, tuning in self.finetune.items():
            output = self.finetune_path(name, seed, task)
            if finetuned(output) >= self.finetune_seeds:
                continue
            seeds = ["--runs", str(self.finetune_seeds), "--set", f"seed={seed}"]  # upwards: more can be added later
            who = f"{name}, seed {seed}"
            yield Job("finetune", [tuning.recipe, "--data", tuning.data, "--init", init, "--output", str(output),
                                   *self.finetune_options, *seeds, *self.copies_of(output, tuning.copies)],
                      who, f"{who}, fine-tuned on {task}: {output}")


def finished(path: Path) -> bool:
    """Tell whether every stage of a run is over."""
    run = RunDirectory(path)
    record = run.recorded()
    return record is not None and all(run.done(stage["number"]) for stage in record["stages"])


def finetuned(output: Path) -> int:
    """Return how many seeds a fine-tuning has been summed up over; 0 where it is not finished."""
    file = output / "result.json"
    return read_record(file).get("runs", 1) if file.exists() else 0
