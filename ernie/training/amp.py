"""float16 and bfloat16 training with paddle.amp: all of it.

O1 casts inside the operators that gain from it; O2 keeps float16 weights with float32 master weights in the optimiser.
The float16 loss is scaled by a factor that grows after a run of good steps and shrinks after overflows.
"""
from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

import paddle

from ernie.model import onednn
from ernie.model.cpu_kernels import bfloat16_products
from ernie.model.fused import FloatType
from ernie.training.settings import LossScaling

HALF: dict[str, FloatType] = {"fp16": "float16", "bf16": "bfloat16"}


@dataclass
class LossScale:
    """Dynamic loss scaling (Micikevicius et al. 2018), by the rule of ``paddle.amp.GradScaler``.

    Not Paddle's own class, because the trainer knows from the gradient norm whether a step overflowed, and because
    Paddle's does nothing on a CPU, where this one can be tested.

    Args:
        settings: the constants of the rule. factor: the number that the loss is multiplied with now.
        good, bad: steps in a row that were finite, and that were not.
    """

    settings: LossScaling
    factor: float
    good: int = 0
    bad: int = 0

    def update(self, finite: bool) -> None:
        """Raise the factor after enough finite steps in a row, lower it after enough others."""
        settings = self.settings
        self.good, self.bad = (self.good + 1, 0) if finite else (0, self.bad + 1)
        if self.good == settings.increase_every:
            self.factor, self.good = self.factor * settings.increase_ratio, 0
        if self.bad == settings.decrease_every:
            self.factor, self.bad = max(1.0, self.factor * settings.decrease_ratio), 0


def on_gpu() -> bool:
    """Return whether Paddle computes on a GPU."""
    return paddle.device.get_device().startswith("gpu")


class Precision:
    """The number format of a training step; ``note`` says what became of it on a CPU.

    There "bf16" takes products in bfloat16 (``ernie.model.bfloat16``) where oneDNN and the processor can, and is
    trained in float32 elsewhere, as "fp16" is.

    Args:
        name: "fp32", "fp16" or "bf16". level: "O1" or "O2". scaling: constants of the loss scale of float16.
    """

    def __init__(self, name: str, level: str, scaling: LossScaling):
        self.active = name in HALF and on_gpu()
        why = "" if self.active or name not in HALF else \
            onednn.unavailable() if name == "bf16" else "no GPU here"
        self.products = name == "bf16" and not self.active and not why
        self.note = f"precision: {why}, {name} is trained in float32" if why else \
            f"precision: products in bfloat16 by oneDNN {onednn.library().version}" if self.products else ""
        self.level: Literal["O1", "O2"] = "O2" if level == "O2" else "O1"
        self.dtype: FloatType = HALF.get(name, "float32")
        self.scale = LossScale(scaling, scaling.initial) if self.active and name == "fp16" else None

    @property
    def halves(self) -> bool:
        """Return whether the model's weights are held in half precision, with float32 master weights."""
        return self.active and self.level == "O2"

    def prepare(self, model: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer) -> tuple:
        """Return (model, optimizer); under O2 with half-precision weights and float32 master weights."""
        if not self.halves:
            return model, optimizer
        return paddle.amp.decorate(models=model, optimizers=optimizer, level="O2", dtype=self.dtype,
                                   master_weight=True)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Return the context of a forward pass, in training and in evaluation."""
        if self.products:
            return bfloat16_products()
        if not self.active:
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level=self.level, dtype=self.dtype)

    @property
    def loss_scale(self) -> float:
        """Return the number that the loss is multiplied with; 1 when it is not scaled."""
        return self.scale.factor if self.scale else 1.0

    def update(self, finite: bool) -> None:
        """Adapt the loss scale to a step whose gradients were ``finite`` or not."""
        if self.scale:
            self.scale.update(finite)

    def state(self) -> dict[str, float]:
        """Return plain numbers for a checkpoint; empty when the loss is not scaled."""
        return {"factor": self.scale.factor, "good": self.scale.good, "bad": self.scale.bad} if self.scale else {}

    def restore(self, state: dict) -> None:
        """Take back the result of ``state``."""
        if state and self.scale:
            self.scale = LossScale(self.scale.settings, state["factor"], int(state["good"]), int(state["bad"]))
