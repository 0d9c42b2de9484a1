"""A pre-training stage, put together from its parts: tasks, corpora, model, optimiser, watchers; then trained."""
from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import paddle

import tasks as task_room
from ernie import checkpoint, distributed, evaluation, forgetting
from ernie.config import ErnieConfig
from ernie.curriculum import Curriculum
from ernie.declared_model import model_config
from ernie.model import PretrainingModel
from ernie.optimization import Updater
from ernie.precision import Precision
from ernie.rundir import RunDirectory, write_json
from ernie.schedule import Schedule
from ernie.stage_batches import StageBatches
from ernie.supervision import DIVERGED, STOPPED, StopSignals, Watchdog
from ernie.trainer import Trainer, TrainState
from ernie.visual import scalar_writer
from ernie.watchers import Checkpoints, Divergence, Evaluation, Log, SameOnAllRanks
from reader.batches import Batches
from reader.corpus import Corpus
from reader.errors import InputError
from reader.store import Store
from reader.tokenizer import Tokenizer

DEV_SEED = 0x0DE5  # dev batches are the same in every run


class Data:
    """Everything a curriculum draws from: vocabulary, task declarations, corpora, pair stores. No paddle."""

    def __init__(self, curriculum: Curriculum):
        self.curriculum = curriculum
        self.tasks = {entry.name: task_room.load(entry.name, entry.options, curriculum.tasks_from)
                      for entry in curriculum.tasks}
        self.weights = {entry.name: self.tasks[entry.name].weight if entry.weight is None else entry.weight
                        for entry in curriculum.tasks}
        self.ids = {entry.name: number for number, entry in enumerate(curriculum.tasks)}
        sources = {**curriculum.corpora, **curriculum.pairs}
        if not sources:
            raise InputError("corpora: a curriculum needs at least one", curriculum.name)
        self.stores = {name: Store(source.path) for name, source in sources.items()}
        self.dev_stores = {name: Store(source.dev) for name, source in sources.items() if source.dev}
        stores = [*self.stores.values(), *self.dev_stores.values()]
        for store in stores[1:]:
            if store.manifest["vocab_sha256"] != stores[0].manifest["vocab_sha256"]:
                raise InputError(f"was built with another vocabulary than {stores[0].path}", store.path)
        self.tokenizer = Tokenizer.load(stores[0].vocab_file)
        self.vocab_file = stores[0].vocab_file
        for name, task in self.tasks.items():  # classes that come with the data are known before heads are made
            task.bind(self.corpus(name))

    def facts(self, config: ErnieConfig) -> dict:
        """What a run must find again when it is resumed."""
        fingerprints = {name: store.fingerprint for name, store in self.stores.items()}
        fingerprints.update({f"{name} (dev)": store.fingerprint for name, store in self.dev_stores.items()})
        return {"model": config.to_dict(), "vocabulary": next(iter(self.stores.values())).manifest["vocab_sha256"],
                "data": fingerprints, "classes": {name: list(task.classes) for name, task in self.tasks.items()}}

    def batches(self, name: str, stage_tasks, cards: int, dev: bool = False) -> Batches:
        """The batches of task ``name``, with the token-level labels of all ``stage_tasks``."""
        curriculum = self.curriculum
        token_tasks = [self.tasks[other] for other in stage_tasks if self.tasks[other].level == "token"]
        return Batches(self.tasks[name], token_tasks, self.corpus(name, dev), seed=DEV_SEED if dev else curriculum.seed,
                       task_id=self.ids[name], batch_tokens=curriculum.batch_tokens,
                       slices=curriculum.slices(cards), window=1 if dev else curriculum.window,
                       vocabulary=self.tokenizer)

    def corpus(self, name: str, dev: bool = False) -> Corpus:
        """What a task draws from."""
        stores = self.dev_stores if dev else self.stores
        chosen = [key for key in self._source_names(name) if key in stores]
        sources = {**self.curriculum.corpora, **self.curriculum.pairs}
        return Corpus([stores[key] for key in chosen], [sources[key].weight for key in chosen],
                      max_length=self.curriculum.max_length)

    def measurable(self, names) -> list[str]:
        """The tasks that have dev data to be measured on."""
        return [name for name in names if any(key in self.dev_stores for key in self._source_names(name))]

    def _source_names(self, task: str) -> list[str]:
        return [task] if task in self.curriculum.pairs else \
            self.curriculum.task(task).corpora or list(self.curriculum.corpora)


def train_stage(curriculum: Curriculum, number: int, output, step_timeout: float | None = None) -> int:
    """Train stage ``number`` of the run in ``output``, from where it stands. Returns the exit code of the process."""
    signals = StopSignals()
    world = distributed.start()
    run = RunDirectory(output)
    say = print if world.main else (lambda *_: None)
    data = Data(curriculum)
    config = model_config(curriculum, data.tokenizer.size)
    stages = run.stages(curriculum)
    stage = stages[number - 1]
    lock = run.lock() if world.main else None
    if world.main:
        run.record(curriculum, stages, data.facts(config))
    distributed.barrier(world)
    with Watchdog(run.path / "alive", world.rank, f"stage {number}", step_timeout or curriculum.step_timeout,
                  signals.request) as watchdog:
        trainer, measure = _prepare(curriculum, run, stages, stage, data, config, world, signals, watchdog, say)
        reason = trainer.run()
        watchdog.close()
        if signals.received or reason == "asked to stop":
            say(f"stage {number}: stopped by {signals.received or 'another rank'} after step {trainer.state.step} of "
                f"{stage.steps}; start again to go on from there")
            return STOPPED
        if reason == Divergence.REASON:
            last = run.last_checkpoint(number, say)
            return watchdog.fail(DIVERGED, f"{trainer.state.bad_in_a_row} steps in a row were not finite; training "
                                           f"ends. The last good checkpoint is {last or 'that of the stage before'}")
        _finish(run, stage, trainer, measure(), data, world, say, reason or "finished")
    if lock:
        lock.close()
    return 0


def _prepare(curriculum, run, stages, stage, data, config, world, signals, watchdog, say):
    """(trainer, measure) of a stage: the model warm-started or resumed, and everything around it."""
    number, names = stage.number, list(stage.budgets)
    so_far = [task for task in data.tasks if any(task in s.budgets for s in stages[:number])]
    paddle.seed(curriculum.seed * 1000 + number)
    model = PretrainingModel(config, {name: data.tasks[name] for name in so_far})
    if hasattr(model.ernie.encoder, "recompute"):
        model.ernie.encoder.recompute = curriculum.recompute
    resumed = run.last_checkpoint(number, say)
    if not resumed:
        _warm_start(model, curriculum, run, number, data.vocab_file, say)
    settings = curriculum.optimizer
    precision = Precision(curriculum.precision, curriculum.amp_level, curriculum.loss_scaling)
    if precision.note:
        say(precision.note)
    schedule = Schedule(settings.schedule, settings.learning_rate, settings.warmup_steps, stage.steps)
    updater = Updater(model, settings, schedule, precision, world)
    state = _resume(updater, resumed, say) if resumed else TrainState()

    consumed = {name: sum(s.budgets.get(name, 0) for s in stages[:number - 1]) for name in names}
    batches = StageBatches(stage, curriculum.seed, {name: data.batches(name, names, world.size) for name in names},
                           consumed, world.rank, world.size)
    dev = {name: data.batches(name, [name], world.size, dev=True) for name in data.measurable(so_far)}

    def measure() -> dict:
        return evaluation.measure(updater.model, dev, curriculum.dev_batches, data.tasks, world)

    directory = run.stage_path(number)
    extra = {"ernie_config.json": json.dumps(config.to_dict(), indent=2),
             "vocab.txt": data.vocab_file.read_text("utf-8")}
    writer = checkpoint.CheckpointWriter(directory, curriculum.keep_checkpoints, extra)
    watchers = [Divergence(curriculum.max_bad_steps, f"stage {number}",
                           look=f"ernie inspect --run {run.path} --stage {number}"),
                Log(curriculum.log_every, directory / "log.jsonl", f"stage {number}/{len(stages)}  ",
                    sum(s.steps for s in stages[number:]),
                    also=scalar_writer(run.path / "visualdl" / f"stage-{number}") if world.main else None),
                SameOnAllRanks(curriculum.check_ranks_every)]
    if stage.until_converged:
        if not dev:
            raise InputError("until_converged needs dev data, and no corpus names any", curriculum.name)
        watchers.append(Evaluation(measure, stage.until_converged))
    watchers.append(Checkpoints(curriculum.checkpoint_every, writer))
    _announce(curriculum, stage, stages, state, updater, data, world, say)
    trainer = Trainer(updater, batches, {name: data.weights[name] for name in names}, stage.steps, state=state,
                      world=world, seed=curriculum.seed * 1000 + number, workers=curriculum.workers,
                      watchers=watchers, stop_requested=signals, beat=watchdog)
    return trainer, measure


def _warm_start(model, curriculum: Curriculum, run: RunDirectory, number: int, vocab, say) -> None:
    """Weights only: of the stage before, or of the checkpoint that the curriculum names."""
    if number == 1:
        if curriculum.init:
            from ernie.loading import load_pretrained
            say(load_pretrained(model, curriculum.init, vocab))
        return
    done = run.done(number - 1)
    if not done:
        raise InputError(f"stage {number} begins where stage {number - 1} ends, which is not finished", run.path)
    path = run.stage_path(number - 1) / done["checkpoint"]
    damage = checkpoint.check(path)
    if damage:
        raise InputError(f"the last checkpoint of stage {number - 1} is damaged: {damage}", path)
    weights = checkpoint.read(path).model
    own = model.state_dict()
    model.set_state_dict({**own, **{name: paddle.to_tensor(array) for name, array in weights.items() if name in own}})
    new = sorted({name.split(".")[1] for name in own if name not in weights and name.startswith("heads.")})
    say(f"stage {number} begins with the weights of {path}" + (f"; new head: {', '.join(new)}" if new else ""))


def _resume(updater: Updater, path: Path, say) -> TrainState:
    """Everything: weights, moments, schedule, loss scale, step."""
    found = checkpoint.read(path)
    updater.restore(found.model, found.optimizer)
    state = TrainState(**found.state)
    updater.precision.restore(state.scaler)
    say(f"resumes {path} at step {state.step}")
    return state


def _announce(curriculum, stage, stages, state, updater, data, world, say) -> None:
    budgets = ", ".join(f"{name} {count:,}" for name, count in stage.budgets.items())
    parameters = sum(int(np.prod(p.shape)) for p in updater.layer.parameters())
    say(f"stage {stage.number} of {len(stages)}: {budgets} iterations; {stage.steps:,} steps of "
        f"{curriculum.batch_tokens:,} tokens in {curriculum.slices(world.size)} micro-batches on {world.size} "
        f"process{'es' * (world.size > 1)}; {parameters:,} parameters, vocabulary {data.tokenizer.size:,}")


def _finish(run, stage, trainer, metrics, data, world, say, reason) -> None:
    """Dev metrics, the mark that the stage is over, and the table so far."""
    if not world.main:
        return
    directory = run.stage_path(stage.number)
    write_json(directory / "dev.json", metrics)
    write_json(directory / "done.json", {"checkpoint": f"{checkpoint.PREFIX}{trainer.state.step:08d}",
                                         "reason": reason, "step": trainer.state.step, "time": time.time(),
                                         "seconds": trainer.state.seconds, "tokens": trainer.state.tokens})
    stages = run.stages(data.curriculum)
    say(f"\nstage {stage.number} {reason} after {trainer.state.step:,} steps. Dev metrics of every task so far:")
    say(forgetting.table(forgetting.stage_metrics(run, stages), data.tokenizer.size))
    for name, values in metrics.items():
        if "groups" in values:
            say(f"  {name} by granularity: " + ", ".join(
                f"{group} {100 * v['accuracy']:.1f}% of {v['targets']}" for group, v in values["groups"].items()
                if v["targets"]))
