"""The life-cycle of a run, shared by pre-training stages and fine-tuning.

    with Run(output, ...) as run:      # watchdog, process group, lock of the directory
        code = run.train(training)     # resume or warm start, train, stop or divergence protocol, finish

What is trained is a ``Training``: it says how a trainer is built and what is done when training is over.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.checkpoints.copies import Copier, bring_back, newer
from ernie.checkpoints.copies_folder import CopiesFolder
from ernie.model import fused
from ernie.model.recompute import Choice
from ernie.training import distributed
from ernie.training.amp import Precision
from ernie.training.callbacks import Callback, Checkpoints, Divergence, Log, SameOnAllRanks
from ernie.training.health import Health, LossSpikes
from ernie.training.metrics import Baseline
from ernie.training.optimizer import Updater
from ernie.training.scalars import scalar_writer
from ernie.training.settings import LossScaling, LossSpike, OptimizerSettings, Schedule
from ernie.training.trainer import ASKED_TO_STOP, Trainer, TrainState
from ernie.training.watchdog import DIVERGED, STOPPED, StopSignals, Watchdog, read_marks
from ernie.utils.console import close_console, make_console_lossy
from ernie.utils.files import lock
from ernie.utils.machine import record_launch
from reader.utils.errors import InputError
from reader.utils.files import settle

PATIENCE = 60.0  # seconds in which a file system that nodes share may show to one what another has written


class Training(Protocol):
    """A training that a run carries out: a stage of a curriculum, or one seed of a fine-tuning recipe."""

    name: str  # for messages: "stage 2", "seed 1"

    def prepare(self) -> Trainer:
        """Build the trainer, resumed or warm-started. Every rank does the same."""

    def finish(self, trainer: Trainer, reason: str) -> None:
        """Measure and record, after the last step. ``reason``: why training ended early, or nothing."""


class Run:
    """One process of a run: its rank, its signals, its watchdog, and on the main rank the lock of the directory.

    Args:
        output: the run directory, the same on all ranks; or a function that finds it, called before anyone writes.
        start_timeout, step_timeout: seconds, see ``Watchdog``. marks: directory of the ranks' marks, by default
            ``alive`` in the run directory; to be given when ``output`` is a function.
        gradient_bucket_mb: see ``distributed.start``.
    Attributes:
        world: rank and size. directory: the run directory. signals: whether this process was asked to stop.
    Raises:
        InputError: the directory cannot be written, or another run holds it.
    """

    def __init__(self, output: str | Path | Callable[[], Path], *, start_timeout: float, step_timeout: float,
                 marks: Path | None = None, gradient_bucket_mb: int = 32):
        make_console_lossy()
        self.signals = StopSignals()
        self._output, self._bucket_mb = output, gradient_bucket_mb
        if marks is None:
            if callable(output):
                raise TypeError("marks must be given when output is a function")
            marks = Path(output) / "alive"
        rank = int(os.environ.get("PADDLE_TRAINER_ID", "0"))
        try:
            self.watchdog = Watchdog(marks, rank, "start", start_timeout, step_timeout, self.signals.request)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", marks.parent) from None
        self._lock: IO | None = None

    def __enter__(self) -> Run:
        try:
            self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _begin(self) -> None:
        self.world = distributed.start(timeout=max(self.watchdog.start_timeout, self.watchdog.step_timeout),
                                       gradient_bucket_mb=self._bucket_mb)
        self.directory = Path(self._output() if callable(self._output) else self._output)
        distributed.barrier(self.world)  # nobody writes before all have looked
        self._check_shared()
        if self.world.main:
            try:
                self._lock = lock(self.directory, say=self.say)
            except OSError as error:
                raise InputError(f"cannot be written: {error.strerror or error}", self.directory) from None

    def _check_shared(self) -> None:
        """Raise InputError on all ranks where one does not see what the main rank writes, as its mark shows."""
        me, marks = (os.getpid(), os.uname().nodename), self.watchdog.directory
        main = distributed.gather(self.world, me if _mark_of_main(marks) == me else None)[0]  # None: its disk is full
        seen = main is None or self.world.main or _soon(lambda: _mark_of_main(marks) == main)
        hosts = distributed.gather(self.world, None if seen else me[1])
        blind = [f"{rank} on {host}" for rank, host in enumerate(hosts) if host]
        if blind:
            raise InputError(f"rank {', '.join(blind)} does not see what rank 0 on {main[1]} writes here: the output "
                             "directory must be on a file system that all nodes share", marks.parent)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.watchdog.__exit__(kind, error, trace)
        if self._lock:
            self._lock.close()
        close_console()

    def say(self, text: object) -> None:
        """Print a line; the main rank does, the others are silent."""
        if self.world.main:
            print(text, flush=True)

    def barrier(self) -> None:
        """Wait for every rank."""
        distributed.barrier(self.world)

    def train(self, training: Training) -> int:
        """Train to the end, or until something stops it. Returns the exit code of the process."""
        self.watchdog.begin(training.name)
        trainer = training.prepare()
        if self.world.main:
            record_launch(self.directory, training.name, self.world.size)
        reason = trainer.run()
        self.watchdog.heartbeat()
        # A rank may be asked after its last step: then all end here, lest those of other nodes wait for it.
        asked = distributed.sum_over_ranks(self.world, np.array([self.signals()], np.float64))[0]
        if asked or reason == ASKED_TO_STOP:
            self.say(f"{training.name}: stopped by {self.signals.received or 'another rank'} after step "
                     f"{trainer.state.step} of {trainer.total}; start again to go on from there")
            return STOPPED
        if reason == Divergence.REASON:
            last = checkpoint.newest(trainer.directory, self.say) if trainer.directory else None
            return self.watchdog.fail(
                DIVERGED, f"{trainer.state.bad_in_a_row} steps in a row were not finite; training ends. The last good "
                          f"checkpoint is {last or 'that from which it began'}")
        training.finish(trainer, reason)
        self.barrier()
        return 0


@dataclass
class TrainingSettings:
    """The settings of a training that curricula and recipes share, under one name each."""

    optimizer: OptimizerSettings
    schedule: Schedule
    precision: str
    amp_level: str
    loss_scaling: LossScaling
    recompute: Choice
    workers: int
    log_every: int
    checkpoint_every: int
    keep_checkpoints: int
    check_ranks_every: int
    max_bad_steps: int
    deterministic: bool = False
    kernels: str = "auto"
    health_every: float = 60.0
    loss_spike: LossSpike | None = None
    width_multiple: int = 0


def build_trainer(run: Run, model: Any, batches: Any, weights: dict[str, float], total: int, *, directory: Path,
                  name: str, seed: int, settings: TrainingSettings, warm_start: Callable[[], None],
                  files: dict[str, str], callbacks: Callable[[Updater], Iterable[Callback]] = lambda updater: (),
                  copies: CopiesFolder | None = None, later_steps: int = 0, look: str = "",
                  baselines: Mapping[str, Baseline] | None = None, percent: bool = True) -> Trainer:
    """Build a trainer where the training stands: as it begins, or as its last checkpoint left it.

    Args:
        model: with fresh weights. batches, weights, total, seed: see ``Trainer``. directory: of log and checkpoints.
        name: begins every console line. warm_start: gives ``model`` its first weights; not called when resuming.
        files: name -> text, carried by every checkpoint. callbacks: what else looks at training, between the log and
            the checkpoints. copies: where each checkpoint is copied too, checked to be this run's. later_steps: of what
            follows, for the ETA. look: command that shows a step's batch.
        baselines: task -> its best shallow baseline, shown beside its metrics. percent: see ``Log``.
    """
    elsewhere = _elsewhere(directory, copies)
    updater, state = _model_and_state(run, model, directory, elsewhere, settings, warm_start)
    health = Health(settings.health_every, f"{name}  ")
    watchers = [health.see, *([scalars] if run.world.main and (scalars := scalar_writer(directory)) else [])]
    copier = Copier(elsewhere, settings.keep_checkpoints, run.say, copies.claim) if copies and elsewhere else None
    rule = settings.loss_spike
    keep = max(settings.keep_checkpoints, 3 if rule and rule.action == "rollback" else 1)
    checkpoints = Checkpoints(settings.checkpoint_every,
                              checkpoint.CheckpointWriter(directory, keep, files, copier=copier))
    spikes = LossSpikes(rule, name, directory, settings.checkpoint_every, checkpoints.ask,
                        checkpoints.writer.wait) if rule else None
    log = Log(settings.log_every, directory / "log.jsonl", f"{name}  ", later_steps, also=watchers, spikes=spikes,
              baselines=baselines, percent=percent)
    checkpoints.prepare = log.carry
    return Trainer(updater, batches, weights, total, state=state, world=run.world, seed=seed, directory=directory,
                   workers=settings.workers, stop_requested=run.signals, heartbeat=run.watchdog, callbacks=[
                       Divergence(settings.max_bad_steps, name, look),
                       log, health, *([spikes] if spikes else []),
                       SameOnAllRanks(settings.check_ranks_every), *callbacks(updater), checkpoints])


def _model_and_state(run: Run, model: Any, directory: Path, elsewhere: Path | None, settings: TrainingSettings,
                     warm_start: Callable[[], None]) -> tuple[Updater, TrainState]:
    model.ernie.recompute(settings.recompute)
    resumed = _newest(run, directory, elsewhere)
    if not resumed:
        warm_start()
    if settings.deterministic:
        distributed.make_deterministic()
    precision = Precision(settings.precision, settings.amp_level, settings.loss_scaling)
    if precision.note:
        run.say(precision.note)
    for line in fused.choose(model, settings.kernels, precision.dtype if precision.active else "float32"):
        run.say(line)
    if settings.width_multiple:
        fused.pad_rows(model, settings.width_multiple)
    updater = Updater(model, settings.optimizer, settings.schedule, precision, run.world, settings.kernels)
    if updater.note:
        run.say(f"kernels: AdamW in one call for each group of parameters: {updater.note}")
    if not resumed:
        return updater, TrainState()
    found = checkpoint.read(resumed)
    updater.restore(found.model, found.optimizer)
    state = TrainState(**found.state)
    updater.precision.restore(state.scaler)
    run.say(f"resumes {resumed} at step {state.step}")
    return updater, state


def _elsewhere(directory: Path, copies: CopiesFolder | None) -> Path | None:
    """Return where the copies of the checkpoints in ``directory`` are, if any are made."""
    if copies is None:
        return None
    elsewhere = copies.path / directory.name
    if elsewhere.resolve() == directory.resolve():
        raise InputError(f"copy_checkpoints_to: {copies.path} is the run directory itself")
    return elsewhere


def _newest(run: Run, directory: Path, copies: Path | None) -> Path | None:
    """Find the checkpoint to resume from: the newest whole one here, or brought back from the copies if newer there.

    The main rank finds it for all: a mounted store may show its files to one node later than to another.
    """
    found = None
    if run.world.main:
        settle(directory)
        found = checkpoint.newest(directory, run.say)
        if copies is not None and (newer_copy := newer(copies, found, run.say)):
            bring_back(newer_copy, directory)
            found = directory / newer_copy.name
    chosen = distributed.gather(run.world, found)[0]
    if chosen is not None:
        wait_until_seen(run, chosen)
    return chosen


def wait_until_seen(run: Run, path: Path) -> None:
    """Wait until this rank, too, finds a checkpoint whole that the main rank has found whole.

    Raises:
        InputError: it does not, after a while in which a file system could show it.
    """
    if not run.world.main and not _soon(lambda: not checkpoint.check(path)):
        raise InputError(f"rank {run.world.rank} on {os.uname().nodename} cannot read this checkpoint of rank 0: "
                         f"{checkpoint.check(path)}", path)


def _soon(true: Callable[[], bool]) -> bool:
    """Tell whether something becomes true while we wait for a file system."""
    deadline = time.monotonic() + PATIENCE
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _mark_of_main(marks: Path) -> tuple[int, str] | None:
    """Return (process, node) of the main rank, by the mark that it leaves."""
    return next(((mark["pid"], mark["node"]) for mark in read_marks(marks, 0) if mark["rank"] == 0), None)


def set_weights(model: Any, arrays: dict[str, np.ndarray]) -> None:
    """Give a model the arrays that it has parameters for; what they do not name stays."""
    own = model.state_dict()
    model.set_state_dict({**own, **{name: paddle.to_tensor(array).astype(own[name].dtype)
                                    for name, array in arrays.items() if name in own}})
