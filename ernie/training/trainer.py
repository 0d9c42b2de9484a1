"""The training loop, for pre-training stages and fine-tuning alike.

What a step trains on is a function of (seed, step), so the state of a run is a handful of numbers beside the weights
and moments, and a run that is resumed computes what the uninterrupted one would have computed.
"""
from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ernie.model.pretraining_model import to_tensors
from ernie.training import distributed
from ernie.training.optimizer import Outcome, Updater
from reader.batches.examples import Batch
from reader.batches.loader import StepBatches, prefetch

ASKED_TO_STOP = "asked to stop"  # why training ends when a rank was


@dataclass
class TrainState:
    """Training state that a checkpoint keeps beside the arrays.

    Steps count batches, updates those that changed the weights.
    """

    step: int = 0
    updates: int = 0
    skipped: int = 0        # steps whose loss or gradient was not finite
    bad_in_a_row: int = 0
    tokens: int = 0         # over all ranks, padding not counted
    seconds: float = 0.0    # of training, over all launches
    scaler: dict = field(default_factory=dict)
    callbacks: dict = field(default_factory=dict)  # name -> what a callback remembers
    data_hash: str = ""     # of all rows that were trained on: the same for any number of ranks and restarts


@dataclass
class StepResult:
    """Result of a step, as the callbacks see it; sums and counts are this rank's."""

    step: int       # 1-based number of the step that has just been taken
    task: str
    learning_rate: float
    outcome: Outcome
    sums: dict      # task -> [loss sum, correct, targets]
    finite: bool    # whether this rank's loss was
    tokens: int
    positions: int     # tokens and padding
    data_wait: float
    seconds: float
    batches: list
    compute: float | None = None  # seconds without communication, see ``Stopwatch``


@dataclass
class Ahead:
    """A step that is known and not yet trained. ``summed``: waits for the sums over all ranks and returns them."""

    micro_batches: list[Batch]
    data_wait: float
    summed: Callable[[], np.ndarray]
    sums: np.ndarray | None = None

    def settle(self) -> np.ndarray:
        """Return the sums over all ranks; only the first call waits for them."""
        if self.sums is None:
            self.sums = self.summed()
        return self.sums


class Stopwatch:
    """Times what a rank computes in a step before it waits for other ranks.

    A GPU computes behind Python's back: there the time is taken only where ``wait`` lets the stopwatch wait for it.
    """

    def __init__(self, wait: bool):
        self.on_gpu = paddle.device.get_device().startswith("gpu")
        self.wait, self.running = wait, False
        self.seconds = 0.0

    def start(self) -> None:
        """Go on, where it has been stopped."""
        if not self.running:
            self.running, self.since = True, time.perf_counter()

    def stop(self) -> None:
        """Stop, where it is running."""
        if not self.running:
            return
        if self.on_gpu and self.wait:
            paddle.device.cuda.synchronize()
        self.running, self.seconds = False, self.seconds + time.perf_counter() - self.since

    def read(self) -> float | None:
        """Return the seconds, or None where they do not tell what the device did."""
        return self.seconds if self.wait or not self.on_gpu else None


class Callback:
    """Something that looks at training after every step. Every rank runs the same ones; only the main rank writes."""

    def start(self, trainer: Trainer) -> None:
        """Act before the first step of this launch."""

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Act after a step; may set ``trainer.stop`` to end training, the same on all ranks."""

    def finish(self, trainer: Trainer) -> None:
        """Act after the last step of this launch."""


class Trainer:
    """Runs ``total`` steps of ``batches`` through a model.

    Args:
        updater: the model with its optimiser.
        batches: picklable; ``at(step)`` is the list of this rank's micro-batches of a step (from 0).
        weights: task name -> weight of its loss.
        world, seed: ranks and the seed of dropout. stop_requested: tells whether this process was asked to stop.
        heartbeat: called with the number of every step that begins, so that a hang can be noticed.
        directory: of the checkpoints, where there are any.
    """

    def __init__(self, updater: Updater, batches: Any, weights: dict[str, float], total: int, *, state: TrainState,
                 world: distributed.World, seed: int, workers: int = 0, callbacks: Iterable[Callback] = (),
                 stop_requested: Callable[[], bool] = lambda: False,
                 heartbeat: Callable[[int], Any] = lambda step: None, directory: Path | None = None):
        self.updater, self.batches, self.weights, self.total = updater, batches, weights, total
        self.state, self.world, self.seed, self.workers = state, world, seed, workers
        self.callbacks, self.stop_requested, self.heartbeat = list(callbacks), stop_requested, heartbeat
        self.directory = directory
        self.rows_read = 0.0  # hash of the rows of the step under way, on all ranks
        self.timed = False  # whether the next step may wait for the device once more, to time what it computes
        self.stop = ""  # why training ends before ``total``
        self.adversary: Callable[[Trainer, list, np.ndarray], None] | None = None  # adds to the gradients of a step

    def run(self) -> str:
        """Train to the end, or until someone sets ``stop``. Returns why it stopped early, or nothing."""
        for callback in self.callbacks:
            callback.start(self)
        self.updater.model.train()
        steps = range(self.state.step, self.state.step if self.stop else self.total)
        turn = self.batches.turn if isinstance(self.batches, StepBatches) else None
        with closing(prefetch(self.batches.at, steps, self.workers, turn=turn)) as stream:
            following = self.ask(stream)
            while following is not None:
                self.heartbeat(self.state.step)
                step, counts = following, self.agree(following)
                if self.stop:
                    break
                following = self.ask(stream)  # the ranks sum the counts of the next step while they train this one
                result = self.train_step(step.micro_batches, counts, step.data_wait, following)
                if result is None:
                    break
                for callback in self.callbacks:
                    callback.after_step(self, result)
                if self.stop:
                    break
        for callback in self.callbacks:
            callback.finish(self)
        return self.stop

    def ask(self, stream: Iterator[list[Batch]]) -> Ahead | None:
        """Take the next step's micro-batches and begin to sum its targets over the ranks; None after the last."""
        waited = time.perf_counter()
        micro_batches = next(stream, None)
        if micro_batches is None:
            return None
        data_wait = time.perf_counter() - waited
        counts = [sum(len(b.targets[name].labels) for b in micro_batches if name in b.targets)
                  for name in self.weights]
        tokens = sum(batch.tokens for batch in micro_batches)
        rows = sum(batch.row_hash for batch in micro_batches)
        asked = self.world.size > 1 and self.stop_requested()
        summed = distributed.begin_sum(self.world, np.array([*counts, tokens, rows, asked], np.float64))
        return Ahead(micro_batches, data_wait, summed)

    def agree(self, ahead: Ahead) -> np.ndarray:
        """Return the targets of every task, and the tokens, over all ranks.

        If any rank was asked to stop, all stop here; with several, a step after that, since they agree a step ahead.
        """
        total = ahead.settle()
        if total[-1] or self.world.size == 1 and self.stop_requested():
            self.stop = ASKED_TO_STOP
        self.rows_read = float(total[-2])
        return total[:-2]

    def train_step(self, micro_batches: list[Batch], counts: np.ndarray, data_wait: float,
                   following: Ahead | None = None) -> StepResult | None:
        """Forward and backward over this rank's micro-batches, one update, and the numbers to show.

        The sums of the ``following`` step are fetched where this one waits for the device anyway: once a step.

        Returns None, with weights and state as before the step, when a stop was asked for between its micro-batches: a
        step with much accumulation can take longer than a scheduler waits.
        """
        begun, stopwatch = time.perf_counter(), Stopwatch(self.timed and self.world.size > 1)
        state, names, shown = self.state, list(micro_batches[0].targets), []
        unused = self.updater.layer.unused(names)  # by the tasks of this step, the same in every micro-batch and rank
        for index, batch in enumerate(micro_batches):
            last = index == len(micro_batches) - 1
            if last:
                stopwatch.stop()
            if index and self.stopped_between(last):
                if not last:
                    continue  # the other ranks may not have been asked: all decide together before the last one
                self.updater.discard()
                self.stop = ASKED_TO_STOP
                return None
            stopwatch.start()
            paddle.seed(self.dropout_seed(batch.place))
            with distributed.without_sync(self.updater.model, last):
                with self.updater.precision.autocast():
                    losses = self.updater.model(**to_tensors(batch))
                if last:
                    stopwatch.stop()  # its backward pass waits for the gradients of the other ranks
                self.updater.backward(self.total_loss(losses, counts, batch.factors), unused if last else ())
            shown += [value.detach().astype("float32").reshape([1]) for name in names for value in losses[name]]
        if self.adversary is not None:
            self.adversary(self, micro_batches, counts)
        outcome = self.updater.step(state.updates + 1, paddle.concat(shown), unused,
                                    following.settle if following is not None else None)
        values = outcome.values.reshape(len(micro_batches), len(names), 3).astype(np.float64).sum(axis=0)
        seconds = time.perf_counter() - begun + data_wait
        rate = self.updater.schedule(state.updates + 1)
        state.step += 1
        state.updates += outcome.stepped
        state.skipped += not outcome.stepped
        state.tokens += int(counts[-1])
        state.data_hash = chained(state.data_hash, self.rows_read)
        state.seconds += seconds
        return StepResult(state.step, micro_batches[0].task, rate, outcome, dict(zip(names, values)),
                          bool(np.isfinite(values).all()), sum(b.tokens for b in micro_batches),
                          sum(b.token_ids.size for b in micro_batches), data_wait, seconds, micro_batches,
                          stopwatch.read())

    def stopped_between(self, last: bool) -> bool:
        """Tell whether this rank was asked to stop during the step, or, before the ``last`` micro-batch, any rank."""
        asked = self.stop_requested()
        if last:
            asked = distributed.sum_over_ranks(self.world, np.array([asked], np.float64))[0] > 0
        return bool(asked)

    def total_loss(self, losses: dict, counts: np.ndarray, factors: dict | None = None) -> paddle.Tensor:
        """Sum mean losses, each with its weight and its factor in this batch.

        Means are over the targets of the whole global batch, so that the gradient does not depend on how it was cut;
        data parallelism averages over ranks, hence the number of ranks.
        """
        share, factors = dict(zip(self.weights, counts)), factors or {}
        return paddle.add_n([values[0] * (self.weights[name] * factors.get(name, 1.0) * self.world.size
                                          / max(1.0, share[name])) for name, values in losses.items()])

    def dropout_seed(self, place: int) -> int:
        """Return a micro-batch's seed: a function of (seed, step, its place in the global batch), whoever asks."""
        return int(np.random.SeedSequence([self.seed, self.state.step, place]).generate_state(1)[0])

    def snapshot(self) -> tuple[dict, dict, dict]:
        """Return (weights, moments, state) as numpy arrays and plain numbers, for a checkpoint."""
        self.state.scaler = self.updater.precision.state()
        return self.updater.weights(), self.updater.state(), dataclasses.asdict(self.state)


def chained(before: str, rows: float) -> str:
    """Return the hash of the data after a global batch, from the hash before it and the sum of its ``row_hash``."""
    return hashlib.sha256(f"{before} {rows:.0f}".encode()).hexdigest()[:16]
