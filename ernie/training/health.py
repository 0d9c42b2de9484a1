"""Tell from the figures of a log line how a run fares: the slowest rank, and once a minute how training goes."""
from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence

from ernie.training import distributed
from ernie.training.metrics import LogLine, SlowestRank
from ernie.training.trainer import Callback, StepResult, Trainer


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
