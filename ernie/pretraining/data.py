"""Everything a curriculum draws from: vocabulary, task declarations, corpora, pair stores. No paddle."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tasks as task_room
from ernie.model.config import ErnieConfig
from ernie.pretraining.curriculum import Curriculum
from reader.batches.batches import TURNS, Batches
from reader.batches.corpus import Corpus
from reader.store.store import Store
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.text import counted

DEV_SEED = 0x0DE5  # dev batches are the same in every run


class PretrainingData:
    """Tasks, stores and batches of a curriculum, loaded once."""

    def __init__(self, curriculum: Curriculum):
        self.curriculum = curriculum
        self.sentence_types: int | None = None  # of the model that reads the batches, once it is known
        self.tasks = {entry.name: task_room.load(entry.name, entry.options, curriculum.tasks_from)
                      for entry in curriculum.tasks}
        self.weights = {entry.name: self.tasks[entry.name].weight if entry.weight is None else entry.weight
                        for entry in curriculum.tasks}
        self.ids = {entry.name: number for number, entry in enumerate(curriculum.tasks)}
        untrained = {name for name, source in curriculum.pairs.items() if name not in self.tasks
                     and not all(Path(path, "manifest.json").exists() for path in (source.path, source.dev) if path)}
        sources = {name: source for name, source in {**curriculum.corpora, **curriculum.pairs}.items()
                   if name not in untrained}  # a task that is left out need not have its pairs built
        if not sources:
            raise InputError("corpora: a curriculum needs at least one", curriculum.name)
        self.stores = {name: Store(source.path) for name, source in sources.items()}
        self.dev_stores = {name: Store(source.dev) for name, source in sources.items() if source.dev}
        stores = [*self.stores.values(), *self.dev_stores.values()]
        for store in stores[1:]:
            if store.manifest["vocab_sha256"] != stores[0].manifest["vocab_sha256"]:
                raise InputError(f"was built with another vocabulary than {stores[0].path}", store.path)
        self.tokenizer = Tokenizer.load(stores[0].vocab_file, _lower_case(stores))
        self.vocab_file = stores[0].vocab_file
        for entry in curriculum.tasks:
            if self.tasks[entry.name].corrupts and entry.lm_weight != 1:
                raise InputError(f"task {entry.name}: lm_weight is for the batches of other tasks; set its weight")
        for name, task in self.tasks.items():  # classes that come with the data are known before heads are made
            if self.measurable([name]):
                task.bind(self.corpus(name, dev=True))
            measured = task.classes
            task.bind(self.corpus(name))
            if self.measurable([name]) and measured != task.classes[:len(measured)]:
                raise InputError(f"{name}: {_apart(measured, task.classes)}; a label would mean one thing in training "
                                 "and another on dev data", self.corpus(name, dev=True).stores[0].path)

    def facts(self, config: ErnieConfig) -> dict[str, Any]:
        """Return the facts that must be the same when the run is resumed."""
        fingerprints = {name: store.fingerprint for name, store in self.stores.items()}
        fingerprints.update({f"{name} (dev)": store.fingerprint for name, store in self.dev_stores.items()})
        return {"model": config.to_dict(), "vocabulary": next(iter(self.stores.values())).manifest["vocab_sha256"],
                "data": fingerprints, "classes": {name: list(task.classes) for name, task in self.tasks.items()}}

    def batches(self, name: str, stage_tasks: Iterable[str], cards: int, dev: bool = False) -> Batches:
        """Return the batches of task ``name``, with labels of the token-level ones of ``stage_tasks`` that train there.

        Which do is up to ``losses`` of the curriculum and ``lm_weight`` of the task.
        """
        curriculum, entry = self.curriculum, self.curriculum.task(name)
        token_tasks = [self.tasks[other] for other in stage_tasks if self.tasks[other].level == "token"
                       and (other == name or curriculum.losses == "all")]
        token_tasks = [task for task in token_tasks if task.name == name or entry.lm_weight or not task.corrupts]
        factors = {task.name: entry.lm_weight for task in token_tasks if task.corrupts and task.name != name}
        return Batches(self.tasks[name], token_tasks, self.corpus(name, dev), seed=DEV_SEED if dev else curriculum.seed,
                       task_id=self.ids[name], batch_tokens=curriculum.batch_tokens,
                       slices=curriculum.slices(cards), window=curriculum.dev_batches if dev else curriculum.window,
                       turns=1 if dev else TURNS, factors=factors, vocabulary=self.tokenizer,
                       sentence_types=self.sentence_types)

    def corpus(self, name: str, dev: bool = False) -> Corpus:
        """Return the corpus that a task draws from."""
        stores = self.dev_stores if dev else self.stores
        chosen = [key for key in self.curriculum.sources(name) if key in stores]
        sources = {**self.curriculum.corpora, **self.curriculum.pairs}
        weights = [weight for key in chosen if (weight := sources[key].weight) is not None]
        return Corpus([stores[key] for key in chosen], weights if len(weights) == len(chosen) else None,
                      max_length=self.curriculum.max_length)

    def measurable(self, names: Iterable[str]) -> list[str]:
        """List the tasks that have dev data to be measured on."""
        return [name for name in names if any(key in self.dev_stores for key in self.curriculum.sources(name))]

    def notes(self, names: Iterable[str]) -> list[str]:
        """List what a person should know of tasks and their corpora before training."""
        return [note for name in names for note in task_room.survey(self.tasks[name], self.corpus(name))]


def _lower_case(stores: list[Store]) -> bool:
    """Tell whether the stores hold texts in lower case; InputError where some say this and some that."""
    said = [store for store in stores if "lower_case" in store.manifest]  # those of Baidu's lists of ids do not
    odd = next((store for store in said if store.manifest["lower_case"] != said[0].manifest["lower_case"]), None)
    if odd is not None:
        ways = [("with capitals", "in lower case")[bool(store.manifest["lower_case"])] for store in (odd, said[0])]
        raise InputError(f"was built {ways[0]}, {said[0].path} {ways[1]}", odd.path)
    return bool(said[0].manifest["lower_case"]) if said else True


def _apart(dev: Sequence[str], train: Sequence[str]) -> str:
    """Say where the classes of dev data begin to differ from those that are trained on."""
    number = next((number for number, (one, other) in enumerate(zip(dev, train)) if one != other), None)
    if number is None:
        return f"the dev data have {counted(len(dev), 'class')}, the training data {len(train)}"
    return f"class {number} is {dev[number]!r} in the dev data and {train[number]!r} in the training data"
