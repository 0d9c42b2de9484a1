"""Computed cost of a curriculum: steps, tokens, passes over the data, memory, communication, time."""
from __future__ import annotations

from dataclasses import dataclass

import tasks as task_room
from ernie.model.config import ErnieConfig
from ernie.model.recompute import Choice
from ernie.planning.memory import Head, Memory, bytes_of, memory, parameters
from ernie.pretraining import passes
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.model_config import model_config, vocabulary_of_the_store
from ernie.pretraining.stages import Stage, stages_of
from ernie.training.settings import Schedule
from reader.utils.text import counted

GIB = 2 ** 30
SPARE = 1.0  # GiB of a card left to the driver, the libraries' work space and fragmentation: assumed, not measured


@dataclass
class Plan:
    """A curriculum on a number of cards.

    Attributes:
        heads: of all tasks, as they stand in the last stage, which takes the most memory.
    """

    curriculum: Curriculum
    cards: int
    config: ErnieConfig
    stages: list[Stage]
    heads: list[Head]

    @classmethod
    def of(cls, curriculum: Curriculum, cards: int, stages: list[Stage] | None = None) -> Plan:
        """Plan a curriculum on a number of cards, with the vocabulary of its stores where they are built.

        Args:
            stages: of a run that has begun and may since have been extended; by default those of a new one.
        Raises:
            InputError: the curriculum, a task or the model file is wrong.
        """
        declared = [task_room.load(entry.name, entry.options, curriculum.tasks_from) for entry in curriculum.tasks]
        heads = [Head(task.level, len(task.classes), task.head == "vocabulary") for task in declared]
        config = model_config(curriculum, passes.known_vocabulary(curriculum))
        return cls(curriculum, cards, config, stages or stages_of(curriculum), heads)

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def masked_share(self) -> float:
        """Share of the steps that predict tokens of the vocabulary."""
        curriculum = self.curriculum
        over = {entry.name for entry, head in zip(curriculum.tasks, self.heads) if head.vocabulary}
        masked = sum(count for stage in self.stages for name, count in stage.budgets.items() if name in over
                     or (curriculum.losses == "all" and curriculum.task(name).lm_weight and over & set(stage.budgets)))
        return masked / max(1, self.steps)

    @property
    def micro_batches(self) -> int:
        """Micro-batches of a card in one step."""
        return self.curriculum.slices(self.cards) // self.cards

    @property
    def micro_tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.curriculum.batch_tokens // self.curriculum.slices(self.cards)

    def rows(self, tokens: int) -> int:
        """Count full rows in a micro-batch: the costliest shape, since attention grows with the width."""
        return max(1, -(-tokens // self.curriculum.max_length))

    def memory(self, tokens: int, recompute: Choice) -> Memory:
        """Count the memory of a card whose micro-batches have ``tokens`` tokens."""
        kind = bytes_of(self.curriculum.precision, self.curriculum.amp_level)
        return memory(self.config, self.heads, self.rows(tokens), self.curriculum.max_length, kind, recompute,
                      self.cards)

    def largest(self, gib: float, recompute: Choice) -> int:
        """Count tokens of the largest micro-batch of full rows that fits a card, SPARE left free; 0 if none does."""
        fits, width = 0, self.curriculum.max_length
        step = 1 << 16
        while step:
            if self.memory((fits + step) * width, recompute).peak <= (gib - SPARE) * GIB:
                fits += step
            else:
                step >>= 1
        return fits * width

    @property
    def parameters(self) -> dict[str, int]:
        return parameters(self.config, self.heads)

    @property
    def reduced(self) -> int:
        """Bytes of gradients that are summed over the cards once a step."""
        kind = bytes_of(self.curriculum.precision, self.curriculum.amp_level)
        return sum(self.parameters.values()) * kind.gradient if self.cards > 1 else 0

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint: weights, the float32 ones where there are others too, and two moments."""
        return sum(self.parameters.values()) * 12

    def schedule(self, stage: Stage) -> Schedule:
        """Return the learning rates of a stage; every stage starts its own."""
        settings = self.curriculum.optimizer
        return Schedule(settings.schedule, settings.learning_rate, settings.warmup_steps, stage.steps)

    def seconds(self, stage: Stage, tokens_per_second_per_card: float) -> float:
        """Return the seconds that a stage takes at that speed."""
        return stage.steps * self.curriculum.batch_tokens / (tokens_per_second_per_card * self.cards)

    def warnings(self) -> list[str]:
        """List what would stop the run, and what is probably not meant."""
        curriculum, found = self.curriculum, []
        if self.micro_tokens < curriculum.max_length:
            found.append(f"a micro-batch has {self.micro_tokens:,} tokens, fewer than one example of max_length "
                         f"{curriculum.max_length}: training would refuse; use fewer cards or a larger batch_tokens")
        if self.micro_tokens < 0.9 * min(curriculum.micro_batch_tokens, curriculum.batch_tokens):
            found.append(f"batch_tokens {curriculum.batch_tokens:,} does not divide well: {self.cards} cards take "
                         f"{self.micro_tokens:,} tokens at once, not {curriculum.micro_batch_tokens:,}")
        if passes.known_vocabulary(curriculum) is None and vocabulary_of_the_store(curriculum):
            found.append(f"the vocabulary is that of the store, which is not built: {self.config.vocab_size:,} tokens "
                         "are assumed")
        found += passes.warnings(curriculum, self.stages)
        for stage in self.stages:
            if stage.steps < curriculum.optimizer.warmup_steps:
                found.append(f"stage {stage.number} ends after {counted(stage.steps, 'step')}, inside its warm-up of "
                             f"{curriculum.optimizer.warmup_steps:,}: the peak learning rate is never reached")
        return found
