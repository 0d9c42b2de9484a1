"""The training of one seed: model, batches, measurements, and the best weights on dev data."""
from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.checkpoints.copies_folder import CopiesFolder
from ernie.checkpoints.formats.finetuned import DESCRIPTION
from ernie.checkpoints.formats.own import texts
from ernie.checkpoints.manifest import FILE as MANIFEST
from ernie.checkpoints.manifest import check
from ernie.checkpoints.warm_start import load_pretrained
from ernie.finetuning.answers import write_predictions
from ernie.finetuning.average import save_outputs
from ernie.finetuning.controls import Fgm, apply_controls, loss_shaping
from ernie.finetuning.data import FinetuningData, Split, Start, fingerprint
from ernie.finetuning.evaluation import evaluate
from ernie.finetuning.predictor import describe, run_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.watcher import Measurement, MeasuringPlan, Watcher
from ernie.model.finetuning_model import FinetuningModel
from ernie.training import distributed
from ernie.training.optimizer import Updater
from ernie.training.run import Run, TrainingSettings, build_trainer, set_weights
from ernie.training.settings import OptimizerSettings, Schedule
from ernie.training.trainer import Callback, StepResult, Trainer
from reader.utils.files import present, write_json
from tasks.finetune.batches import EpochBatches
from tasks.finetune.kind import Kind


@dataclass
class Material:
    """Data, starting point and splits that the trainings of a run share.

    Attributes:
        measured, predicted: dev splits, test splits; the first dev split chooses the best weights.
        copies: where checkpoints are copied too, if they are.
    """

    data: FinetuningData
    start: Start
    train_data: Split
    measured: list[Split]
    predicted: list[Split]
    copies: CopiesFolder | None = None


class SeedTraining:
    """The training of one seed.

    Args:
        name: begins its console lines. directory: of its checkpoints, model and figures.
    """

    def __init__(self, run: Run, recipe: Recipe, material: Material, watcher: Watcher, seed: int, directory: Path,
                 name: str = ""):
        self.run, self.recipe, self.watcher, self.seed, self.directory = run, recipe, watcher, seed, directory
        self.name = name or f"seed {seed}"
        self.world, self.say, self.kind, self.start = run.world, run.say, material.data.kind, material.start
        self.train_data, self.measured, self.predicted = material.train_data, material.measured, material.predicted
        self.copies = material.copies
        self.pad_id = self.start.tokenizer.pad_id
        self.files = {**texts(self.start.config, self.start.vocab_text, recipe.lower_case),
                      DESCRIPTION: describe(recipe, material.data.classes)}

    def prepare(self) -> Trainer:
        """Build the model, with the weights of the checkpoint or resumed, and everything around it."""
        recipe, world = self.recipe, self.world
        paddle.seed(self.seed)
        features, layers = self.train_data.features, self.start.config.num_hidden_layers
        self.model = FinetuningModel(self.start.config, self.kind, loss_shaping(recipe, self.kind, features))
        apply_controls(self.model, recipe, layers)
        batches = EpochBatches(features, self.kind, seed=self.seed, epochs=recipe.epochs,
                               batch_size=recipe.batch_size, batch_unit=recipe.batch_unit, task_id=recipe.task_id,
                               pad_id=self.pad_id, micro_tokens=recipe.micro_batch_tokens,
                               similar=recipe.similar_lengths, rank=world.rank, size=world.size)
        total = min(batches.steps, recipe.max_steps or batches.steps)
        warmup = int(total * recipe.warmup_proportion)
        points = {step for step in batches.ends.tolist() if step <= total} | {total}
        if recipe.evaluate_every:
            points.update(range(recipe.evaluate_every, total, recipe.evaluate_every))
        self.plan = MeasuringPlan(batches, total, warmup, points)
        self.watcher.begun(self, self.plan)
        trainer = build_trainer(self.run, self.model, batches, {self.kind.name: 1.0}, total, directory=self.directory,
                             name=self.name, seed=self.seed, settings=settings_of(recipe, warmup, total),
                             warm_start=self._warm_start, files=self.files,
                             callbacks=self._callbacks, copies=self.copies, percent=self.kind.percent)
        trainer.adversary = Fgm(recipe.fgm) if recipe.fgm else None
        return trainer

    def _warm_start(self) -> None:
        if self.start.pretrained is not None:
            self.say(load_pretrained(self.model, self.start.pretrained))
        else:
            self.say("no --init: trains from random weights")

    def _callbacks(self, updater: Updater) -> list[Callback]:
        self.updater = updater
        return [BestOnDev(self, self.plan.points), *self.watcher.callbacks(self, self.plan)]

    def answers(self, split: Split) -> tuple[list, float]:
        """Return (predictions for the rows of a split, mean loss), with the present weights, over all ranks."""
        outputs, loss = self.outputs(split)
        return self.kind.decode(split.rows, split.features, outputs), loss

    def outputs(self, split: Split) -> tuple[list, float]:
        """Return (the model's scores for every model input of a split, mean loss), over all ranks."""
        world = self.world
        return run_model(self.updater.layer, self.kind, split.features, self.recipe, self.pad_id,
                                  rank=world.rank, size=world.size, autocast=self.updater.precision.autocast,
                                  gather=lambda value: distributed.gather(world, value),
                                  heartbeat=self.run.watchdog.heartbeat)

    def measure(self, split: Split, step: int) -> Measurement:
        """Measure a split with labels after a step, and tell the watcher."""
        begun = time.perf_counter()
        self.watcher.measuring(split, alone=len(self.measured) == 1)
        predictions, loss = self.answers(split)
        measurement = Measurement(split, predictions, loss, self.kind.score(split.rows, predictions), step,
                                  self.plan.batches.epoch(step - 1), time.perf_counter() - begun)
        self.watcher.measured(self, measurement)
        return measurement

    def judge(self, step: int) -> tuple[float, Any, dict]:
        """Measure every dev split after a step; the first one decides, by the mean of the recipe's metrics.

        Without dev data the latest weights are the best.
        """
        found = [self.measure(split, step) for split in self.measured]
        value = float(np.mean([found[0].scores[name] for name in self.recipe.metrics])) if found else step
        point = {"step": step, "epoch": self.plan.batches.epoch(step - 1) + 1,
                 **({"loss": found[0].loss, **found[0].scores} if found else {})}
        return value, found[0].scores if found else None, point

    def finish(self, trainer: Trainer, reason: str) -> None:
        """Write figures and predictions of the best weights, on the main rank."""
        if reason:
            self.say(f"{self.name}: {reason}: ends after step {trainer.state.step} of {trainer.total}")
        memory = trainer.state.callbacks.get("dev", {})
        best = self.directory / "best"
        distributed.barrier(self.world)
        set_weights(self.updater.layer, checkpoint.read_best(best))
        result = {"seed": self.seed, "run": self.directory.name, "steps": trainer.state.step,
                  "seconds": trainer.state.seconds, "tokens": trainer.state.tokens,
                  "best_step": memory.get("step", trainer.state.step),
                  "last": memory.get("last"), "dev_points": memory.get("history", []),
                  "evaluation": {}}
        for split in [*self.measured, *self.predicted]:
            outputs, _ = self.outputs(split)
            answered(self.directory if self.world.main else None, self.kind, self.recipe.task, split, outputs, result)
        if self.world.main:
            write_json(self.directory / "result.json", result)


def answered(directory: Path | None, kind: Kind, task: str, split: Split, outputs: list, result: dict) -> None:
    """Write the answers about a split into ``directory``, and put its figures into ``result`` where it has labels.

    Args:
        directory: None on ranks that write nothing. outputs: the model's scores of every part.
    """
    predictions = kind.decode(split.rows, split.features, outputs)
    if directory is not None:
        save_outputs(directory / f"{split.name}.outputs.npz", outputs)
        write_predictions(directory, split, kind, task, predictions)
    result.setdefault("answered", {})[split.name] = fingerprint(split.features)
    if all(kind.labelled(row) for row in split.rows):
        found = evaluate(kind, split.rows, predictions)
        result[split.name] = found.metrics
        result["evaluation"][split.name] = found.to_json()


def forget_damaged(run: Run, directory: Path) -> None:
    """Have a training whose best weights are damaged begin anew, saying so; from what is left they cannot be had."""
    best = present(directory / "best")
    damage = check(best) if (best / MANIFEST).is_file() else ""
    damage = distributed.gather(run.world, damage)[0]  # a shared file system may fail one node and not another
    if not damage:
        return
    run.say(f"{directory}: the best weights are damaged ({damage}); it is trained again from its beginning")
    if run.world.main:
        for path in [best, *directory.glob(f"{checkpoint.PREFIX}*")]:
            shutil.rmtree(path, ignore_errors=True)
        (directory / "result.json").unlink(missing_ok=True)
    run.barrier()


def settings_of(recipe: Recipe, warmup: int, total: int) -> TrainingSettings:
    """Return the settings of training that a recipe asks for, by name: their order is not the recipe's."""
    optimizer = OptimizerSettings(learning_rate=recipe.learning_rate, beta1=recipe.beta1, beta2=recipe.beta2,
                                  epsilon=recipe.epsilon, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm)
    return TrainingSettings(
        optimizer=optimizer, schedule=Schedule(recipe.schedule, recipe.learning_rate, warmup, total),
        precision=recipe.precision, amp_level=recipe.amp_level, loss_scaling=recipe.loss_scaling,
        recompute=recipe.recompute, workers=recipe.workers, log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every, keep_checkpoints=1, check_ranks_every=recipe.check_ranks_every,
        max_bad_steps=recipe.max_bad_steps, deterministic=recipe.deterministic, kernels=recipe.kernels,
        health_every=recipe.health_every, loss_spike=recipe.loss_spike, width_multiple=recipe.width_multiple)


EARLY = "dev data gained no more"  # why training ends


class Judged(Protocol):
    """Part of a training that ``BestOnDev`` works on. recipe: tells when to stop early."""

    directory: Path
    files: dict[str, str]
    recipe: Recipe

    def judge(self, step: int) -> tuple[float, Any, dict]:
        """Measure dev data after a step. Returns (what the best weights have most of, scores, the line to keep)."""


class BestOnDev(Callback):
    """Measures dev data at the given steps and keeps the weights that were best, as the training judges."""

    def __init__(self, training: Judged, points: set[int]):
        self.training, self.points = training, points

    def start(self, trainer: Trainer) -> None:
        self._judge(trainer)  # a run that was killed between its last step and its end has stopped early all the same

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        if result.step not in self.points or trainer.stop:
            return
        memory = trainer.state.callbacks.setdefault("dev", {"best": -float("inf"), "step": 0, "history": [],
                                                            "without_gain": 0})
        value, last, point = self.training.judge(result.step)
        memory["last"] = last
        memory["history"].append(point)
        memory["without_gain"] = 0 if value > memory["best"] else memory.get("without_gain", 0) + 1
        if value > memory["best"]:
            memory.update(best=value, step=result.step)
            if trainer.world.main:
                weights, _, _ = trainer.snapshot()
                checkpoint.write(self.training.directory / "best", {"model.safetensors": weights}, self.training.files)
        distributed.barrier(trainer.world)
        self._judge(trainer)

    def _judge(self, trainer: Trainer) -> None:
        patience = self.training.recipe.early_stopping
        if patience and trainer.state.callbacks.get("dev", {}).get("without_gain", 0) >= patience \
                and trainer.state.step < trainer.total:
            trainer.stop = EARLY
