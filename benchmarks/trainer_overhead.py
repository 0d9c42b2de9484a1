"""What the trainer costs: its tokens a second against a bare loop of the same model on the same batches, and how long
it waits for data. The two take turns step by step, so that a busy machine is busy for both.

    OMP_NUM_THREADS=2 python benchmarks/trainer_overhead.py --config configs/curriculum/demo_en.yaml --corpus store
    ... --set model=configs/model/base_en.json --set batch_tokens=1024 --set micro_batch_tokens=1024 --steps 6
"""
import argparse
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from ernie.commands import common
from ernie.pretraining.stage_sampler import StageBatches
from ernie.pretraining.stages import stages_of
from ernie.utils.paddle_setup import import_paddle
from reader.batches.loader import prefetch

# Paddle is imported inside the functions: batch workers import this file, too.


class BareLoop:
    """The least that trains: forward, backward, clip, AdamW, and one look at the loss."""

    def __init__(self, model):
        import paddle

        self.model = model
        clip = paddle.nn.ClipGradByGlobalNorm(1.0)
        self.optimizer = paddle.optimizer.AdamW(1e-4, parameters=model.parameters(), grad_clip=clip)

    def step(self, micro_batches) -> None:
        from ernie.model.pretraining_model import to_tensors

        total = 0
        for batch in micro_batches:
            losses = self.model(**to_tensors(batch))
            loss = sum(value / max(1, len(batch.targets[name].labels)) for name, (value, _, _) in losses.items())
            loss.backward()
            total = total + loss.detach()
        self.optimizer.step()
        self.optimizer.clear_grad(set_to_zero=False)
        total.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_run_arguments(parser, output=False)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    import_paddle()
    from ernie.model.pretraining_model import PretrainingModel
    from ernie.pretraining.data import PretrainingData
    from ernie.pretraining.model_config import model_config

    curriculum = common.read_curriculum(args)
    data = PretrainingData(curriculum)
    config = model_config(curriculum, data.tokenizer.size)
    stage = max(stages_of(curriculum), key=lambda one: len(one.budgets))
    names = list(stage.budgets)
    source = StageBatches(stage, curriculum.seed, {name: data.batches(name, names, 1) for name in names}, {})
    steps = [source.at(step) for step in range(args.steps + 2)]
    trainer = _trainer(curriculum, config, data, names, steps, tempfile.mkdtemp())
    bare = BareLoop(PretrainingModel(config, {name: data.tasks[name] for name in names}))
    seconds = {"trainer": [], "bare": []}
    for number, micro_batches in enumerate(steps):
        for name in ("bare", "trainer") if number % 2 else ("trainer", "bare"):
            begun = time.perf_counter()
            if name == "bare":
                bare.step(micro_batches)
            else:
                result = trainer.train_step(micro_batches, trainer.agree(trainer.ask(iter([micro_batches]))), 0.0)
                for callback in trainer.callbacks:
                    callback.after_step(trainer, result)
            seconds[name].append(time.perf_counter() - begun)
    ratio = np.median(np.array(seconds["bare"][2:]) / np.array(seconds["trainer"][2:]))
    tokens = np.mean([sum(batch.tokens for batch in step) for step in steps])
    for name, taken in seconds.items():
        print(f"{name:8}{np.median(taken[2:]):8.3f} s a step {tokens / np.median(taken[2:]):10,.0f} tokens/s",
              file=sys.stderr)
    print(f"trainer / bare loop, median over {args.steps} pairs of steps: {ratio:.3f}")
    print(f"data wait with {curriculum.workers} workers: {100 * _data_wait(trainer, source, curriculum, steps):.2f} %")


def _trainer(curriculum, config, data, names, steps, directory):
    """The trainer with the callbacks of a real run but for checkpoints."""
    from ernie.model.pretraining_model import PretrainingModel
    from ernie.training.amp import Precision
    from ernie.training.callbacks import Divergence, Log, SameOnAllRanks
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import Schedule
    from ernie.training.trainer import Trainer, TrainState

    settings, world = curriculum.optimizer, World()
    model = PretrainingModel(config, {name: data.tasks[name] for name in names})
    updater = Updater(model, settings, Schedule("noam", 1e-4, 10, len(steps)),
                      Precision("fp32", "O1", curriculum.loss_scaling), world)
    trainer = Trainer(updater, None, {name: data.weights[name] for name in names}, 10 ** 9, state=TrainState(),
                      world=world, seed=1, callbacks=[Divergence(10, "stage"), SameOnAllRanks(100),
                                                     Log(curriculum.log_every, Path(directory) / "log.jsonl")])
    for callback in trainer.callbacks:
        callback.start(trainer)
    return trainer


def _data_wait(trainer, source, curriculum, steps) -> float:
    """Share of the time that is spent waiting for workers, after the first two batches."""
    waits, total = 0.0, 0.0
    with closing(prefetch(source.at, range(len(steps)), curriculum.workers)) as stream:
        begun = time.perf_counter()
        for number, micro_batches in enumerate(stream):
            arrived = time.perf_counter()
            trainer.train_step(micro_batches, trainer.agree(trainer.ask(iter([micro_batches]))), arrived - begun)
            ended = time.perf_counter()
            if number >= 2:
                waits, total = waits + arrived - begun, total + ended - begun
            begun = ended
    return waits / total


if __name__ == "__main__":
    main()
