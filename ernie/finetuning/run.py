"""Fine-tuning: a recipe, a checkpoint and labelled files to trained models, predictions and figures.

    <output>/finetune.json            what was started; a resume with anything else is refused
    <output>/result.json              figures over all seeds
    <output>/seed-<n>/                step-<k>/ for resuming, best/ the model to use, log.jsonl, <split>.tsv predictions
"""
from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints.copies_folder import CopiesFolder
from ernie.finetuning.average import average_runs, drop_other_rows
from ernie.finetuning.controls import check_controls
from ernie.finetuning.data import FinetuningData, Split, Start, find_start, fingerprint
from ernie.finetuning.predictor import find_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.seed import Material, SeedTraining, forget_damaged
from ernie.finetuning.summary import averaged_line, summed_up
from ernie.finetuning.watcher import Watcher
from ernie.training.run import Run
from ernie.utils.records import read_record, refuse_another_run
from reader.utils.errors import InputError
from reader.utils.files import write_json
from tasks.finetune.kind import Kind

# what may change between two launches without changing what is computed
FREE = ("seed", "log_every", "checkpoint_every", "copy_checkpoints_to",
        "start_timeout", "step_timeout", "micro_batch_tokens", "recompute",
        "deterministic", "kernels", "predict_batch_tokens", "max_bad_steps", "workers", "check_ranks_every",
        "health_every", "loss_spike", "width_multiple", "gradient_bucket_mb")


WEIGHTS = "weights"  # of --init: a folder that a run writes into holds other ones later
DEV_DATA = "dev data"  # by which the best weights are chosen, and whose figures are summed up over seeds


def copies_of(recipe: Recipe, record: Path) -> CopiesFolder | None:
    """Return the folder of a run's copies, if any are made. record: the run's own."""
    def refuse(file: Path, old: dict, new: dict) -> None:
        refuse_another_run(file, old, new, "folder in copy_checkpoints_to")
    folder = recipe.copy_checkpoints_to
    return CopiesFolder(folder, record, ["seed-*", "fold-*"], refuse) if folder else None


class FinetuningRun:
    """Everything that the seeds of one fine-tuning run share.

    Args:
        run: the process. recipe: what to do. directory: the data.
        watcher: what is said. cross_validation: the number of folds, or 0.
        init, model, vocab, size: see ``ernie.finetuning.data.find_start``.
    """

    def __init__(self, run: Run, recipe: Recipe, directory: str | Path, *, watcher: Watcher | None = None,
                 cross_validation: int = 0, init: str | Path | None = None, size: str = "base",
                 model: str | Path | None = None, vocab: str | Path | None = None):
        self.watcher = watcher or Watcher(run.say)
        self.run, self.recipe, self.world, self.output, self.say = run, recipe, run.world, run.directory, run.say
        self.data = FinetuningData(recipe, directory, self.say)
        if self.world.main:  # first alone, in case a vocabulary has to be learnt; one without a record is of other data
            self.start = self._find_start(init, size, model, vocab, anew=not (self.output / "finetune.json").exists())
        run.barrier()
        if not self.world.main:
            self.start = self._find_start(init, size, model, vocab)
        train = self._split("train", required=True, keep_rows=bool(cross_validation))
        assert train is not None  # required
        dev = [] if cross_validation else self._splits(recipe.splits("dev"))
        self.material = Material(self.data, self.start, train, dev, self._splits(recipe.splits("test")))
        if not dev and not cross_validation:
            idle = [key for key in ("early_stopping", "evaluate_every") if getattr(recipe, key)]
            self.say(f"{self.data.no_dev()}: the last weights are kept as the best"
                     + "".join(f"; {key} has no effect" for key in idle))
        check_controls(recipe, self.data.kind, train.features, self.start.config.num_hidden_layers, self.world.size)
        if cross_validation:
            folds(self.data.kind, train.rows, cross_validation, recipe.seed)
        self._record(init, size, cross_validation)

    def _find_start(self, init, size, model, vocab, anew: bool = False) -> Start:
        return find_start(self.recipe, self.data, init, size, self.output, model=model, vocab=vocab, anew=anew)

    def _split(self, name: str, **options) -> Split | None:
        return self.data.split(name, self.start.tokenizer, **options)

    def _splits(self, names) -> list[Split]:
        return [split for split in map(self._split, names) if split]

    def _record(self, init: str | Path | None, size: str, cross_validation: int) -> None:
        """Write down what this run is, or refuse to go on with another one."""
        facts = {**self.recipe.to_dict(), "init": str(init or ""), WEIGHTS: self.start.fingerprint(), "size": size,
                 "folds": cross_validation,
                 "training data": fingerprint(self.material.train_data.features),
                 DEV_DATA: {split.name: fingerprint(split.features) for split in self.material.measured},
                 "classes": list(self.data.classes.names),
                 "model": self.start.config.to_dict()}
        facts = json.loads(json.dumps(facts))
        for free in FREE:
            if free != "seed" or not cross_validation:  # it draws the folds, of which some may be done
                facts.pop(free)
        file = self.output / "finetune.json"
        if file.exists():
            absent = {key: facts.get(key) for key in (DEV_DATA, WEIGHTS, "seed")}  # from older records
            old = {**absent, **read_record(file)}
            refuse_another_run(file, {key: old.get(key) for key in facts}, facts)
        copies = self.material.copies = copies_of(self.recipe, file)
        if copies:
            copies.check(facts)
        self.run.barrier()
        if self.world.main:
            write_json(file, facts)

    def seeds(self, count: int) -> int:
        """Train with ``count`` different seeds, one after the other; seeds that are done are not trained again.

        Returns the exit code of the process. The figures are those of all seeds that this output holds.
        """
        for seed in range(self.recipe.seed, self.recipe.seed + count):
            code = self._train(self.material, seed, self.output / f"seed-{seed}")
            if code:
                return code
        held = self._finished("seed-*")
        if len(held) > count:
            self.say(f"figures over all {len(held)} seeds of this output: "
                     + ", ".join(directory.name[5:] for directory in held))
        self._sum_up(self.recipe, held, [*self.material.measured, *self.material.predicted])
        return 0

    def folds(self, count: int) -> int:
        """Cross-validate: train ``count`` times on the training rows but a fold, which is that training's dev data.

        Every training has a seed of its own. Returns the exit code of the process.
        """
        rows = self.material.train_data
        for number, held_out in enumerate(folds(self.data.kind, rows.rows, count, self.recipe.seed)):
            rest = np.setdiff1d(np.arange(rows.count), held_out)
            dev = Split("dev", rows.path, len(held_out), rows.features.subset(held_out),
                        [rows.rows[at] for at in held_out.tolist()])
            material = replace(self.material, measured=[dev], train_data=Split(
                "train", rows.path, len(rest), rows.features.subset(rest)))
            code = self._train(material, self.recipe.seed + number, self.output / f"fold-{number + 1}")
            if code:
                return code
        self._sum_up(replace(self.recipe, over_runs="mean"), self._finished("fold-*"), self.material.predicted)
        return 0

    def _train(self, material: Material, seed: int, directory: Path) -> int:
        forget_damaged(self.run, directory)
        if (directory / "result.json").exists():
            return 0
        name = directory.name.replace("-", " ")
        return self.run.train(SeedTraining(self.run, self.recipe, material, self.watcher, seed, directory, name))

    def _finished(self, pattern: str) -> list[Path]:
        found = [file.parent for file in self.output.glob(f"{pattern}/result.json")]
        return sorted(found, key=lambda directory: int(directory.name[5:]))

    def _sum_up(self, recipe: Recipe, held: list[Path], splits: list[Split]) -> None:
        """Write result.json over finished trainings, and the averages of their answers."""
        if not self.world.main:
            return
        results = [json.loads((directory / "result.json").read_text("utf-8")) for directory in held]
        answered = {split.name for split in drop_other_rows(self.material.predicted, held, results, self.say)}
        dropped = {split.name for split in self.material.predicted} - answered
        splits = [split for split in splits if split.name not in dropped]
        summary = summed_up(recipe, results, json.loads((self.output / "finetune.json").read_text("utf-8"))["size"],
                            self.data.source)
        if len(held) > 1:
            summary["averaged"] = average_runs(self.data.kind, recipe.task, splits, held, self.output / "average")
            summary["text"] += averaged_line(recipe, summary["averaged"], len(held))
        write_json(self.output / "result.json", summary)
        self.say("\n" + summary["text"])
        self.say(f"model: {find_model(self.output)}")


def folds(kind: Kind, rows: list, count: int, seed: int) -> list[np.ndarray]:
    """Return the indices of the rows of every fold, ascending: classes evenly, the candidates of a question together.

    Raises:
        InputError: there are fewer rows (or questions) than folds.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
    groups = [getattr(row, "group", "") for row in rows]
    labels = [getattr(row, "label", None) for row in rows]
    if kind.name == "ranking":
        splitter = GroupKFold(count)
    elif kind.loss == "cross_entropy" and kind.level == "sequence":
        splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    else:
        splitter = KFold(count, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class with fewer rows than there are folds
            return [np.sort(held_out) for _, held_out in splitter.split(rows, labels, groups)]
    except ValueError as error:
        raise InputError(f"--folds {count}: {error}") from None


def train(recipe: Recipe, directory: str | Path, output: str | Path | Callable[[], Path], seeds: int = 1, *,
          cross_validation: int = 0, marks: Path | None = None, **start: Any) -> int:
    """Fine-tune with ``seeds`` different seeds. Returns the exit code of the process.

    Args:
        directory: the data. output: the run directory, or a function that finds it. marks: see ``Run``.
        cross_validation: instead, so many trainings without a fold of the training rows each; 0: none.
        start: init, size, model, vocab: see ``ernie.finetuning.data.find_start``.
    """
    with Run(output, start_timeout=recipe.start_timeout, step_timeout=recipe.step_timeout, marks=marks,
             gradient_bucket_mb=recipe.gradient_bucket_mb) as run:
        finetuning = FinetuningRun(run, recipe, directory, cross_validation=cross_validation, **start)
        return finetuning.folds(cross_validation) if cross_validation else finetuning.seeds(seeds)
