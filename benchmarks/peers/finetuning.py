"""A fine-tuning step (classification of texts, dropout, clipping, AdamW) beside transformers on torch and PaddleNLP.

    python benchmarks/peers/finetuning.py --shape minilm:32x32 minilm:8x128

"bf16": products in bfloat16 (ours) and torch's autocast.
"""
from __future__ import annotations

import numpy as np
import paired


def batch(shape: paired.Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, lengths, labels) of random rows."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, shape.width + 1, shape.rows) if shape.mixed else np.full(shape.rows, shape.width)
    ids = rng.integers(1000, shape.vocabulary, (shape.rows, lengths.max()))
    return ids * (np.arange(lengths.max()) < lengths[:, None]), lengths, rng.integers(0, 2, shape.rows)


def ours(options: set[str], shape: paired.Shape):
    from types import SimpleNamespace

    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.model.config import ErnieConfig
    from ernie.model.finetuning_model import FinetuningModel
    from ernie.training.amp import Precision
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import LossScaling, OptimizerSettings, Schedule
    from ernie.training.trainer import Trainer, TrainState
    from reader.batches.examples import Batch, Targets
    kind = SimpleNamespace(name="task", level="sequence", loss="cross_entropy", outputs=2)
    updater = Updater(FinetuningModel(ErnieConfig(**shape.config, use_task_id=False, task_type_vocab_size=0), kind),
                      OptimizerSettings(clip_norm=1.0), Schedule("noam", 1e-5, 100, 10_000),
                      Precision("bf16" if "bf16" in options else "fp32", "O1", LossScaling()), World())
    updater.model.train()
    trainer = Trainer(updater, None, {"task": 1.0}, 10_000, state=TrainState(), world=World(), seed=1)
    ids, lengths, labels = batch(shape)
    one = Batch("task", 0, ids, np.zeros_like(ids), np.tile(np.arange(ids.shape[1]), (shape.rows, 1)), lengths,
                {"task": Targets(np.arange(shape.rows), labels)})
    counts = np.array([shape.rows, lengths.sum()], np.float64)
    return lambda: trainer.train_step([one], counts, 0.0)


def transformers(options: set[str], shape: paired.Shape):
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    model = BertForSequenceClassification(BertConfig(**shape.config))
    model.train()
    ids, lengths, labels = map(torch.tensor, batch(shape))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def turn():
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options):
            loss = model(ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()
    return turn


def paddlenlp(options: set[str], shape: paired.Shape):
    import zlib  # noqa: F401  (before paddle 2.6)

    import paddle
    from paddlenlp.transformers import ErnieConfig, ErnieForSequenceClassification
    model = ErnieForSequenceClassification(ErnieConfig(**shape.config))
    model.train()
    ids, lengths, labels = map(paddle.to_tensor, batch(shape))
    mask = (paddle.arange(ids.shape[1]) < lengths.unsqueeze(1)).astype("int64")
    optimizer = paddle.optimizer.AdamW(1e-5, parameters=model.parameters(),
                                       grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0))

    def turn():
        loss = paddle.nn.functional.cross_entropy(model(ids, attention_mask=mask), labels)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return loss.item()
    return turn


if __name__ == "__main__":
    paired.main(__doc__, {"ours": ours, "transformers": transformers, "paddlenlp": paddlenlp},
                ["ours", "ours:bf16", "transformers", "transformers:bf16", "paddlenlp", "paddlenlp:tuned"],
                ["minilm:32x32", "minilm:8x128"])
