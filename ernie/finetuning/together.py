"""One encoder trained on several fine-tuning tasks, a head for each: to be fine-tuned further, or used as it is.

    <output>/together.json            what was started; a resume with anything else is refused
    <output>/result.json              figures of every task over all seeds; ``--init <output>`` takes the best encoder
    <output>/seed-<n>/                step-<k>/ for resuming, best/ the weights of the encoder and all heads, log.jsonl
    <output>/tasks/<task>/            an output of that task as ``ernie finetune`` leaves it: model, answers, figures
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.checkpoints.formats.finetuned import DESCRIPTION
from ernie.checkpoints.formats.own import texts
from ernie.checkpoints.warm_start import load_pretrained
from ernie.finetuning.average import drop_other_rows
from ernie.finetuning.controls import apply_controls, check_controls
from ernie.finetuning.data import FinetuningData, Split, Start, find_start, fingerprint, fit
from ernie.finetuning.predictor import describe, run_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.run import FREE, WEIGHTS, copies_of
from ernie.finetuning.seed import BestOnDev, answered, forget_damaged, settings_of
from ernie.finetuning.summary import TOGETHER, evaluation_line, summed_up, table
from ernie.model.finetuning_model import JointModel, OneOfJoint
from ernie.training import distributed
from ernie.training.optimizer import Updater
from ernie.training.run import Run, build_trainer, set_weights
from ernie.training.trainer import Callback, Trainer
from ernie.utils.records import read_record, refuse_another_run
from reader.utils.errors import InputError
from reader.utils.files import write_json
from reader.utils.text import counted
from tasks.finetune.batches import EpochBatches
from tasks.finetune.mixture import Mixture, shares


@dataclass
class Part:
    """One of the tasks. predicted: test splits. measured: dev splits, of which the first one decides."""

    recipe: Recipe
    data: FinetuningData
    train_data: Split
    measured: list[Split]
    predicted: list[Split]


class JointRun:
    """Everything that the seeds of one joint run share.

    Learning rate, schedule, epochs, precision and the other settings of the run as a whole are those of the first
    task's recipe; batch size, length, metrics and options are every task's own.

    Args:
        run: the process. recipes: of the tasks, each with its data directory. mixing: see
            ``tasks.finetune.mixture.shares``. init, model, vocab, size: see ``ernie.finetuning.data.find_start``.
    """

    def __init__(self, run: Run, recipes: list[tuple[Recipe, str]], mixing: str, *, init: str | Path | None = None,
                 size: str = "base", model: str | Path | None = None, vocab: str | Path | None = None):
        if not (init or vocab):
            raise InputError("--together goes on from a checkpoint: give --init (or --vocab, for random weights)")
        shares(mixing, {recipe.task: 1 for recipe, _ in recipes})  # refused before anything is read or written
        self.run, self.world, self.output, self.say, self.size = run, run.world, run.directory, run.say, size
        self.mixing, self.lead = mixing, recipes[0][0]
        data = {recipe.task: FinetuningData(recipe, directory, self.say) for recipe, directory in recipes}
        self.start: Start = find_start(self.lead, data[self.lead.task], init, size, self.output, model=model,
                                       vocab=vocab)
        self.parts = {task: self._part(found) for task, found in data.items()}
        lead = self.parts[self.lead.task]
        check_controls(self.lead, lead.data.kind, lead.train_data.features, self.start.config.num_hidden_layers,
                       self.world.size)
        self._record(init)

    def _part(self, data: FinetuningData) -> Part:
        recipe, tokenizer = data.recipe, self.start.tokenizer
        self.say(f"{recipe.task}:")
        fit(recipe, self.start.config, tokenizer, recipe.task, self.say)
        train = data.split("train", tokenizer, required=True, keep_rows=False)
        assert train is not None  # required
        dev, test = ([split for name in recipe.splits(kind) if (split := data.split(name, tokenizer))]
                     for kind in ("dev", "test"))
        return Part(recipe, data, train, dev, test)

    def _facts(self, part: Part) -> dict[str, Any]:
        facts = {**part.recipe.to_dict(), "classes": list(part.data.classes.names),
                 "training data": fingerprint(part.train_data.features),
                 "dev data": {split.name: fingerprint(split.features) for split in part.measured}}
        return {key: value for key, value in facts.items() if key not in FREE}

    def _record(self, init: str | Path | None) -> None:
        """Write down what this run is, or refuse to go on with another one."""
        facts = json.loads(json.dumps({
            "mixing": self.mixing, "init": str(init or ""), WEIGHTS: self.start.fingerprint(), "size": self.size,
            "model": self.start.config.to_dict(),
            "tasks": {task: self._facts(part) for task, part in self.parts.items()}}))
        file = self.output / TOGETHER
        if (self.output / "finetune.json").exists():
            raise InputError("holds a run of a single task: use another --output", self.output)
        if file.exists():
            refuse_another_run(file, {WEIGHTS: facts[WEIGHTS], **read_record(file)}, facts)  # not in older records
        self.copies = copies_of(self.lead, file)
        if self.copies:
            self.copies.check(facts)
        self.run.barrier()
        if self.world.main:
            write_json(file, facts)
            for task, found in facts["tasks"].items():
                write_json(self.output / "tasks" / task / "finetune.json",
                           {**found, "init": facts["init"], "size": self.size, "folds": 0, "model": facts["model"]})

    def seeds(self, count: int) -> int:
        """Train with ``count`` different seeds; those that are done are not trained again. Returns the exit code."""
        for seed in range(self.lead.seed, self.lead.seed + count):
            directory = self.output / f"seed-{seed}"
            forget_damaged(self.run, directory)
            if not (directory / "result.json").exists():
                code = self.run.train(JointTraining(self, seed, directory))
                if code:
                    return code
        if self.world.main:
            self._sum_up()
        return 0

    def _sum_up(self) -> None:
        """Write the figures of every task over all seeds of this output, and the run's."""
        held = sorted(self.output.glob("seed-*/result.json"), key=lambda file: int(file.parent.name[5:]))
        results = [json.loads(file.read_text("utf-8")) for file in held]
        summaries = []
        for task, part in self.parts.items():
            place = self.output / "tasks" / task
            runs = [place / result["run"] for result in results]
            own = [json.loads((run / "result.json").read_text("utf-8")) for run in runs]
            drop_other_rows(part.predicted, runs, own, self.say)
            summary = summed_up(part.recipe, own, self.size, part.data.source)
            write_json(place / "result.json", summary)
            summaries.append(summary)
        best, text = max(results, key=lambda result: result["value"]), table(summaries)
        write_json(self.output / "result.json", {"tasks": list(self.parts), "runs": len(results), "text": text,
                                                 "best_run": best["run"]})
        self.say("\n" + text)
        self.say(f"encoder: {self.output / best['run'] / 'best'}, which --init {self.output} takes; models: "
                 f"{self.output / 'tasks'}")


class JointTraining:
    """The joint training of one seed. directory: of its checkpoints and best weights."""

    def __init__(self, joint: JointRun, seed: int, directory: Path):
        self.joint, self.run, self.world, self.say = joint, joint.run, joint.world, joint.say
        self.parts, self.start, self.recipe = joint.parts, joint.start, joint.lead
        self.seed, self.directory, self.name = seed, directory, f"seed {seed}"
        self.files = texts(self.start.config, self.start.vocab_text, self.start.tokenizer.lower_case)

    def prepare(self) -> Trainer:
        """Build the model, with the weights of the checkpoint or resumed, and everything around it."""
        recipe = self.recipe
        paddle.seed(self.seed)
        self.model = JointModel(self.start.config, {task: part.data.kind for task, part in self.parts.items()})
        apply_controls(self.model, recipe, self.start.config.num_hidden_layers)
        self.batches = Mixture(self._batches, list(self.parts), self.joint.mixing, seed=self.seed,
                               epochs=recipe.epochs)
        total = min(self.batches.steps, recipe.max_steps or self.batches.steps)
        warmup = int(total * recipe.warmup_proportion)
        points = {step for step in self.batches.ends.tolist() if step <= total} | {total}
        if recipe.evaluate_every:
            points.update(range(recipe.evaluate_every, total, recipe.evaluate_every))
        drawn = ", ".join(f"{task} {count:,}" for task, count in self.batches.counts.items())
        self.say(f"{self.name}: {counted(recipe.epochs, 'epoch')} of {counted(self.batches.length, 'step')} "
                 f"({drawn}), learning rate "
                 f"{recipe.learning_rate:g} ({recipe.schedule}, {warmup:,} warm-up), on {self.world.size} "
                 f"process{'es' * (self.world.size > 1)}")
        return build_trainer(self.run, self.model, self.batches, dict.fromkeys(self.parts, 1.0), total,
                             directory=self.directory, name=self.name, seed=self.seed,
                             settings=settings_of(recipe, warmup, total), warm_start=self._warm_start,
                             files=self.files, copies=self.joint.copies,
                             callbacks=lambda updater: self._callbacks(updater, points),
                             percent=all(part.data.kind.percent for part in self.parts.values()))

    def _batches(self, task: str, passes: int) -> EpochBatches:
        part = self.parts[task]
        recipe = part.recipe
        return EpochBatches(part.train_data.features, part.data.kind, seed=self.seed, epochs=passes,
                            batch_size=recipe.batch_size, batch_unit=recipe.batch_unit, task_id=recipe.task_id,
                            pad_id=self.start.tokenizer.pad_id, micro_tokens=recipe.micro_batch_tokens,
                            similar=recipe.similar_lengths, rank=self.world.rank, size=self.world.size)

    def _warm_start(self) -> None:
        if self.start.pretrained is not None:
            self.say(load_pretrained(self.model, self.start.pretrained))
        else:
            self.say("no --init: trains from random weights")

    def _callbacks(self, updater: Updater, points: set[int]) -> list[Callback]:
        self.updater = updater
        return [BestOnDev(self, points)]

    def _outputs(self, task: str, split: Split) -> tuple[list, float]:
        """Return (the model's scores for every model input of a split, mean loss), over all ranks."""
        part, world = self.parts[task], self.world
        return run_model(OneOfJoint(self.updater.layer, task), part.data.kind, split.features, part.recipe,
                         self.start.tokenizer.pad_id, rank=world.rank, size=world.size,
                         autocast=self.updater.precision.autocast,
                         gather=lambda value: distributed.gather(world, value), heartbeat=self.run.watchdog.heartbeat)

    def judge(self, step: int) -> tuple[float, Any, dict]:
        """Measure the first dev split of every task; the mean over tasks of the mean of their metrics decides.

        Without any dev data the latest weights are the best.
        """
        found: dict[str, dict[str, float]] = {}
        for task, part in self.parts.items():
            for split in part.measured[:1]:
                outputs, loss = self._outputs(task, split)
                scores = part.data.kind.score(split.rows, part.data.kind.decode(split.rows, split.features, outputs))
                self.say(f"{task} " + evaluation_line("dev", loss, scores, part.recipe.metrics, split.count, 0.0)
                         .rpartition(", elapsed")[0])
                found[task] = {"loss": loss, **scores}
        value = mean(mean(scores[name] for name in self.parts[task].recipe.metrics)
                     for task, scores in found.items()) if found else float(step)
        return value, found or None, {"step": step, "epoch": self.batches.epoch(step - 1) + 1, "tasks": found}

    def finish(self, trainer: Trainer, reason: str) -> None:
        """Write a model, answers and figures for every task, with the best weights; the main rank does."""
        if reason:
            self.say(f"{self.name}: {reason}: ends after step {trainer.state.step} of {trainer.total}")
        memory = trainer.state.callbacks.get("dev", {})
        distributed.barrier(self.world)
        weights = checkpoint.load_file(self.directory / "best" / "model.safetensors")
        set_weights(self.updater.layer, weights)
        common = {"seed": self.seed, "run": self.directory.name, "steps": trainer.state.step,
                  "seconds": trainer.state.seconds, "tokens": trainer.state.tokens,
                  "best_step": memory.get("step", trainer.state.step)}
        for task, part in self.parts.items():
            self._finish(task, part, weights, {**common, "evaluation": {}, "dev_points": [
                {"step": point["step"], "epoch": point["epoch"], **point["tasks"].get(task, {})}
                for point in memory.get("history", [])]})
        if self.world.main:
            write_json(self.directory / "result.json", {**common, "value": memory.get("best", 0.0),
                                                        "dev_points": memory.get("history", [])})

    def _finish(self, task: str, part: Part, weights: dict[str, np.ndarray], result: dict) -> None:
        kind, place = part.data.kind, self.joint.output / "tasks" / task / self.directory.name
        if self.world.main:
            own = {name: array for name, array in weights.items() if name.startswith("ernie.")}
            own |= {f"heads.{kind.name}.{name.rpartition('.')[2]}": array for name, array in weights.items()
                    if name.startswith(f"heads.{task}.")}
            checkpoint.write(place / "best", {"model.safetensors": own},
                             {**self.files, DESCRIPTION: describe(part.recipe, part.data.classes)})
        for split in [*part.measured, *part.predicted]:
            outputs, _ = self._outputs(task, split)
            answered(place if self.world.main else None, kind, task, split, outputs, result)
        if self.world.main:
            write_json(place / "result.json", result)


def train(recipes: list[tuple[Recipe, str]], mixing: str, output: str | Path, seeds: int = 1, **start: Any) -> int:
    """Train on several tasks together with ``seeds`` different seeds. Returns the exit code of the process.

    Args:
        recipes: see ``ernie.finetuning.recipe.joined``. mixing: see ``tasks.finetune.mixture.shares``.
        start: init, size, model, vocab: see ``ernie.finetuning.data.find_start``.
    """
    lead = recipes[0][0]
    with Run(output, start_timeout=lead.start_timeout, step_timeout=lead.step_timeout,
             gradient_bucket_mb=lead.gradient_bucket_mb) as run:
        return JointRun(run, recipes, mixing, **start).seeds(seeds)
