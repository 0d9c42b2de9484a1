"""Callbacks that the trainer runs after every step: log, checkpoints, dev metrics, guards."""
from __future__ import annotations

import json
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints import checkpoint
from ernie.checkpoints.checkpoint import CheckpointWriter
from ernie.training import distributed
from ernie.training.health import LossSpikes, hosts_of_ranks, slowest_rank
from ernie.training.metrics import Baseline, LogLine, TaskMetrics, TrainingMetrics
from ernie.training.trainer import Callback, StepResult, Trainer
from ernie.utils import progress
from reader.utils.files import atomic_write


class Log(Callback):
    """A console line and a JSON line every so many steps, over all ranks: losses, metrics, speed, ETA.

    The first steps, in which a loss falls fastest, have a JSON line each time their number doubles.

    Args:
        file: the JSON lines; what a resumed run computes again is cut off first.
        stage: begins every console line. later_steps: of the stages that follow, for the ETA of the run.
        also: functions that are called with every line on the main rank. spikes: judges every line's losses, or None.
        baselines: task -> its best shallow baseline on dev data, shown beside the training metrics.
        percent: right answers are shares that mean something; otherwise the loss is shown alone.
    """

    def __init__(self, every: int, file: str | Path, stage: str = "", later_steps: int = 0,
                 also: Iterable[Callable[[LogLine], None]] = (), spikes: LossSpikes | None = None,
                 baselines: Mapping[str, Baseline] | None = None, percent: bool = True):
        self.every, self.file, self.stage, self.later_steps = every, Path(file), stage, later_steps
        self.spikes = spikes
        self.also, self.baselines, self.percent = list(also), baselines or {}, percent

    def start(self, trainer: Trainer) -> None:
        self.launched = time.time()
        self.hosts = hosts_of_ranks(trainer.world)
        self._reset()
        trainer.timed = self._due(trainer.state.step + 1, trainer.total)
        if trainer.world.main:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._cut(trainer.state.step)
        carried = trainer.state.callbacks.get("log", {})
        self.drawn.update(carried.get("drawn", {}))
        if trainer.world.main:
            self.sums.update({name: np.array(values) for name, values in carried.get("sums", {}).items()})

    def carry(self, trainer: Trainer) -> None:
        """Put the sums since the last line into the training state, so that a resumed run writes the same line.

        All ranks call it. Float32 values are summed in float64, which is exact, in whatever order, for the few thousand
        of similar size that a line is made of.
        """
        names = list(trainer.weights)
        local = np.concatenate([self.sums.get(name, np.zeros(3)) for name in names])
        total = distributed.sum_over_ranks(trainer.world, local).reshape(-1, 3).tolist()
        trainer.state.callbacks["log"] = {"sums": dict(zip(names, total)), "drawn": dict(self.drawn)}

    def finish(self, trainer: Trainer) -> None:
        self.carry(trainer)

    def _cut(self, step: int) -> None:
        if self.file.exists():
            kept = [line for line in self.file.read_text("utf-8").splitlines() if _step_of(line) <= step]
            with atomic_write(self.file) as file:
                file.writelines(line + "\n" for line in kept)

    def _reset(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.tokens, self.positions, self.wait, self.seconds, self.steps = 0, 0, 0.0, 0.0, 0
        self.compute: list[float] = []
        self.drawn: dict = {}

    def _due(self, step: int, total: int) -> bool:
        early = step < self.every and step & (step - 1) == 0
        return early or step % self.every == 0 or step == total

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        for name, values in result.sums.items():
            if np.isfinite(values).all():  # or the targets of a loss that is no number would count with a loss of 0
                self.sums[name] = self.sums.get(name, 0) + values
        self.drawn[result.task] = self.drawn.get(result.task, 0) + 1
        self.tokens += result.tokens
        self.positions += result.positions
        self.wait += result.data_wait
        self.compute += [result.compute] if result.compute is not None else []
        self.seconds += result.seconds
        self.steps += 1
        if trainer.world.main:
            progress.report(self.stage.strip(), result.step, trainer.total)
        if self._due(result.step, trainer.total):
            self._write(trainer, result)
            self._reset()
        trainer.timed = self._due(result.step + 1, trainer.total)

    def _write(self, trainer: Trainer, result: StepResult) -> None:
        world, names = trainer.world, list(trainer.weights)
        local = np.concatenate([np.array(self.sums.get(name, np.zeros(3)), np.float64) for name in names]
                               + [np.array([self.tokens, self.positions, self.wait, np.mean(self.compute or [0.0])])])
        ranks = distributed.gather_values(world, local)
        total = ranks.sum(axis=0)
        tasks = {}
        for k, name in enumerate(names):
            loss, right, count = total[3 * k:3 * k + 3]
            if count:
                tasks[name] = TrainingMetrics(float(loss / count), float(right / count), int(count))
        spike = self.spikes.judge(trainer, result.step, tasks, self.drawn) if self.spikes else None
        if not world.main:
            return
        tokens, positions, wait, _ = total[-4:]
        speed = tokens / self.seconds
        pace = self.seconds / self.steps
        compute, waits = (column.round(5).tolist() for column in (ranks[:, -1], ranks[:, -2] / self.steps))
        left = (trainer.total - result.step) * pace
        line = LogLine(
            result.step, trainer.total, time.time(), self.launched, world.size, result.task, tasks, self.drawn,
            result.learning_rate, trainer.updater.precision.loss_scale, _number(result.outcome.norm),
            tokens_per_second=float(speed), tokens_per_second_per_card=float(speed / world.size),
            padding=float(1 - tokens / positions), data_wait=float(wait / world.size / self.seconds),
            memory_mib=_memory(), skipped=trainer.state.skipped, tokens=trainer.state.tokens, eta_stage=left,
            eta_run=left + self.later_steps * pace, slowest=slowest_rank(compute, waits, self.hosts),
            rank_compute=compute * (world.size > 1), rank_data_wait=waits * (world.size > 1),
            spike=spike)
        try:
            with open(self.file, "a", encoding="utf-8") as opened:
                opened.write(json.dumps(line.to_json()) + "\n")
            for watcher in self.also:
                watcher(line)
        except OSError as error:  # a full disk: a line is lost, the run goes on
            print(f"{self.file} could not be written ({error})", flush=True)
        if line.step == 1 or line.step % self.every == 0 or line.step == line.of:
            print(self.render(line), flush=True)

    def render(self, line: LogLine) -> str:
        """Return the console's form of a log line."""
        tasks = [self._task(name, values) for name, values in line.tasks.items()]
        speed = f"{line.tokens_per_second:,.0f} tokens/s"
        if line.cards > 1:
            speed += f" ({line.tokens_per_second_per_card:,.0f} a card)"
        scale = [f"scale {line.loss_scale:.0f}"] if line.loss_scale != 1 else []
        skipped = [f"skipped {line.skipped}"] if line.skipped else []
        eta = f"ETA {_clock(line.eta_stage or 0)}"
        if self.later_steps:
            eta += f", run {_clock(line.eta_run or 0)}"
        return progress.folded([
            f"{self.stage}step {line.step}/{line.of}", *tasks, f"lr {line.learning_rate:.2e}", *scale, *skipped, speed,
            f"padding {100 * (line.padding or 0):.1f}%", f"data wait {100 * (line.data_wait or 0):.1f}%",
            f"{line.memory_mib:,} MiB", eta])

    def _task(self, name: str, values: TrainingMetrics) -> str:
        if not self.percent:
            return f"{name} {values.loss:.3f}"
        baseline = self.baselines.get(name)
        beside = f", shallow {baseline.figure}" if baseline else ""
        return f"{name} {values.loss:.3f} ({100 * values.accuracy:.1f}%{beside})"


class Checkpoints(Callback):
    """A checkpoint every so many steps, and one whenever training ends, for whatever reason but divergence.

    Args:
        prepare: called on all ranks before a checkpoint inside training.
    """

    def __init__(self, every: int, writer: CheckpointWriter, prepare: Callable[[Trainer], None] = lambda trainer: None):
        self.every, self.writer, self.saved, self.prepare = every, writer, -1, prepare
        self.wanted = False  # by another callback, after this step

    def start(self, trainer: Trainer) -> None:
        self.saved = trainer.state.step

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        due, self.wanted = self.wanted or result.step % self.every == 0, False
        if due and self.saved < result.step < trainer.total and not trainer.stop:
            self.prepare(trainer)
            self._save(trainer)  # where training stops here, ``finish`` saves what other callbacks have made of it

    def finish(self, trainer: Trainer) -> None:
        self.writer.wait()
        lost = self.writer.error is not None  # of this very step, perhaps; known on the main rank, which writes
        if trainer.stop != Divergence.REASON and (trainer.state.step != self.saved or lost):
            self._save(trainer, wait=True)
        self.writer.finish()
        distributed.barrier(trainer.world)

    def ask(self) -> None:
        """Have a checkpoint written when all callbacks have seen the step; all ranks call it."""
        self.wanted = True

    def _save(self, trainer: Trainer, wait: bool = False) -> None:
        self.saved = trainer.state.step
        if trainer.world.main:
            begun = time.perf_counter()
            self.writer.save(trainer.state.step, *trainer.snapshot(), wait=wait, begun=begun)


class Divergence(Callback):
    """Skipped steps are shown with the address of their batch; too many in a row end training.

    With float16, a finite loss whose scaled gradient overflows is the loss scale finding its size: it does not count.
    """

    REASON = "diverged"

    def __init__(self, limit: int, where: str, look: str = ""):
        self.limit, self.where, self.look = limit, where, look

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        state = trainer.state
        if result.outcome.stepped:
            if state.updates == 1 and state.skipped and trainer.world.main:
                scale = trainer.updater.precision.scale
                print(f"{self.where}: the first {state.skipped} steps were skipped" + (
                    f": their gradients were too large for float16 at loss scale {scale.settings.initial:g}, which is "
                    f"now {scale.factor:g}" if scale else ""), flush=True)
            state.bad_in_a_row = 0
            return
        bad = distributed.sum_over_ranks(trainer.world, np.array([not result.finite], np.float64))[0]
        scaled = trainer.updater.precision.loss_scale > 1
        if bad or not scaled:
            state.bad_in_a_row += 1
        if not result.finite or (trainer.world.main and not bad and not scaled):
            what = "gradient" if result.finite else "loss"
            documents = sorted({address[:2] for batch in result.batches for address in batch.addresses})
            shown = ", ".join(f"{store}:{document}" for store, document in documents[:8])
            print(f"rank {trainer.world.rank}: {self.where} step {result.step} ({result.task}): the {what} is not "
                  f"finite; step skipped ({state.bad_in_a_row} in a row). Documents (store:document) {shown}"
                  f"{' ...' if len(documents) > 8 else ''}"
                  + (f"; look with: {self.look} --step {result.step}" if self.look else ""), flush=True)
        if state.bad_in_a_row >= self.limit:
            trainer.stop = self.REASON


class SameOnAllRanks(Callback):
    """Every so many steps, compares a hash of all weights over the ranks and ends the job when they differ."""

    def __init__(self, every: int):
        self.every = every

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        if trainer.world.size == 1 or not self.every or (result.step % self.every and result.step != trainer.total):
            return
        digest = 0
        for parameter in trainer.updater.layer.parameters():
            digest = zlib.crc32(np.ascontiguousarray(parameter.astype("float32").numpy()).data, digest)
        digests = distributed.gather(trainer.world, digest)
        if len(set(digests)) > 1:
            common = max(set(digests), key=digests.count)
            odd = [str(rank) for rank, value in enumerate(digests) if value != common]
            raise RuntimeError(f"step {result.step}: the weights of rank {', '.join(odd)} differ from the other ranks'")


class DevEvaluation(Callback):
    """Dev metrics every so many steps. A stage whose dev losses improve no more ends, with its best weights.

    The best weights are those with the lowest weighted sum of dev losses. They are kept on disk beside the checkpoints,
    so that a run that is killed and resumed ends with the same ones.

    Args:
        measure: () -> {task: TaskMetrics}, the same on all ranks.
        convergence: an ``ernie.pretraining.curriculum.Convergence``.
        best: directory of the best weights, on a file system that all ranks share. weights: task -> weight of its loss
            in the sum; 1 for a task that is not named.
    """

    CONVERGED = "converged"

    def __init__(self, measure: Callable[[], dict[str, TaskMetrics]], convergence: Any, best: Path,
                 weights: dict[str, float]):
        self.measure, self.convergence, self.best, self.weights = measure, convergence, best, weights

    def start(self, trainer: Trainer) -> None:
        self._judge(trainer)  # a run that was killed between its last step and its end has converged all the same

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        if result.step % self.convergence.evaluate_every or result.step == trainer.total or trainer.stop:
            return
        memory = trainer.state.callbacks.setdefault("evaluation", {"best": {}, "without_gain": 0})
        gained, measured = False, self.measure()
        for name, metrics in measured.items():
            best = memory["best"].get(name, float("inf"))
            if metrics.loss < best - self.convergence.min_delta:
                memory["best"][name], gained = metrics.loss, True
        total = sum(self.weights.get(name, 1.0) * metrics.loss for name, metrics in measured.items())
        if total < memory.get("total", float("inf")):
            memory["total"], memory["step"] = total, result.step
            if trainer.world.main:
                checkpoint.write(self.best, {"model.safetensors": trainer.updater.weights()}, {})
            distributed.barrier(trainer.world)
        memory["without_gain"] = 0 if gained else memory["without_gain"] + 1
        self._judge(trainer)

    def finish(self, trainer: Trainer) -> None:
        step = trainer.state.callbacks.get("evaluation", {}).get("step")
        if trainer.stop != self.CONVERGED or step in (None, trainer.state.step):
            return
        trainer.updater.restore(checkpoint.read_best(self.best), {})
        if trainer.world.main:
            print(f"ends with the weights of step {step}, the best on dev data", flush=True)

    def _judge(self, trainer: Trainer) -> None:
        if trainer.state.callbacks.get("evaluation", {}).get("without_gain", 0) >= self.convergence.patience:
            trainer.stop = self.CONVERGED


def _step_of(line: str) -> int:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # the last line of a process that was killed
        return sys.maxsize


def _number(value: float):
    return value if np.isfinite(value) else None


def _memory() -> int:
    """Peak memory of this process in MiB: of the GPU where there is one, resident otherwise."""
    import paddle
    if paddle.device.get_device().startswith("gpu"):
        return int(paddle.device.cuda.max_memory_allocated() / 2**20)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}d " if days else "") + f"{hours}:{minutes:02}:{seconds:02}"
