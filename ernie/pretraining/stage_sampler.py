"""The micro-batches that a rank trains on at every step of a stage. No paddle: batch workers import this."""
from __future__ import annotations

import numpy as np

from ernie.pretraining.stages import Stage
from reader.batches.batches import slices_of_rank
from reader.batches.loader import StepBatches


class StageBatches(StepBatches):
    """The micro-batches of every step of a stage, as this rank takes them: a function of (seed, step).

    Args:
        sources: task name -> its ``Batches``. consumed: task name -> batches that earlier stages took of it.
    """

    def __init__(self, stage: Stage, seed: int, sources: dict, consumed: dict, rank: int = 0,
                 size: int = 1):
        self.sources, self.names, self.draws = sources, list(stage.budgets), stage.draws(seed)
        one_hot = self.draws[:, None] == np.arange(len(self.names))
        self.numbers = (np.cumsum(one_hot, axis=0)[np.arange(len(self.draws)), self.draws] - 1
                        + np.array([consumed.get(name, 0) for name in self.names])[self.draws])
        self.rank, self.size = rank, size

    def at(self, step: int) -> list:
        """Return the micro-batches of a step (from 0) for this rank: its run of the slices of the global batch."""
        source = self.sources[self.names[self.draws[step]]]
        return source.at(int(self.numbers[step]), slices_of_rank(source.slices, self.rank, self.size))

    def turn(self, step: int) -> int:
        """Return the worker that makes a step: the same one for all batches of a window, so that no window is drawn
        twice."""
        return int(self.numbers[step])
