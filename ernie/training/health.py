"""Tell from the figures of a log line how a run fares: the slowest rank, the pace, a loss that jumps."""
from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ernie.checkpoints import checkpoint
from ernie.training import distributed
from ernie.training.metrics import LogLine, SlowestRank, Spike, TrainingMetrics
from ernie.training.settings import LossSpike
from ernie.training.trainer import Callback, StepResult, Trainer, TrainState


def slowest_rank(compute: Sequence[float], data_wait: Sequence[float], hosts: Sequence[str]) -> SlowestRank | None:
    """Return the rank with the longest time of its own in a step; None of a single rank.

    Args:
        compute, data_wait: seconds a step of every rank, in rank order: of computing without communication, and of
            waiting for batches. hosts: their nodes' names.
    """
    times = [sum(pair) for pair in zip(compute, data_wait)]
    if len(times) < 2:
        return None
    rank = times.index(max(times))
    middle = statistics.median_low(times)  # of two ranks the faster one: a mean with the slow one would hide it
    return SlowestRank(rank, hosts[rank], compute[rank], data_wait[rank], times[rank] / middle if middle else 1.0)


class Health(Callback):
    """A console line every so many seconds: pace, waiting, skipped steps and the slowest rank, of the last log line.

    Args:
        every: seconds; 0: no lines. name: begins every line.
    """

    def __init__(self, every: float, name: str):
        self.every, self.name = every, name
        self.line: LogLine | None = None  # the last of the log

    def see(self, line: LogLine) -> None:
        """Take a line of the log."""
        self.line = line

    def start(self, trainer: Trainer) -> None:
        self.said, self.step = time.monotonic(), trainer.state.step

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        now = time.monotonic()
        if not trainer.world.main or not self.every or now - self.said < self.every:
            return
        pace = (now - self.said) / (result.step - self.step)
        self.said, self.step = now, result.step
        words = f"{self.name}health: step {result.step}/{trainer.total}, {pace:.3g} s a step, " \
                f"skipped {trainer.state.skipped}"
        if self.line is not None:
            words += f", data wait {100 * (self.line.data_wait or 0):.1f}%"
        if self.line is not None and self.line.slowest is not None:
            words += f"; slowest rank {described(self.line.slowest)}, up to step {self.line.step}"
        print(words, flush=True)


def described(slowest: SlowestRank) -> str:
    """Return the words for the slowest rank in messages and on pages."""
    return f"{slowest.rank} on {slowest.host}: {slowest.ratio:.2f} x the median (compute {slowest.compute:.3g} s, " \
           f"data wait {slowest.data_wait:.3g} s a step)"


def hosts_of_ranks(world: distributed.World) -> list[str]:
    """Return the name of every rank's node, in rank order."""
    return [str(host) for host in distributed.gather(world, os.uname().nodename)]


class LossSpikes(Callback):
    """Judges every line of the log, and says what became of a spike or goes back to the weights of before it.

    A spike is a task's mean loss of more than ``factor`` times its median over the last ``lines`` lines in which the
    same tasks were drawn. What that takes is kept in the training state, so that a resumed run judges alike. Going back
    means: weights, moments, loss scale and number of updates are those of the last checkpoint that is not younger than
    the last line without a spike; the steps since then count as taken, and their batches are not trained on again.

    Args:
        rule: of the curriculum or recipe. name: begins every message. directory: of the checkpoints. every: steps
            between these; those that were made because training was stopped are not gone back to, or a run that was
            stopped would take another path than one that was not. save: has a checkpoint written after this step, with
            what the callbacks behind this one make of it; called on all ranks. written: waits until the one under way
            is on disk, or whether it counted would be a matter of time.
    """

    def __init__(self, rule: LossSpike, name: str, directory: Path, every: int, save: Callable[[], None],
                 written: Callable[[], None]):
        self.rule, self.name, self.directory, self.every = rule, name, directory, every
        self.save, self.written = save, written
        self.found: Spike | None = None
        self.path: Path | None = None  # of the checkpoint to go back to

    def judge(self, trainer: Trainer, step: int, tasks: Mapping[str, TrainingMetrics],
              drawn: Mapping[str, int]) -> Spike | None:
        """Return the spike in a line of the log, if there is one. All ranks call it with the same figures."""
        memory = trainer.state.callbacks.setdefault("loss_spike", {"losses": {}, "good": 0, "rollbacks": []})
        seen = memory["losses"].setdefault(" ".join(sorted(drawn)), [])
        self.found = self._spike(tasks, seen)
        if self.found is not None:
            self.path = self._checkpoint(trainer, memory)
            self.found.back_to = None if self.path is None else checkpoint.step_of(self.path)
        else:
            memory["good"] = step
        if self.found is None or self.found.back_to is None:
            seen.append({name: metrics.loss for name, metrics in tasks.items()})
            del seen[:-self.rule.lines]
        return self.found

    def _spike(self, tasks: Mapping[str, TrainingMetrics], seen: list[dict[str, float]]) -> Spike | None:
        spikes = []
        for name, metrics in tasks.items():
            before = [losses[name] for losses in seen if name in losses]
            middle = statistics.median(before) if len(before) >= self.rule.lines else float("inf")
            if metrics.loss > self.rule.factor * middle:
                spikes.append(Spike(name, metrics.loss, middle))
        return max(spikes, key=lambda spike: spike.loss / spike.median if spike.median else float("inf"), default=None)

    def _checkpoint(self, trainer: Trainer, memory: dict) -> Path | None:
        """Find the checkpoint to go back to, on the main rank, which tells the others."""
        if self.rule.action != "rollback" or len(memory["rollbacks"]) >= self.rule.max_rollbacks:
            return None
        self.written()
        ours = [entry["step"] for entry in memory["rollbacks"]]
        path = checkpoint.newest(
            self.directory, wanted=lambda step: step <= memory["good"] and (step % self.every == 0 or step in ours),
        ) if trainer.world.main else None
        return distributed.gather(trainer.world, path)[0]

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        spike, self.found = self.found, None
        if spike is None:
            return
        words = f"{self.name}: loss spike at step {result.step}: {spike.task} {spike.loss:.4g}, the median of the " \
                f"last {self.rule.lines} log lines with these tasks is {spike.median:.4g}"
        memory = trainer.state.callbacks["loss_spike"]
        if self.path is not None and spike.back_to is not None:
            memory["rollbacks"].append({"step": result.step, "back_to": spike.back_to})
            words += f"; goes on with the weights of step {spike.back_to}, without the batches of steps " \
                     f"{spike.back_to + 1} to {result.step} (rollback {len(memory['rollbacks'])} of at most " \
                     f"{self.rule.max_rollbacks})"
            self._go_back(trainer, self.path)
        elif self.rule.action == "rollback":
            used = len(memory["rollbacks"])
            words += f"; goes on, after {used} rollbacks" if used >= self.rule.max_rollbacks else \
                "; goes on, since there is no checkpoint from before it"
        if trainer.world.main:
            print(words, flush=True)

    def _go_back(self, trainer: Trainer, path: Path) -> None:
        found, now = checkpoint.read(path), trainer.state
        trainer.updater.restore(found.model, found.optimizer)
        state = TrainState(**found.state)
        state.step, state.seconds, state.callbacks = now.step, now.seconds, now.callbacks
        trainer.updater.precision.restore(state.scaler)
        trainer.state = state
        self.save()
