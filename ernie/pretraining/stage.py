"""A pre-training stage, put together from its parts: tasks, corpora, model, optimiser, callbacks; then trained."""
from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.model.pretraining_model import PretrainingModel
from ernie.pretraining import evaluation, forgetting
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.data import PretrainingData
from ernie.pretraining.model_config import model_config
from ernie.pretraining.run_directory import RunDirectory
from ernie.pretraining.stage_sampler import StageBatches
from ernie.training import distributed
from ernie.training.amp import Precision
from ernie.training.callbacks import Checkpoints, Divergence, Evaluation, Log, SameOnAllRanks
from ernie.training.metrics import TaskMetrics
from ernie.training.optimizer import Updater
from ernie.training.scalars import scalar_writer
from ernie.training.schedule import Schedule
from ernie.training.trainer import Trainer, TrainState
from ernie.training.watchdog import DIVERGED, STOPPED, StopSignals, Watchdog
from ernie.utils.files import lock
from reader.utils.errors import InputError
from reader.utils.files import write_json


def train_stage(curriculum: Curriculum, number: int, output, step_timeout: float | None = None) -> int:
    """Train stage ``number`` of the run in ``output``, from where it stands. Returns the exit code of the process."""
    return StageRun(curriculum, number, output).run(step_timeout or curriculum.step_timeout)


class StageRun:
    """One stage of a run, as one process trains it.

    Args:
        curriculum: of the whole run. number: of the stage, from 1. output: the run directory, the same on all ranks.
    """

    def __init__(self, curriculum: Curriculum, number: int, output):
        self.curriculum, self.number, self.signals = curriculum, number, StopSignals()
        self.world = distributed.start()
        self.say = print if self.world.main else (lambda *_: None)
        self.directory = RunDirectory(output)
        self.data = PretrainingData(curriculum)
        self.config = model_config(curriculum, self.data.tokenizer.size)
        self.stages = self.directory.stages(curriculum)
        self.stage = self.stages[number - 1]
        self.seed = curriculum.seed * 1000 + number
        self.tasks_so_far = [task for task in self.data.tasks if any(task in s.budgets for s in self.stages[:number])]

    def run(self, step_timeout: float) -> int:
        """Train to the end of the stage, or until something stops it; exit code of the process."""
        held = lock(self.directory.path) if self.world.main else None
        if self.world.main:
            self.directory.record(self.curriculum, self.stages, self.data.facts(self.config))
        distributed.barrier(self.world)
        with Watchdog(self.directory.path / "alive", self.world.rank, f"stage {self.number}", step_timeout,
                      self.signals.request) as watchdog:
            trainer = self._prepare(watchdog)
            reason = trainer.run()
            watchdog.close()
            if self.signals.received or reason == "asked to stop":
                self.say(f"stage {self.number}: stopped by {self.signals.received or 'another rank'} after step "
                         f"{trainer.state.step} of {self.stage.steps}; start again to go on from there")
                return STOPPED
            if reason == Divergence.REASON:
                last = self.directory.last_checkpoint(self.number, self.say)
                return watchdog.fail(
                    DIVERGED, f"{trainer.state.bad_in_a_row} steps in a row were not finite; training ends. The last "
                              f"good checkpoint is {last or 'that of the stage before'}")
            metrics = self._measure()
            if self.world.main:
                self._finish(trainer, metrics, reason or "finished")
        if held:
            held.close()
        return 0

    def _prepare(self, watchdog: Watchdog) -> Trainer:
        """The model, warm-started or resumed, and everything around it."""
        curriculum, stage, data, world = self.curriculum, self.stage, self.data, self.world
        self.updater, state = self._model()
        names = list(stage.budgets)
        consumed = {name: sum(s.budgets.get(name, 0) for s in self.stages[:self.number - 1]) for name in names}
        batches = StageBatches(stage, curriculum.seed, {name: data.batches(name, names, world.size) for name in names},
                               consumed, world.rank, world.size)
        self.dev = {name: data.batches(name, [name], world.size, dev=True)
                    for name in data.measurable(self.tasks_so_far)}
        callbacks = self._watchers()
        self._announce()
        return Trainer(self.updater, batches, {name: data.weights[name] for name in names}, stage.steps, state=state,
                       world=world, seed=self.seed, workers=curriculum.workers, callbacks=callbacks,
                       stop_requested=self.signals, heartbeat=watchdog)

    def _model(self) -> tuple[Updater, TrainState]:
        """Model and optimiser where the stage stands: as it begins, or as its last checkpoint left them."""
        curriculum, settings = self.curriculum, self.curriculum.optimizer
        paddle.seed(self.seed)
        model = PretrainingModel(self.config, {name: self.data.tasks[name] for name in self.tasks_so_far})
        if hasattr(model.ernie.encoder, "recompute"):
            model.ernie.encoder.recompute = curriculum.recompute
        resumed = self.directory.last_checkpoint(self.number, self.say)
        if not resumed:
            self._warm_start(model)
        precision = Precision(curriculum.precision, curriculum.amp_level, curriculum.loss_scaling)
        if precision.note:
            self.say(precision.note)
        schedule = Schedule(settings.schedule, settings.learning_rate, settings.warmup_steps, self.stage.steps)
        updater = Updater(model, settings, schedule, precision, self.world)
        return updater, self._resume(updater, resumed) if resumed else TrainState()

    def _warm_start(self, model) -> None:
        """Weights only: of the stage before, or of the checkpoint that the curriculum names."""
        if self.number == 1:
            if self.curriculum.init:
                from ernie.checkpoints.warm_start import load_pretrained
                self.say(load_pretrained(model, self.curriculum.init, self.data.vocab_file))
            return
        before = self.number - 1
        done = self.directory.done(before)
        if not done:
            raise InputError(f"stage {self.number} begins where stage {before} ends, which is not finished",
                             self.directory.path)
        path = self.directory.stage_path(before) / done["checkpoint"]
        damage = checkpoint.check(path)
        if damage:
            raise InputError(f"the last checkpoint of stage {before} is damaged: {damage}", path)
        weights = checkpoint.read(path).model
        own = model.state_dict()
        known = {name: paddle.to_tensor(array) for name, array in weights.items() if name in own}
        model.set_state_dict({**own, **known})
        new = sorted({name.split(".")[1] for name in own if name not in weights and name.startswith("heads.")})
        self.say(f"stage {self.number} begins with the weights of {path}"
                 + (f"; new head: {', '.join(new)}" if new else ""))

    def _resume(self, updater: Updater, path: Path) -> TrainState:
        """Everything: weights, moments, schedule, loss scale, step."""
        found = checkpoint.read(path)
        updater.restore(found.model, found.optimizer)
        state = TrainState(**found.state)
        updater.precision.restore(state.scaler)
        self.say(f"resumes {path} at step {state.step}")
        return state

    def _watchers(self) -> list:
        """What happens around the steps, in the order in which it happens."""
        curriculum, directory = self.curriculum, self.directory.stage_path(self.number)
        scalars = None
        if self.world.main:
            scalars = scalar_writer(self.directory.path / "visualdl" / f"stage-{self.number}")
        callbacks = [Divergence(curriculum.max_bad_steps, f"stage {self.number}",
                               look=f"ernie inspect --run {self.directory.path} --stage {self.number}"),
                    Log(curriculum.log_every, directory / "log.jsonl", f"stage {self.number}/{len(self.stages)}  ",
                        sum(s.steps for s in self.stages[self.number:]), also=scalars),
                    SameOnAllRanks(curriculum.check_ranks_every)]
        if self.stage.until_converged:
            if not self.dev:
                raise InputError("until_converged needs dev data, and no corpus names any", curriculum.name)
            callbacks.append(Evaluation(self._measure, self.stage.until_converged))
        extra = {"ernie_config.json": json.dumps(self.config.to_dict(), indent=2),
                 "vocab.txt": self.data.vocab_file.read_text("utf-8")}
        writer = checkpoint.CheckpointWriter(directory, curriculum.keep_checkpoints, extra)
        return [*callbacks, Checkpoints(curriculum.checkpoint_every, writer)]

    def _measure(self) -> dict[str, TaskMetrics]:
        """Dev metrics of every task so far, on all ranks."""
        return evaluation.measure(self.updater.model, self.dev, self.curriculum.dev_batches, self.data.tasks,
                                  self.world)

    def _announce(self) -> None:
        size = self.world.size
        budgets = ", ".join(f"{name} {count:,}" for name, count in self.stage.budgets.items())
        parameters = sum(int(np.prod(p.shape)) for p in self.updater.layer.parameters())
        self.say(f"stage {self.number} of {len(self.stages)}: {budgets} iterations; {self.stage.steps:,} steps of "
                 f"{self.curriculum.batch_tokens:,} tokens in {self.curriculum.slices(size)} micro-batches on {size} "
                 f"process{'es' * (size > 1)}; {parameters:,} parameters, vocabulary {self.data.tokenizer.size:,}")

    def _finish(self, trainer: Trainer, metrics: dict[str, TaskMetrics], reason: str) -> None:
        """Dev metrics, the mark that the stage is over, and the table so far; by the main rank."""
        directory = self.directory.stage_path(self.number)
        write_json(directory / "dev.json", {name: values.to_json() for name, values in metrics.items()})
        write_json(directory / "done.json", {"checkpoint": f"{checkpoint.PREFIX}{trainer.state.step:08d}",
                                             "reason": reason, "step": trainer.state.step, "time": time.time(),
                                             "seconds": trainer.state.seconds, "tokens": trainer.state.tokens})
        self.say(f"\nstage {self.number} {reason} after {trainer.state.step:,} steps. Dev metrics of every task so "
                 "far:")
        measured = forgetting.stage_metrics(self.directory, self.stages)
        self.say(forgetting.ForgettingMatrix(measured, self.data.tokenizer.size).table())
        for name, values in metrics.items():
            if values.groups:
                self.say(f"  {name} by granularity: " + ", ".join(
                    f"{group} {100 * v.accuracy:.1f}% of {v.targets}" for group, v in values.groups.items()
                    if v.targets))
