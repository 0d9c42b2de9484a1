"""Read what the runs of a comparison will read, before hours of them are spent. No paddle."""
from __future__ import annotations

from pathlib import Path

from ernie.checkpoints.formats.families import read
from ernie.comparison.plan import UNTOUCHED, ComparisonPlan, finetuned, finished
from ernie.finetuning.data import check_model
from ernie.finetuning.predictor import find_weights
from ernie.finetuning.recipe import Recipe
from ernie.model.config import ErnieConfig
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.data import PretrainingData
from ernie.pretraining.model_config import model_config
from reader.utils.errors import InputError


def check_inputs(plan: ComparisonPlan, curricula: dict[str, Curriculum], recipes: dict[str, Recipe]) -> None:
    """Open the stores and read every row of training and dev data of what is not finished yet.

    Args:
        curricula: by the name of the contestant. recipes: by the task of ``plan.finetune``.
    Raises:
        InputError: the first thing over which a run would stumble.
    """
    models: dict[str, tuple[ErnieConfig, str]] = {}
    for contestant in plan.contestants:
        curriculum, vocabulary = curricula[contestant.name], None
        if not all(finished(plan.run_path(contestant.name, seed)) for seed in plan.seeds):
            vocabulary = PretrainingData(curriculum).tokenizer.size
        models[contestant.name] = model_config(curriculum, vocabulary), contestant.config
    if plan.untouched:
        models[UNTOUCHED] = read(find_weights(plan.untouched)).config, plan.untouched
    for task, tuning in plan.finetune.items():
        missing = [name for name in models for seed in plan.seeds
                   if finetuned(plan.finetune_path(name, seed, task)) < plan.finetune_seeds]
        if missing:
            read_rows(recipes[task], tuning.data)
        for name in dict.fromkeys(missing):
            config, where = models[name]
            check_model(recipes[task], config, where, flag="--finetune-set")


def read_rows(recipe: Recipe, directory: str | Path) -> None:
    """Read every row of training and dev data, and keep none.

    Raises:
        InputError: the task has no training data of its own, a file is missing, or a row is wrong.
    """
    if recipe.predicted_with:
        raise InputError(f"--finetune {recipe.task}: it has no training data of its own")
    classes = recipe.reader.labels(directory)
    for split in "train", *recipe.splits("dev"):
        for _ in recipe.reader.open(recipe.reader.find(directory, split), split, classes):
            pass
