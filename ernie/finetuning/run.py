"""Fine-tuning: a recipe, a checkpoint and labelled files to trained models, predictions and figures.

    <output>/finetune.json            what was started; a resume with anything else is refused
    <output>/result.json              figures over all seeds
    <output>/seed-<n>/                step-<k>/ for resuming, best/ the model to use, log.jsonl, <split>.tsv predictions
"""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.checkpoints.warm_start import load_pretrained
from ernie.finetuning.data import FinetuningData, Split, Start, find_start, fingerprint
from ernie.finetuning.predictor import FILE, Predictor, describe, find_model, run_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.summary import evaluation_line, summed_up
from ernie.model.finetuning_model import FinetuningModel
from ernie.training import distributed
from ernie.training.optimizer import Updater
from ernie.training.run import Run, TrainingSettings, build_trainer, set_weights
from ernie.training.schedule import Schedule
from ernie.training.settings import OptimizerSettings
from ernie.training.trainer import Callback, StepResult, Trainer
from ernie.utils.files import lock
from ernie.utils.records import refuse_another_run
from reader.utils.errors import InputError
from reader.utils.files import write_json
from tasks.finetune import submission
from tasks.finetune.batches import EpochBatches

# what may change between two launches without changing what is computed
FREE = ("seed", "log_every", "checkpoint_every", "start_timeout", "step_timeout", "micro_batch_tokens", "recompute",
        "predict_batch_tokens", "max_bad_steps", "workers", "check_ranks_every")


class FinetuningRun:
    """Everything that the seeds of one fine-tuning run share.

    Args:
        run: the process. recipe: what to do. directory: the data.
        init, model, vocab, size: see ``ernie.finetuning.data.find_start``.
    """

    def __init__(self, run: Run, recipe: Recipe, directory, *, init=None, size: str = "base", model=None, vocab=None):
        self.run, self.recipe, self.world, self.output, self.say = run, recipe, run.world, run.directory, run.say
        self.data = FinetuningData(recipe, directory, self.say)
        if self.world.main:  # first alone, in case a vocabulary has to be learnt
            self.start = self._find_start(init, size, model, vocab)
        run.barrier()
        if not self.world.main:
            self.start = self._find_start(init, size, model, vocab)
        self.train_data = self._split("train", required=True, keep_rows=False)
        self.measured = self._splits(recipe.splits("dev"))
        self.predicted = self._splits(recipe.splits("test"))
        if not self.measured:
            self.say("no dev file: the last weights are kept as the best")
        self._record(init, size)

    def _find_start(self, init, size, model, vocab) -> Start:
        return find_start(self.recipe, self.data, init, size, self.output, model=model, vocab=vocab)

    def _split(self, name: str, **options) -> Split | None:
        return self.data.split(name, self.start.tokenizer, **options)

    def _splits(self, names) -> list[Split]:
        return [split for split in map(self._split, names) if split]

    def _record(self, init, size: str) -> None:
        """Write down what this run is, or refuse to go on with another one."""
        facts = {**self.recipe.to_dict(), "init": str(init or ""), "size": size,
                 "training data": fingerprint(self.train_data.features), "classes": list(self.data.classes.names),
                 "model": self.start.config.to_dict()}
        facts = json.loads(json.dumps(facts))
        for free in FREE:
            facts.pop(free)
        file = self.output / "finetune.json"
        if file.exists():
            old = json.loads(file.read_text("utf-8"))
            refuse_another_run(file, {key: old.get(key) for key in facts}, facts)
        self.run.barrier()
        if self.world.main:
            write_json(file, facts)

    def seeds(self, count: int) -> int:
        """Train with ``count`` different seeds, one after the other; figures of those that are done are kept.

        Returns the exit code of the process.
        """
        results = []
        for seed in range(self.recipe.seed, self.recipe.seed + count):
            directory = self.output / f"seed-{seed}"
            if not (directory / "result.json").exists():
                code = self.run.train(SeedTraining(self, seed, directory))
                if code:
                    return code
            results.append(json.loads((directory / "result.json").read_text("utf-8")))
        if self.world.main:
            summary = summed_up(self.recipe, results, json.loads((self.output / "finetune.json").read_text())["size"])
            write_json(self.output / "result.json", summary)
            self.say("\n" + summary["text"])
            self.say(f"model: {find_model(self.output)}")
        return 0


class SeedTraining:
    """The training of one seed."""

    def __init__(self, shared: FinetuningRun, seed: int, directory: Path):
        self.shared, self.recipe, self.seed, self.directory = shared, shared.recipe, seed, directory
        self.name = f"seed {seed}"
        self.run, self.kind, self.start, self.world, self.say = \
            shared.run, shared.data.kind, shared.start, shared.world, shared.say
        self.pad_id = shared.start.tokenizer.pad_id
        self.extra = {"ernie_config.json": json.dumps(shared.start.config.to_dict(), indent=2) + "\n",
                      "vocab.txt": shared.start.vocab_text, FILE: describe(shared.recipe, shared.data.classes)}

    def prepare(self) -> Trainer:
        """Build the model, with the weights of the checkpoint or resumed, and everything around it."""
        recipe, world = self.recipe, self.world
        paddle.seed(self.seed)
        self.model = FinetuningModel(self.start.config, self.kind)
        batches = EpochBatches(self.shared.train_data.features, self.kind, seed=self.seed, epochs=recipe.epochs,
                               batch_size=recipe.batch_size, unit=recipe.batch_unit, task_id=recipe.task_id,
                               pad_id=self.pad_id, micro_tokens=recipe.micro_batch_tokens, rank=world.rank,
                               size=world.size)
        total = min(batches.steps, recipe.max_steps or batches.steps)
        warmup = int(total * recipe.warmup_proportion)
        points = {step for step in batches.ends.tolist() if step <= total} | {total}
        if recipe.evaluate_every:
            points.update(range(recipe.evaluate_every, total, recipe.evaluate_every))
        self.say(f"{recipe.task}, seed {self.seed}: {recipe.epochs} epochs of {len(batches.cuts[0]) - 1:,} steps, "
                 f"{recipe.batch_size:,} {recipe.batch_unit} a step, learning rate {recipe.learning_rate:g} "
                 f"({recipe.schedule}, {warmup:,} warm-up), on {world.size} process{'es' * (world.size > 1)}")
        return build_trainer(self.run, self.model, batches, {self.kind.name: 1.0}, total, directory=self.directory,
                             name=self.name, seed=self.seed, settings=self._settings(warmup, total),
                             warm_start=self._warm_start, files=self.extra,
                             callbacks=lambda updater: self._callbacks(updater, points))

    def _settings(self, warmup: int, total: int) -> TrainingSettings:
        recipe = self.recipe
        optimizer = OptimizerSettings(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon,
                                      recipe.weight_decay, recipe.clip_norm)
        return TrainingSettings(
            optimizer, Schedule(recipe.schedule, recipe.learning_rate, warmup, total), recipe.precision,
            recipe.amp_level, recipe.loss_scaling, recipe.recompute, recipe.workers, recipe.log_every,
            recipe.checkpoint_every, 1, recipe.check_ranks_every, recipe.max_bad_steps)

    def _warm_start(self) -> None:
        if self.start.pretrained is not None:
            self.say(load_pretrained(self.model, self.start.pretrained))
        else:
            self.say("no --init: trains from random weights")

    def _callbacks(self, updater: Updater, points: set[int]) -> list[Callback]:
        self.updater = updater
        return [BestOnDev(self, points)]

    def answers(self, split: Split):
        """(predictions for the rows of a split, mean loss), with the present weights, over all ranks."""
        world = self.world
        outputs, loss = run_model(self.updater.layer, self.kind, split.features, self.recipe, self.pad_id,
                                  rank=world.rank, size=world.size, autocast=self.updater.precision.autocast,
                                  gather=lambda value: distributed.gather(world, value),
                                  heartbeat=self.run.watchdog.heartbeat)
        return self.kind.decode(split.rows, split.features, outputs), loss

    def measure(self, split: Split) -> dict:
        """The metrics of a split with labels; prints the evaluation line."""
        begun = time.perf_counter()
        if len(self.shared.measured) > 1:
            self.say(f"validation result of dataset {split.path}:")
        predictions, loss = self.answers(split)
        scores = self.kind.score(split.rows, predictions)
        self.say(evaluation_line(split.name.partition(".")[0], loss, scores, self.recipe.metrics, split.count,
                                 time.perf_counter() - begun))
        return scores

    def finish(self, trainer: Trainer, reason: str) -> None:
        """Figures and predictions of the best weights, written by the main rank."""
        memory = trainer.state.callbacks.get("dev", {})
        best = self.directory / "best"
        distributed.barrier(self.world)
        set_weights(self.updater.layer, checkpoint.load_file(best / "model.safetensors"))
        result = {"seed": self.seed, "steps": trainer.state.step, "seconds": trainer.state.seconds,
                  "tokens": trainer.state.tokens, "best_step": memory.get("step", trainer.state.step),
                  "last": memory.get("last"), "dev_points": memory.get("history", [])}
        for split in [*self.shared.measured, *self.shared.predicted]:
            predictions, _ = self.answers(split)
            if self.world.main:
                write_predictions(self.directory, split, self.kind, self.recipe.task, predictions)
            if all(self.kind.labelled(row) for row in split.rows):
                result[split.name] = self.kind.score(split.rows, predictions)
        if self.world.main:
            write_json(self.directory / "result.json", result)


class BestOnDev(Callback):
    """Measures dev data at the given steps and keeps the weights that were best (the mean of the recipe's metrics)."""

    def __init__(self, seed: SeedTraining, points: set[int]):
        self.seed, self.points = seed, points

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        if result.step not in self.points or trainer.stop:
            return
        memory = trainer.state.callbacks.setdefault("dev", {"best": -float("inf"), "step": 0, "history": []})
        splits = self.seed.shared.measured
        scores = [self.seed.measure(split) for split in splits]
        value = float(np.mean([scores[0][name] for name in self.seed.recipe.metrics])) if splits else result.step
        memory["last"] = scores[0] if splits else None
        memory["history"].append({"step": result.step, **(scores[0] if splits else {})})
        if value > memory["best"]:
            memory.update(best=value, step=result.step)
            if trainer.world.main:
                weights, _, _ = trainer.snapshot()
                checkpoint.write(self.seed.directory / "best", {"model.safetensors": weights}, self.seed.extra)
        distributed.barrier(trainer.world)


def write_predictions(directory: Path, split: Split, kind, task: str, predictions: list) -> None:
    """The answers about a split as a table, and in the forms that scorers and the GLUE server take."""
    with open(directory / f"{split.name}.tsv", "w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(kind.header()) + "\n")
        for row, prediction in zip(split.rows, predictions):
            file.write("\t".join(kind.cells(row, prediction)) + "\n")
    if kind.name == "reading_comprehension":
        write_json(directory / f"{split.name}_predictions.json",
                   {row.id: answer.text for row, answer in zip(split.rows, predictions)})
        write_json(directory / f"{split.name}_nbest.json", {
            row.id: [{"text": one.text, "start": one.start, "stop": one.stop, "probability": one.probability,
                      "score": one.score} for one in answer.best] for row, answer in zip(split.rows, predictions)})
    name = submission.FILES.get((task, split.name))
    if name:
        (directory / "submission").mkdir(exist_ok=True)
        submission.write(directory / "submission" / f"{name}.tsv", kind, split.rows, predictions)


def train(recipe: Recipe, directory, output, seeds: int = 1, *, marks: Path | None = None, **start) -> int:
    """Fine-tune with ``seeds`` different seeds. Returns the exit code of the process.

    Args:
        directory: the data. output: the run directory, or a function that finds it. marks: see ``Run``.
        start: init, size, model, vocab: see ``ernie.finetuning.data.find_start``.
    """
    with Run(output, start_timeout=recipe.start_timeout, step_timeout=recipe.step_timeout, marks=marks) as run:
        return FinetuningRun(run, recipe, directory, **start).seeds(seeds)


def answer_with(model, recipe: Recipe, directory, output, splits, size: str = "base", say=print) -> int:
    """Rows answered by a model that is there: AX by one that was fine-tuned on MNLI, or a run that trains nothing.

    Args:
        size: whose figures of the paper are shown beside ours.
    """
    if int(os.environ.get("PADDLE_TRAINER_ID", "0")):
        return 0  # one process answers
    with lock(output, say=say):
        return _answer_with(model, recipe, directory, output, splits, size, say)


def _answer_with(model, recipe: Recipe, directory, output, splits, size: str, say) -> int:
    predictor = Predictor(model)
    data = FinetuningData(recipe, directory, say)
    kind = data.kind
    _check_answers(predictor, recipe, data)
    positions = predictor.config.max_position_embeddings
    if recipe.max_length > positions:
        say(f"max_length {recipe.max_length} is more than the model's {positions} positions: rows are cut to these")
        recipe.max_length = positions
    result = {"seed": 0, "steps": 0, "seconds": 0.0, "model": str(predictor.path)}
    place = Path(output) / "seed-0"
    place.mkdir(parents=True, exist_ok=True)
    for name in splits:
        begun, split = time.perf_counter(), data.split(name, predictor.tokenizer)
        if split is None:
            continue
        outputs, loss = run_model(predictor.model, kind, split.features, predictor.recipe, predictor.tokenizer.pad_id)
        predictions = kind.decode(split.rows, split.features, outputs)
        write_predictions(place, split, kind, recipe.task, predictions)
        if all(kind.labelled(row) for row in split.rows):
            result[name] = kind.score(split.rows, predictions)
            say(evaluation_line(name.partition(".")[0], loss, result[name], recipe.metrics, split.count,
                                time.perf_counter() - begun))
        say(f"{name}: {split.count:,} predictions in {place}")
    write_json(place / "result.json", result)
    write_json(Path(output) / "result.json", summed_up(recipe, [result], size))
    return 0


def _check_answers(predictor: Predictor, recipe: Recipe, data: FinetuningData) -> None:
    """That a model can answer what a recipe asks; InputError otherwise."""
    kind, own = data.kind, predictor.kind
    if (kind.level, kind.loss, kind.outputs) != (own.level, own.loss, own.outputs) \
            or tuple(data.classes.names) != tuple(predictor.classes.names):
        def shown(kind, classes):
            return kind.name + (f" into {', '.join(classes.names)}" if classes.names else "")
        raise InputError(f"this model does {shown(own, predictor.classes)}, {recipe.task} is "
                         f"{shown(kind, data.classes)}: give one that was fine-tuned on "
                         f"{recipe.predicted_with or recipe.task}", predictor.path)
