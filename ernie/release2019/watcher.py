"""A fine-tuning run as the programs of 2019 showed it: their log lines, their files, at their moments."""
from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ernie.checkpoints import checkpoint
from ernie.finetuning.answers import n_best_answers
from ernie.finetuning.data import Split
from ernie.finetuning.watcher import Measurement, MeasuringPlan, WatchedTraining, Watcher
from ernie.model.pretraining_model import to_tensors
from ernie.release2019 import words
from ernie.release2019.flags import REGRESSION
from ernie.release2019.words import LOG
from ernie.training import distributed
from ernie.training.trainer import Callback, StepResult, Trainer
from reader.finetune.rows import NumberedLines
from reader.utils.files import atomic_write, write_json
from tasks.finetune.kind import Kind

TAGGER, READER = "sequence_labelling", "reading_comprehension"
DIAGNOSTIC = "test.diagnostic"  # the split of --diagnostic


@dataclass
class Files:
    """The files that the flags name: split -> as the flag has it, split -> where test answers go."""

    named: dict[str, str] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)


class Watcher2019(Watcher):
    """Says what the programs of 2019 said, and writes what they wrote.

    Args:
        args: the flags. cards: of the global batch. say: for our own lines.
    """

    def __init__(self, args: Namespace, cards: int, files: Files, say: Callable[[str], None] = print):
        super().__init__(say)
        self.args, self.cards, self.files = args, cards, files
        self.started = time.perf_counter()

    def begun(self, training: WatchedTraining, plan: MeasuringPlan) -> None:
        super().begun(training, plan)
        LOG.info(f"Device count: {self.cards}")
        LOG.info(f"Num train examples: {training.train_data.count}")
        LOG.info(f"Max train steps: {plan.total}")
        LOG.info(f"Num warmup steps: {plan.warmup}")

    def measuring(self, split: Split, alone: bool) -> None:
        LOG.info(f"validation result of dataset {self.files.named.get(split.name, split.path)}:")

    def measured(self, training: WatchedTraining, measurement: Measurement) -> None:
        split, kind = measurement.split, training.kind
        LOG.info(self.line(kind, measurement) + words.place(
            self.files.named.get(split.name, str(split.path)), measurement.epoch, measurement.step))
        if kind.name == READER and training.world.main:
            save_reader(Path(self.args.checkpoints), "dev", split, measurement.predictions)

    def line(self, kind: Kind, measurement: Measurement) -> str:
        """Format the line about a measurement, without its place."""
        scores, count, seconds = measurement.scores, measurement.split.count, measurement.seconds
        if kind.name == TAGGER:
            return words.tagger_line(scores, seconds)
        if kind.name == READER:
            return words.reader_line(scores, count, seconds)
        metric = REGRESSION if kind.name == "regression" else self.args.metric
        return words.dev_line(metric, scores, measurement.loss, count, seconds)

    def answered(self, kind: Kind, measurement: Measurement) -> None:
        """Report a model that is not trained in this call: log the measurement of a dev file, save the answers to a
        test file."""
        split = measurement.split
        if split.name.startswith("dev"):
            self.measuring(split, alone=False)
            LOG.info(self.line(kind, measurement)
                     + words.place(self.files.named.get(split.name, str(split.path)), 0, 0))
            if kind.name == READER:
                save_reader(Path(self.args.checkpoints), "dev", split, measurement.predictions)
        else:
            self.save(kind, split, measurement.predictions, 0, 0)

    def save(self, kind: Kind, split: Split, predictions: list, epoch: int, step: int) -> None:
        """Write the answers about a test file where the flags want them; says so."""
        target = self.files.saved.get(split.name)
        if target is None:
            return
        diagnostic = split.name == DIAGNOSTIC
        path = Path(target if diagnostic else f"{target}.{epoch}.{step}")
        if diagnostic:
            LOG.info("Final diagnostic")
        else:
            LOG.info(f"testing {self.files.named.get(split.name, split.path)}, save to {path}")
        save_answers(path, split, kind, predictions)
        if kind.name == READER:
            save_reader(Path(self.args.checkpoints), "test", split, predictions)
        if diagnostic:
            LOG.info(f"Done final diagnostic, saving to {path}")

    def callbacks(self, training: WatchedTraining, plan: MeasuringPlan) -> list[Callback]:
        return [TrainingLines(self, training, plan), TestAnswers(self, training, plan),
                Steps(self.args, training, plan)]


class TrainingLines(Callback):
    """The line about training, every ``--skip_steps`` steps; at the end the figures of ``--enable_ce``."""

    def __init__(self, watcher: Watcher2019, training: WatchedTraining, plan: MeasuringPlan):
        self.watcher, self.training, self.plan, self.every = watcher, training, plan, watcher.args.skip_steps
        self.sums, self.since, self.begun = np.zeros(3), 0, time.perf_counter()
        self.last = np.zeros(2)

    def start(self, trainer: Trainer) -> None:
        self.begun = time.perf_counter()

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        values = np.asarray(result.sums[self.training.kind.name], np.float64)
        if np.isfinite(values).all():  # the targets of a loss that is no number would count with a loss of 0
            self.sums += values
        self.since += 1
        if result.step % self.every and result.step != trainer.total:
            return
        loss, right, count = distributed.sum_over_ranks(trainer.world, self.sums)
        self.last = np.array([loss, right]) / max(1.0, count)
        if trainer.world.main:
            batches = self.plan.batches
            epoch = batches.epoch(result.step - 1)
            number = result.step - (int(batches.ends[epoch - 1]) if epoch else 0)
            figures = self._figures(float(self.last[0]), float(self.last[1]), result)
            LOG.info(words.training_line(epoch, int(batches.cuts[epoch][number]), len(batches.lengths), result.step,
                                         figures, self.since / (time.perf_counter() - self.begun)))
        self.sums, self.since, self.begun = np.zeros(3), 0, time.perf_counter()

    def _figures(self, loss: float, accuracy: float, result: StepResult) -> str:
        kind = self.training.kind
        if kind.name == TAGGER:
            return words.tagger_figures(loss, batch_scores(self.training.updater.layer, kind, result.batches))
        return words.classifier_figures(loss, accuracy) if kind.percent and kind.level == "sequence" \
            else words.loss_figures(loss)

    def finish(self, trainer: Trainer) -> None:
        if self.watcher.args.enable_ce and trainer.world.main:
            cards = self.watcher.cards
            print(f"kpis\ttrain_duration_card{cards}\t{time.perf_counter() - self.watcher.started:f}")
            print(f"kpis\ttrain_loss_card{cards}\t{self.last[0]:f}")
            print(f"kpis\ttrain_acc_card{cards}\t{self.last[1]:f}", flush=True)


def batch_scores(layer: Any, kind: Any, batches: list) -> dict[str, float]:
    """Compute entity precision, recall and F1 of the present weights on some training batches, without dropout."""
    gold, found = [], []
    layer.eval()
    with paddle.no_grad():
        for batch in batches:
            inputs = to_tensors(batch)
            inputs.pop("targets")
            chosen = layer.outputs(**inputs).argmax(-1).numpy()
            targets = batch.targets[kind.name]
            rows, columns = np.divmod(targets.positions, batch.token_ids.shape[1])
            for row in np.unique(rows):
                here = rows == row
                gold.append(kind.chunks(targets.labels[here].tolist()))
                found.append(kind.chunks(chosen[row, columns[here]].tolist()))
    layer.train()
    return kind.entity_scores(gold, found)


class TestAnswers(Callback):
    """Answers about the test files, every ``--validation_steps`` steps and at the end, with the weights of then."""

    def __init__(self, watcher: Watcher2019, training: WatchedTraining, plan: MeasuringPlan):
        self.watcher, self.training, self.plan = watcher, training, plan

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        final = result.step == trainer.total
        if trainer.stop or not final and result.step % self.watcher.args.validation_steps:
            return
        for split in self.training.predicted:
            if split.name in self.watcher.files.saved and (final or split.name != DIAGNOSTIC):
                predictions, _ = self.training.answers(split)
                if trainer.world.main:
                    self.watcher.save(self.training.kind, split, predictions,
                                      self.plan.batches.epoch(result.step - 1), result.step)


class Steps(Callback):
    """The model of every ``--save_steps`` steps and of the last one, as ``<checkpoints>/step_N``."""

    def __init__(self, args: Namespace, training: WatchedTraining, plan: MeasuringPlan):
        self.args, self.training = args, training

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        if result.step % self.args.save_steps and result.step != trainer.total:
            return
        if trainer.world.main:
            weights, _, _ = trainer.snapshot()
            checkpoint.write(Path(self.args.checkpoints) / f"step_{result.step}", {"model.safetensors": weights},
                             self.training.files)
        distributed.barrier(trainer.world)


def save_answers(path: Path, split: Split, kind: Kind, predictions: list) -> None:
    """Test answers in the columns of 2019, without a header.

    A classifier: ``pred<TAB>probs``, behind ``qid<TAB>`` where the file has that column. A tagger: words, labels and
    probabilities, each list joined by spaces. A reader: ``id<TAB>answer``.
    """
    header: list[str] = next((text.split("\t") for _, text in NumberedLines(split.path) if text.strip()), [])
    with atomic_write(path, newline="\n") as file:
        for row, prediction in zip(split.rows, predictions):
            if kind.name == TAGGER:
                cells = [" ".join(row.words), " ".join(kind.classes.names[label] for label in prediction.labels),
                         " ".join(f"{chance:.5f}" for chance in prediction.probabilities)]
            elif kind.name == READER:
                cells = kind.cells(row, prediction)[:2]
            else:
                scores = [prediction] if kind.loss == "squared" else prediction.probabilities.tolist()
                chosen = prediction if kind.loss == "squared" else prediction.label
                cells = [*([row.group] if "qid" in header else []), str(chosen), str(scores)]
            file.write("\t".join(cells) + "\n")


def save_reader(directory: Path, split_name: str, split: Split, predictions: list) -> None:
    """Write a reader's answers and its n best, beside the checkpoints."""
    answers, best = n_best_answers(split, predictions)
    write_json(directory / f"{split_name}_predictions.json", answers)
    write_json(directory / f"{split_name}_nbest_predictions.json", best)
