"""A pre-training step (four losses, dropout, clipping, AdamW) beside transformers on torch and PaddleNLP.

    python benchmarks/peers/pretraining.py --shape base:8x128 --sides ours ours:bf16 transformers:bf16:masked

"masked": the masked-LM head on masked positions only, as ours; the peers ship it on every position. "bf16": torch's
autocast. "paddlenlp" has the threads given but Paddle's settings otherwise; "paddlenlp:tuned" has ours.
"""
from __future__ import annotations

import numpy as np
import paired

CLASSES = 33


def batch(shape: paired.Shape) -> dict[str, np.ndarray]:
    """Random tokens, 15 % of them masked, with a label for each of the four tasks."""
    rng, places = np.random.default_rng(0), shape.rows * shape.width
    masked = np.sort(rng.permutation(places)[:int(places * 0.15)])
    return {"ids": rng.integers(1000, shape.vocabulary, (shape.rows, shape.width)), "masked": masked,
            "words": rng.integers(1000, shape.vocabulary, len(masked)), "first": rng.integers(0, 2, places),
            "second": rng.integers(0, 2, places), "order": rng.integers(0, CLASSES, shape.rows)}


def ours(options: set[str], shape: paired.Shape):
    from types import SimpleNamespace

    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.model.config import ErnieConfig
    from ernie.model.pretraining_model import PretrainingModel
    from ernie.training.amp import Precision
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import LossScaling, OptimizerSettings, Schedule
    from ernie.training.trainer import Trainer, TrainState
    from reader.batches.examples import Batch, Targets
    tasks = {"words": SimpleNamespace(level="token", head="vocabulary", classes=()),
             "first": SimpleNamespace(level="token", head="classes", classes=range(2)),
             "second": SimpleNamespace(level="token", head="classes", classes=range(2)),
             "order": SimpleNamespace(level="sequence", head="classes", classes=range(CLASSES))}
    updater = Updater(PretrainingModel(ErnieConfig(**shape.config), tasks), OptimizerSettings(clip_norm=1.0),
                      Schedule("noam", 1e-4, 100, 10_000),
                      Precision("bf16" if "bf16" in options else "fp32", "O1", LossScaling()), World())
    updater.model.train()
    trainer = Trainer(updater, None, dict.fromkeys(tasks, 1.0), 10_000, state=TrainState(), world=World(), seed=1)
    made, every = batch(shape), np.arange(shape.rows * shape.width)
    places = {"words": made["masked"], "first": every, "second": every, "order": np.arange(shape.rows)}
    one = Batch("words", 0, made["ids"], np.zeros_like(made["ids"]), np.tile(np.arange(shape.width), (shape.rows, 1)),
                np.full(shape.rows, shape.width), {name: Targets(at, made[name]) for name, at in places.items()})
    counts = np.array([*(len(at) for at in places.values()), made["ids"].size], np.float64)
    return lambda: trainer.train_step([one], counts, 0.0)


def transformers(options: set[str], shape: paired.Shape):
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import BertConfig, BertForPreTraining
    model, heads = BertForPreTraining(BertConfig(**shape.config)), torch.nn.ModuleDict(
        {name: torch.nn.Linear(shape.hidden, classes) for name, classes in
         (("first", 2), ("second", 2), ("order", CLASSES))})
    model.train()
    made = {name: torch.tensor(array) for name, array in batch(shape).items()}
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def turn():
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options):
            found = model.bert(made["ids"])
            hidden = found.last_hidden_state.reshape(-1, shape.hidden)
            if "masked" in options:
                words = model.cls.predictions(hidden[made["masked"]])
            else:
                words = model.cls.predictions(hidden)[made["masked"]]
            scores = {"words": words, "first": heads["first"](hidden), "second": heads["second"](hidden),
                      "order": heads["order"](found.pooler_output)}
            loss = sum(cross_entropy(value.float(), made[name]) for name, value in scores.items())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()
    return turn


def paddlenlp(options: set[str], shape: paired.Shape):
    import zlib  # noqa: F401  (before paddle 2.6)

    import paddle
    from paddle.nn.functional import cross_entropy
    from paddlenlp.transformers import ErnieConfig, ErnieForPretraining
    model = ErnieForPretraining(ErnieConfig(**shape.config))
    heads = paddle.nn.LayerDict({name: paddle.nn.Linear(shape.hidden, classes) for name, classes in
                                 (("first", 2), ("second", 2), ("order", CLASSES))})
    model.train()
    made = {name: paddle.to_tensor(array) for name, array in batch(shape).items()}
    optimizer = paddle.optimizer.AdamW(1e-4, parameters=[*model.parameters(), *heads.parameters()],
                                       grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0))

    def turn():
        hidden, pooled = model.ernie(made["ids"])
        flat = hidden.reshape([-1, shape.hidden])
        masked = "tuned" in options
        words, _ = model.cls(hidden, pooled, made["masked"] if masked else None)
        if not masked:
            words = paddle.gather(words.reshape([-1, shape.vocabulary]), made["masked"])
        scores = {"words": words, "first": heads["first"](flat), "second": heads["second"](flat),
                  "order": heads["order"](pooled)}
        loss = sum(cross_entropy(value, made[name]) for name, value in scores.items())
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return loss.item()
    return turn


if __name__ == "__main__":
    paired.main(__doc__, {"ours": ours, "transformers": transformers, "paddlenlp": paddlenlp},
                ["ours", "ours:bf16", "transformers", "transformers:masked", "transformers:bf16",
                 "transformers:bf16:masked", "paddlenlp", "paddlenlp:tuned"], ["base:8x128"])
