"""A pre-training stage: a curriculum's tasks, corpora and model, trained by the life-cycle that all runs share."""
from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.checkpoints.formats.own import texts
from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
from ernie.model.pretraining_model import PretrainingModel
from ernie.pretraining import evaluation, forgetting, passes
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.data import PretrainingData
from ernie.pretraining.model_config import model_config
from ernie.pretraining.run_directory import RunDirectory
from ernie.pretraining.stage_sampler import StageBatches
from ernie.training import distributed
from ernie.training.callbacks import Callback, DevEvaluation
from ernie.training.metrics import TaskMetrics
from ernie.training.optimizer import Updater
from ernie.training.run import Run, TrainingSettings, build_trainer, set_weights, wait_until_seen
from ernie.training.settings import Schedule
from ernie.training.trainer import Trainer
from reader.utils.errors import InputError
from reader.utils.files import write_json
from reader.utils.text import counted


def train_stage(curriculum: Curriculum, number: int, output: str | Path, step_timeout: float | None = None) -> int:
    """Train stage ``number`` of the run in ``output``, from where it stands. Returns the exit code of the process."""
    with Run(output, start_timeout=curriculum.start_timeout,
             step_timeout=step_timeout or curriculum.step_timeout,
             gradient_bucket_mb=curriculum.gradient_bucket_mb) as run:
        return run.train(StageTraining(run, curriculum, number))


class StageTraining:
    """One stage of a run, as one process trains it.

    Args:
        run: the process. curriculum: of the whole run. number: of the stage, from 1.
    """

    def __init__(self, run: Run, curriculum: Curriculum, number: int):
        self.run, self.curriculum, self.number, self.name = run, curriculum, number, f"stage {number}"
        self.directory = RunDirectory(run.directory, curriculum.copy_checkpoints_to)
        self.data = PretrainingData(curriculum)
        self.config = model_config(curriculum, self.data.tokenizer.size)
        self.data.sentence_types = self.config.type_vocab_size
        self.stages = self.directory.stages(curriculum)
        if not 1 <= number <= len(self.stages):
            raise InputError(f"--stage {number} is not one of 1 to {len(self.stages)}")
        self.stage = self.stages[number - 1]
        self.tasks_so_far = [task for task in self.data.tasks if any(task in s.budgets for s in self.stages[:number])]
        run.barrier()  # all have looked at the record before it may be extended
        if run.world.main:
            self.directory.record(curriculum, self.stages, self.data.facts(self.config))

    def prepare(self) -> Trainer:
        """Build the model, warm-started or resumed, and everything around it."""
        curriculum, stage, data, run = self.curriculum, self.stage, self.data, self.run
        seed = curriculum.seed * 1000 + self.number
        paddle.seed(seed)
        self.model = PretrainingModel(self.config, {name: data.tasks[name] for name in self.tasks_so_far})
        names = list(stage.budgets)
        consumed = {name: sum(s.budgets.get(name, 0) for s in self.stages[:self.number - 1]) for name in names}
        sources = {name: data.batches(name, names, run.world.size) for name in names}
        batches = StageBatches(stage, curriculum.seed, sources, consumed, run.world.rank, run.world.size)
        self.dev = {name: data.batches(name, [name], run.world.size, dev=True)
                    for name in data.measurable(self.tasks_so_far)}
        if stage.until_converged and self.dev.keys().isdisjoint(names):
            raise InputError(f"stage {self.number}: until_converged needs dev data, and no corpus of its tasks names "
                             "any", curriculum.name)
        self.baselines = evaluation.run_baselines(data, list(self.dev), self.directory.path, run.world,
                                                  run.watchdog.heartbeat)
        self._announce()
        return build_trainer(
            run, self.model, batches, {name: data.weights[name] for name in names}, stage.steps,
            directory=self.directory.stage_path(self.number), name=f"stage {self.number}/{len(self.stages)}", seed=seed,
            settings=self._settings(), warm_start=self._warm_start, callbacks=self._callbacks,
            files=texts(self.config, data.vocab_file.read_text("utf-8"), data.tokenizer.lower_case),
            copies=self.directory.copies, later_steps=sum(s.steps for s in self.stages[self.number:]),
            baselines=self.baselines, look=f"ernie inspect --run {self.directory.path} --stage {self.number}")

    def _settings(self) -> TrainingSettings:
        curriculum, optimizer = self.curriculum, self.curriculum.optimizer
        schedule = Schedule(optimizer.schedule, optimizer.learning_rate, optimizer.warmup_steps, self.stage.steps)
        return TrainingSettings(
            optimizer=optimizer, schedule=schedule, precision=curriculum.precision, amp_level=curriculum.amp_level,
            loss_scaling=curriculum.loss_scaling, recompute=curriculum.recompute, workers=curriculum.workers,
            log_every=curriculum.log_every, checkpoint_every=curriculum.checkpoint_every,
            keep_checkpoints=curriculum.keep_checkpoints, check_ranks_every=curriculum.check_ranks_every,
            max_bad_steps=curriculum.max_bad_steps, deterministic=curriculum.deterministic, kernels=curriculum.kernels,
            health_every=curriculum.health_every, loss_spike=curriculum.loss_spike,
            width_multiple=curriculum.width_multiple)

    def _callbacks(self, updater: Updater) -> Iterable[Callback]:
        if self.stage.until_converged:
            yield DevEvaluation(partial(self._measure, updater, self.stage.budgets), self.stage.until_converged,
                             self.directory.stage_path(self.number) / "best", self.data.weights)

    def _warm_start(self) -> None:
        """Weights only: of the stage before, or of the checkpoint that the curriculum names."""
        if self.number == 1:
            if self.curriculum.init:
                found = read_pretrained(self.curriculum.init)
                self.run.say(load_pretrained(self.model, found, self.data.vocab_file))
                if found.lower_case != self.data.tokenizer.lower_case:
                    self.run.say("note: the checkpoint reads texts "
                                 + ("in lower case, the corpora keep capitals" if found.lower_case else
                                    "with capitals, the corpora are in lower case (`ernie build-corpus --cased`)"))
            return
        end = self.directory.end_of(self.number - 1) if self.run.world.main else None
        path = distributed.gather(self.run.world, end)[0]
        wait_until_seen(self.run, path)
        weights = checkpoint.read(path).model
        new = [name for name in self.model.state_dict() if name not in weights]
        known = self._of_init(new)
        set_weights(self.model, weights)
        self.run.say(f"stage {self.number} begins with the weights of {path}"
                     + (f"; new head: {_heads(new)}" if new else "")
                     + (f"; of {self.curriculum.init}: {_heads(known)}" if known else ""))

    def _of_init(self, new: list[str]) -> list[str]:
        """Load the checkpoint that the curriculum names, for what enters only now; return what it knows of that."""
        if not new or not self.curriculum.init:
            return []
        try:
            found = read_pretrained(self.curriculum.init)
        except InputError as error:  # it was needed for stage 1, and may be gone
            found, why = None, str(error)
        if None in distributed.gather(self.run.world, found and found.family):
            self.run.say(f"note: {_heads(new)} as initialised, not as in init" + (f": {why}" if found is None else ""))
            return []
        if found is None or set(new).isdisjoint(found.arrays):
            return []
        loaded = set(load_pretrained(self.model, found, self.data.vocab_file).loaded)
        return [name for name in new if name in loaded]

    def _measure(self, updater: Updater, names: Collection[str] | None = None) -> dict[str, TaskMetrics]:
        """Dev metrics of every task so far, or of those in ``names``, on all ranks."""
        dev = {name: batches for name, batches in self.dev.items() if names is None or name in names}
        return evaluation.measure(updater.model, dev, self.curriculum.dev_batches, self.data.tasks,
                                  self.run.world, self.baselines, heartbeat=self.run.watchdog.heartbeat,
                                  autocast=updater.precision.autocast)

    def _announce(self) -> None:
        size = self.run.world.size
        budgets = ", ".join(f"{name} {count:,}" for name, count in self.stage.budgets.items())
        parameters = sum(int(np.prod(p.shape)) for p in self.model.parameters())
        slices = self.curriculum.slices(size)
        self.run.say(f"stage {self.number} of {len(self.stages)}: {budgets} iterations; "
                     f"{counted(self.stage.steps, 'step')} of "
                     f"{self.curriculum.batch_tokens:,} tokens in {counted(slices, 'micro-batch')} on "
                     f"{counted(size, 'process')}; {parameters:,} parameters, vocabulary "
                     f"{self.data.tokenizer.size:,}")
        if self.number == 1:
            self.run.say("data: " + "; ".join(passes.describe(self.curriculum, self.stages)))
        for note in [*(passes.warnings(self.curriculum, self.stages) if self.number == 1 else ()),
                     *(self.data.notes(self.stage.new) if self.run.world.main else ())]:
            self.run.say(f"note: {note}")
        if self.baselines:
            self.run.say("best shallow baselines on dev data: " + "; ".join(
                f"{name} {baseline.figure} ({baseline.name})" for name, baseline in self.baselines.items()))

    def finish(self, trainer: Trainer, reason: str) -> None:
        """Measure on dev data; on the main rank write the mark that the stage is over and print the table so far."""
        metrics, reason = self._measure(trainer.updater), reason or "finished"
        if not self.run.world.main:
            return
        directory, say = self.directory.stage_path(self.number), self.run.say
        write_json(directory / "dev.json", {name: values.to_json() for name, values in metrics.items()})
        write_json(directory / "done.json", {"checkpoint": f"{checkpoint.PREFIX}{trainer.state.step:08d}",
                                             "reason": reason, "step": trainer.state.step, "time": time.time(),
                                             "seconds": trainer.state.seconds, "tokens": trainer.state.tokens})
        say(f"\nstage {self.number} {reason} after {counted(trainer.state.step, 'step')}. Dev metrics of every task so "
            "far:")
        measured = forgetting.stage_metrics(self.directory, self.stages)
        if self.number < len(self.stages):  # the launcher ends with the table of the last one
            say(forgetting.ForgettingMatrix(measured, self.data.tokenizer.size).table())
        for name, values in metrics.items():
            if values.groups:
                say(f"  {name} by granularity: " + ", ".join(
                    f"{group} {100 * v.accuracy:.1f}% of {v.targets}" for group, v in values.groups.items()
                    if v.targets))


def _heads(parameters: Collection[str]) -> str:
    """The tasks of heads, by the names of their parameters."""
    return ", ".join(sorted({name.split(".")[1] if name.startswith("heads.") else "masked LM" for name in parameters}))
