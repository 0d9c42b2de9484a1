"""Refuse to go on with, or to report, runs of a comparison that were begun as something else. No paddle."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ernie.comparison.plan import ComparisonPlan, finetuned
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.summary import read_record
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.data import PretrainingData
from ernie.pretraining.model_config import model_config
from ernie.pretraining.run_directory import RunDirectory
from ernie.utils.records import refuse_another_run
from reader.utils.errors import InputError

FACTS = "model", "vocabulary", "data", "classes"  # of a recorded run, beside its curriculum
OPEN = "seed", "lower_case"  # of a recorded fine-tuning: another one for every run; a matter of the vocabulary too


def check_begun(plan: ComparisonPlan, curricula: dict[str, Curriculum], recipes: dict[str, Recipe]) -> None:
    """Compare every run and fine-tuning that is there with what the plan says of it now.

    Stores that have been removed since are taken as they were recorded.

    Args:
        curricula: by the name of the contestant. recipes: by the task of ``plan.finetune``.
    Raises:
        InputError: a curriculum, a recipe or the data is another one (every difference is named), or a
            fine-tuning has more seeds than it is to have.
    """
    for contestant in plan.contestants:
        _check_runs(curricula[contestant.name],
                    {seed: RunDirectory(plan.run_path(contestant.name, seed)) for seed in plan.seeds})
    for task, recipe in recipes.items():
        for name in plan.names:
            for seed in plan.seeds:
                _check_finetuning(plan.finetune_path(name, seed, task), recipe, plan.finetune_seeds)


def _check_runs(declared: Curriculum, runs: dict[int, RunDirectory]) -> None:
    begun = {seed: (directory, old) for seed, directory in runs.items() if (old := directory.recorded()) is not None}
    facts = _facts(declared) if begun else {}  # the same for every seed
    for seed, (directory, old) in begun.items():
        curriculum = replace(declared, seed=seed)
        directory.check(curriculum, directory.stages(curriculum),
                        facts or {key: old[key] for key in FACTS if key in old})


def _facts(curriculum: Curriculum) -> dict[str, Any]:
    """Return what a run of the curriculum would record of its model and data; nothing where a store is gone."""
    sources = [*curriculum.corpora.values(), *curriculum.pairs.values()]
    if not all(Path(place, "manifest.json").exists() for source in sources
               for place in (source.path, source.dev) if place):
        return {}
    data = PretrainingData(curriculum)
    return data.facts(model_config(curriculum, data.tokenizer.size))


def _check_finetuning(output: Path, recipe: Recipe, seeds: int) -> None:
    file = output / "finetune.json"
    if not file.exists():
        return
    old, new = read_record(file), json.loads(json.dumps(recipe.to_dict()))
    known = [key for key in new if key in old and key not in OPEN]
    refuse_another_run(file, {key: old[key] for key in known}, {key: new[key] for key in known})
    if (done := finetuned(output)) > seeds:
        raise InputError(f"was made with --finetune-seeds {done}, now it is {seeds}: use another --output, or remove "
                         "this one", output)
