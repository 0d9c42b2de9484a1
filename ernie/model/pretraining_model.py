"""The pre-training model: one encoder pass, as many losses as the batch has targets. It knows no concrete task."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ernie.model.config import ErnieConfig
from ernie.model.cpu_kernels import from_numpy
from ernie.model.encoder import Encoder
from ernie.model.heads import DenseHead, PredictionHeads
from reader.batches.examples import Batch
from reader.utils.labels import IGNORE


class PretrainingModel(nn.Layer):
    """The shared encoder with a head for each task.

    Args:
        config: sizes.
        tasks: name -> an object with ``level`` ("token" or "sequence"), ``head`` ("vocabulary" or "classes") and
            ``classes`` (their names; unused by a vocabulary head).
    """

    def __init__(self, config: ErnieConfig, tasks: dict):
        super().__init__()
        self.levels = {name: task.level for name, task in tasks.items()}
        self.vocabulary_tasks = {name for name, task in tasks.items() if task.head == "vocabulary"}
        self.ernie = Encoder(config)
        if self.vocabulary_tasks:
            self.cls = PredictionHeads(config)
        self.heads = nn.LayerDict({name: DenseHead(config, len(task.classes)) for name, task in tasks.items()
                                   if name not in self.vocabulary_tasks})

    def unused(self, names: Collection[str]) -> list[Tensor]:
        """Return what the losses of the tasks in ``names`` do not reach: other heads, and perhaps the pooler."""
        layers = [head for name, head in self.heads.items() if name not in names]
        if self.vocabulary_tasks and self.vocabulary_tasks.isdisjoint(names):
            layers.append(self.cls)
        if all(self.levels[name] != "sequence" for name in names):
            layers.append(self.ernie.pooler)
        return [parameter for layer in layers for parameter in layer.parameters()]

    def logits(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
               task_ids: Tensor, targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Compute the scores [k, classes] of every task in ``targets``, in the order of its positions."""
        hidden, pooled = self.ernie(token_ids, token_type_ids, position_ids, lengths, task_ids)
        flat = hidden.reshape([-1, hidden.shape[-1]])
        scores = {}
        for name, (positions, _) in targets.items():
            gathered = paddle.gather(pooled if self.levels[name] == "sequence" else flat, positions)
            if name in self.vocabulary_tasks:
                scores[name] = self.cls.predictions(gathered, self.ernie.embeddings.word_embeddings.weight)
            else:
                scores[name] = self.heads[name](gathered)
        return scores

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor,
                targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return {name: (sum of losses, correct predictions, targets)}, three scalars: sums, so that the trainer can
        normalise by counts over all micro-batches and ranks. Takes what ``to_tensors`` gives.
        """
        scores = self.logits(token_ids, token_type_ids, position_ids, lengths, task_ids, targets)
        result = {}
        for name, logits in scores.items():
            labels = targets[name][1]
            logits = logits.astype("float32")
            loss = F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORE)
            result[name] = loss, (logits.argmax(-1) == labels).sum(), (labels != IGNORE).sum()
        return result

    def score(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
              task_ids: Tensor, targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return {name: (loss [k] float32, right [k] bool)} in numpy, target by target: for metrics by group. No
        gradient.
        """
        with paddle.no_grad():
            scores = self.logits(token_ids, token_type_ids, position_ids, lengths, task_ids, targets)
            result = {}
            for name, logits in scores.items():
                labels, logits = targets[name][1], logits.astype("float32")
                losses = F.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORE)
                kept = (labels != IGNORE).numpy()
                result[name] = losses.numpy().reshape(-1)[kept], (logits.argmax(-1) == labels).numpy()[kept]
        return result


def to_tensors(batch: Batch) -> dict[str, Any]:
    """Return the arguments of a model's ``forward`` from a batch.

    A task without a target gets one that is ignored: its loss is 0, and its head still takes part in the graph.
    """
    targets = {}
    for name, target in batch.targets.items():
        empty = len(target.positions) == 0
        positions, labels = target.positions, target.labels
        if empty:
            positions = np.zeros((1, *positions.shape[1:]), np.int64)
            labels = np.full((1, *labels.shape[1:]), np.nan if labels.dtype.kind == "f" else IGNORE, labels.dtype)
        targets[name] = _tensor(positions), _tensor(labels, np.float32 if labels.dtype.kind == "f" else np.int64)
    return {"token_ids": _tensor(batch.token_ids), "token_type_ids": _tensor(batch.token_type_ids),
            "position_ids": _tensor(batch.position_ids), "lengths": _tensor(batch.lengths),
            "task_ids": _tensor(np.full((len(batch.token_ids), 1), batch.task_id)), "targets": targets}


def _tensor(array: np.ndarray, dtype=np.int64):
    return from_numpy(np.ascontiguousarray(array, dtype))
