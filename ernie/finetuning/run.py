"""Fine-tuning: a recipe, a checkpoint and labelled files to trained models, predictions and figures.

    <output>/finetune.json            what was started; a resume with anything else is refused
    <output>/result.json              figures over all seeds
    <output>/seed-<n>/                step-<k>/ for resuming, best/ the model to use, log.jsonl, <split>.tsv predictions
"""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ernie.finetuning.data import FinetuningData, Split, Start, find_start, fingerprint
from ernie.finetuning.predictor import find_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.seed import Material, SeedTraining
from ernie.finetuning.summary import summed_up
from ernie.finetuning.watcher import Watcher
from ernie.training.run import Run
from ernie.utils.records import refuse_another_run
from reader.utils.files import write_json

# what may change between two launches without changing what is computed
FREE = ("seed", "log_every", "checkpoint_every", "start_timeout", "step_timeout", "micro_batch_tokens", "recompute",
        "deterministic", "predict_batch_tokens", "max_bad_steps", "workers", "check_ranks_every")


class FinetuningRun:
    """Everything that the seeds of one fine-tuning run share.

    Args:
        run: the process. recipe: what to do. directory: the data.
        watcher: what is said. init, model, vocab, size: see ``ernie.finetuning.data.find_start``.
    """

    def __init__(self, run: Run, recipe: Recipe, directory: str | Path, *, watcher: Watcher | None = None,
                 init: str | Path | None = None, size: str = "base", model: str | Path | None = None,
                 vocab: str | Path | None = None):
        self.watcher = watcher or Watcher(run.say)
        self.run, self.recipe, self.world, self.output, self.say = run, recipe, run.world, run.directory, run.say
        self.data = FinetuningData(recipe, directory, self.say)
        if self.world.main:  # first alone, in case a vocabulary has to be learnt
            self.start = self._find_start(init, size, model, vocab)
        run.barrier()
        if not self.world.main:
            self.start = self._find_start(init, size, model, vocab)
        train = self._split("train", required=True, keep_rows=False)
        assert train is not None  # required
        self.material = Material(self.data, self.start, train, self._splits(recipe.splits("dev")),
                                 self._splits(recipe.splits("test")))
        if not self.material.measured:
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
                 "training data": fingerprint(self.material.train_data.features),
                 "classes": list(self.data.classes.names),
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
        """Train with ``count`` different seeds, one after the other; seeds that are done are not trained again.

        Returns the exit code of the process. The figures are those of all seeds that this output holds.
        """
        for seed in range(self.recipe.seed, self.recipe.seed + count):
            directory = self.output / f"seed-{seed}"
            if not (directory / "result.json").exists():
                code = self.run.train(SeedTraining(self.run, self.recipe, self.material, self.watcher, seed, directory))
                if code:
                    return code
        if self.world.main:
            files = sorted(self.output.glob("seed-*/result.json"), key=lambda file: int(file.parent.name[5:]))
            results = [json.loads(file.read_text("utf-8")) for file in files]
            if len(results) > count:
                self.say(f"figures over all {len(results)} seeds of this output: "
                         + ", ".join(str(result["seed"]) for result in results))
            summary = summed_up(self.recipe, results, json.loads((self.output / "finetune.json").read_text())["size"])
            write_json(self.output / "result.json", summary)
            self.say("\n" + summary["text"])
            self.say(f"model: {find_model(self.output)}")
        return 0


def train(recipe: Recipe, directory: str | Path, output: str | Path | Callable[[], Path], seeds: int = 1, *,
          marks: Path | None = None, **start: Any) -> int:
    """Fine-tune with ``seeds`` different seeds. Returns the exit code of the process.

    Args:
        directory: the data. output: the run directory, or a function that finds it. marks: see ``Run``.
        start: init, size, model, vocab: see ``ernie.finetuning.data.find_start``.
    """
    with Run(output, start_timeout=recipe.start_timeout, step_timeout=recipe.step_timeout, marks=marks) as run:
        return FinetuningRun(run, recipe, directory, **start).seeds(seeds)
