"""A few real steps of a planned model on this machine, with random text: how fast, and at which peak of memory."""
from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ernie.model.config import ErnieConfig
from ernie.planning.memory import MASKED_SHARE, Head, bytes_of, memory
from ernie.planning.plan import Plan
from ernie.utils.paddle_setup import import_paddle
from reader.batches.examples import Batch, Targets

paddle = import_paddle()

from ernie.model.pretraining_model import PretrainingModel, to_tensors  # noqa: E402
from ernie.training import distributed  # noqa: E402  (after paddle, which import_paddle keeps quiet)
from ernie.training.amp import Precision  # noqa: E402
from ernie.training.optimizer import Updater  # noqa: E402

WARMING = 2  # steps before those that are timed


@dataclass
class Measured:
    """Seconds of a micro-batch and of an update, peak and counted bytes; ``rows`` x ``width`` tokens at once.

    ``waited``: share of the time in which this process was ready and others had its processor; 0 where not known.
    """

    device: str
    rows: int
    width: int
    micro_batches: int
    forward_backward: float
    update: float
    peak: int
    counted: float
    waited: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Return the speed of one card, a step being ``micro_batches`` and one update; without communication."""
        return self.rows * self.width * self.micro_batches / (self.micro_batches * self.forward_backward + self.update)

    def describe(self) -> str:
        """Return the figures as text to read."""
        return (f"Measured on {self.device}: {self.rows} rows of {self.width} in {self.forward_backward:.3f} s, an "
                f"update in {self.update:.3f} s: {self.tokens_per_second:,.0f} tokens/s without communication\n"
                f"peak of tensors {self.peak / 2 ** 20:,.0f} MB, counted for this device "
                f"{self.counted / 2 ** 20:,.0f} MB ({100 * (self.counted / self.peak - 1):+.1f} %)")


def measure(plan: Plan, steps: int = 3, seconds: float = math.inf, masked: bool = True) -> Measured:
    """Time ``steps`` steps after two others, by the median; two micro-batches each, so that gradients are there.

    The first step gets memory and chooses kernels; the second is still a tenth slower than those that follow.

    Args:
        seconds: when they are over, no further step begins; one is timed in any case. masked: with labels for the
            heads over the vocabulary.
    """
    curriculum, rows, width = plan.curriculum, plan.rows(plan.micro_tokens), plan.curriculum.max_length
    model = PretrainingModel(plan.config, {str(k): declare(head) for k, head in enumerate(plan.heads)})
    model.ernie.recompute(curriculum.recompute)
    precision = Precision(curriculum.precision, curriculum.amp_level, curriculum.loss_scaling)
    updater = Updater(model, curriculum.optimizer, plan.schedule(plan.stages[-1]), precision,
                      distributed.World(0, 1), curriculum.kernels)
    batch = random_batch(plan.config, plan.heads, rows, width)
    if not masked:
        batch.targets = {name: targets for name, targets in batch.targets.items()
                         if not plan.heads[int(name)].vocabulary}
    updater.model.train()
    times: list[tuple[float, float]] = []
    begun, waited = time.perf_counter(), _waited()
    while len(times) < WARMING + steps and (len(times) < 2 or time.perf_counter() - begun < seconds):
        times.append(_step(updater, batch, len(times) + 1))
    waited = (_waited() - waited) / (time.perf_counter() - begun)
    timed = times[WARMING:] or times[-1:]
    kind = bytes_of(curriculum.precision, curriculum.amp_level, paddle.device.get_device())
    counted = memory(plan.config, plan.heads, rows, width, kind, curriculum.recompute).peak
    forward_backward, update = np.median(np.array(timed), axis=0).tolist()
    return Measured(paddle.device.get_device(), rows, width, plan.micro_batches, forward_backward, update, peak_bytes(),
                    counted, waited)


def _waited(statistics: str | Path = "/proc/thread-self/schedstat") -> float:
    """Return the seconds that this thread has been ready to run while others ran; 0 where the system does not say."""
    try:
        return int(Path(statistics).read_text("utf-8").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # not Linux, or a sandbox without it
        return 0.0


def _step(updater: Updater, batch: Batch, update: int) -> tuple[float, float]:
    """Seconds of a micro-batch and of an update."""
    begun = time.perf_counter()
    for _ in range(2):
        with updater.precision.autocast():
            losses = updater.model(**to_tensors(batch))
        loss = paddle.add_n([values[0] / max(1, values[2].item()) for values in losses.values()])
        updater.backward(loss)
        del losses, loss
    _finish()
    middle = time.perf_counter()
    updater.step(update)
    _finish()
    return (middle - begun) / 2, time.perf_counter() - middle


def _finish() -> None:
    if paddle.device.get_device().startswith("gpu"):
        paddle.device.synchronize()


def declare(head: Head) -> SimpleNamespace:
    """Return the description of a task that the model is built from."""
    return SimpleNamespace(level=head.level, head="vocabulary" if head.vocabulary else "classes",
                           classes=range(max(1, head.classes)))


def random_batch(config: ErnieConfig, heads: list[Head], rows: int, width: int) -> Batch:
    """Make full rows of random tokens with a random label for every head, named by its place in ``heads``."""
    rng, places, targets = np.random.default_rng(0), rows * width, {}
    for number, head in enumerate(heads):
        chosen = np.arange(rows) if head.level == "sequence" else \
            rng.permutation(places)[:round(places * MASKED_SHARE)] if head.vocabulary else np.arange(places)
        classes = config.vocab_size if head.vocabulary else max(1, head.classes)
        targets[str(number)] = Targets(chosen, rng.integers(0, classes, len(chosen)))
    return Batch("random", 0, rng.integers(0, config.vocab_size, (rows, width)), np.zeros((rows, width), np.int64),
                 np.tile(np.arange(width), (rows, 1)), np.full(rows, width), targets)


def peak_bytes() -> int:
    """Return the most bytes that tensors of this process have held at once."""
    if paddle.device.get_device().startswith("gpu"):
        return paddle.device.cuda.max_memory_allocated()
    return paddle.base.core.host_memory_stat_peak_value("Allocated", 0)
