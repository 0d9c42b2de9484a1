"""Run curricula on one corpus, seed by seed, through the launchers; every run resumes where it was left."""
from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Optional

from ernie.pretraining.run_directory import RunDirectory
from ernie.utils import launchers

PR_SET_PDEATHSIG = 1  # prctl: the signal that a process gets when its parent ends
STOPPED = 1
UNTOUCHED = "untouched"  # the name of the checkpoint that is fine-tuned as it is


@dataclass(frozen=True)
class Contestant:
    """A curriculum of the comparison. name: of its file; config: the file; copies: its copy_checkpoints_to."""

    name: str
    config: str
    copies: Optional[str] = None


@dataclass
class ComparisonPlan:
    """Curricula, seeds, data and options of a comparison.

    Attributes:
        output: of the comparison. corpus: for ``run_pretrain.sh --corpus``. seeds: of every curriculum.
        finetune: task -> its data, fine-tuned from the end of every run. options: of run_pretrain.sh, for every run.
        finetune_options: of run_finetune.sh. finetune_seeds: runs of each fine-tuning; other ones for every seed.
        untouched: a checkpoint that is fine-tuned as it is, to tell what pre-training adds.
        finetune_copies: task -> copy_checkpoints_to of its recipe.
    """

    output: Path
    corpus: str
    contestants: list[Contestant]
    seeds: list[int]
    finetune: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    finetune_options: list[str] = field(default_factory=list)
    finetune_seeds: int = 1
    untouched: Optional[str] = None
    finetune_copies: dict[str, Optional[str]] = field(default_factory=dict)

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


class Driver:
    """Runs a plan, one process tree at a time.

    A signal is handed on once to the launcher at work, which saves and stops; the launcher also stops when this process
    is killed. ``say`` takes a line for each run that begins.
    """

    def __init__(self, plan: ComparisonPlan, say: Callable[[str], None] = print):
        self.plan, self.say = plan, say
        self.child: Optional[subprocess.Popen[bytes]] = None
        self.asked = self.told = 0  # the signal that came; the one that the child was sent

    def run(self) -> int:
        """Run what is not finished. Returns 0, or the exit code of the launcher that did not end well."""
        before = {number: signal.signal(number, self._hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for seed in self.plan.seeds:  # all curricula of a seed first: pairs are complete early
                for contestant in self.plan.contestants:
                    code = self._one(contestant, seed)
                    if code or self.asked:
                        return code or STOPPED
                if self.plan.untouched and (code := self._finetune(UNTOUCHED, self.plan.untouched, seed)):
                    return code
            return 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _one(self, contestant: Contestant, seed: int) -> int:
        plan, path = self.plan, self.plan.run_path(contestant.name, seed)
        if not finished(path):
            self.say(f"compare: {contestant.name}, seed {seed}: {path}")
            code = self._launch("pretrain", ["--config", contestant.config, "--corpus", plan.corpus, "--output",
                                             str(path), "--set", f"seed={seed}", *plan.options,
                                             *plan.copies_of(path, contestant.copies)])
            if code or self.asked:
                return code
        return self._finetune(contestant.name, str(path), seed)

    def _finetune(self, name: str, init: str, seed: int) -> int:
        plan = self.plan
        for task, data in plan.finetune.items():
            output = plan.finetune_path(name, seed, task)
            if (output / "result.json").exists():
                continue
            self.say(f"compare: {name}, seed {seed}, fine-tuned on {task}: {output}")
            seeds = ["--runs", str(plan.finetune_seeds), "--set", f"seed={(seed - 1) * plan.finetune_seeds + 1}"]
            code = self._launch("finetune", [task, "--data", data, "--init", init, "--output", str(output),
                                             *plan.finetune_options, *seeds,
                                             *plan.copies_of(output, plan.finetune_copies.get(task))])
            if code or self.asked:
                return code or STOPPED
        return 0

    def _launch(self, launcher: str, arguments: Sequence[str]) -> int:
        if self.asked:
            return STOPPED
        self.told = 0
        self.child = subprocess.Popen(launchers.command(launcher, arguments), env=launchers.environment(),
                                      start_new_session=True, preexec_fn=end_with_parent)
        try:
            if self.asked and not self.told:  # the signal came while the child was being started
                self.child.send_signal(self.asked)
            code = self.child.wait()
            return STOPPED if self.asked and code < 0 else code  # it came before the launcher could heed it
        finally:
            self.child = None

    def _hand_on(self, number: int, frame: Optional[FrameType]) -> None:
        self.asked = number
        if self.child is not None:
            self.told = number
            self.child.send_signal(number)


def finished(path: Path) -> bool:
    """Tell whether every stage of a run is over."""
    run = RunDirectory(path)
    record = run.recorded()
    return record is not None and all(run.done(stage["number"]) for stage in record["stages"])


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when its parent ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
