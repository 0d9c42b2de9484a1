"""float16 and bfloat16 training with paddle.amp: all of it.

O1 casts inside the operators that gain from it; O2 keeps float16 weights with float32 master weights in the optimiser.
The float16 loss is scaled by a factor that grows after a run of good steps and shrinks after overflows.
"""
from __future__ import annotations

import contextlib
from dataclasses import dataclass

import paddle


@dataclass
class LossScale:
    """Dynamic loss scaling (Micikevicius et al. 2018), by the rule of ``paddle.amp.GradScaler``.

    Ours, because the trainer knows from the gradient norm whether a step overflowed, and because Paddle's does nothing
    on a CPU, where this one can be tested.

    Args:
        settings: an ``ernie.pretraining.curriculum.LossScaling``. factor: what the loss is multiplied with now.
        good, bad: steps in a row that were finite, that were not.
    """

    settings: object
    factor: float
    good: int = 0
    bad: int = 0

    def update(self, finite: bool) -> None:
        """Learn how a step went."""
        settings = self.settings
        self.good, self.bad = (self.good + 1, 0) if finite else (0, self.bad + 1)
        if self.good == settings.increase_every:
            self.factor, self.good = self.factor * settings.increase_ratio, 0
        if self.bad == settings.decrease_every:
            self.factor, self.bad = max(1.0, self.factor * settings.decrease_ratio), 0


class Precision:
    """How a step computes. ``name``: fp32, fp16 or bf16; on a CPU it is always float32, and ``note`` says so.

    Args:
        level: "O1" or "O2". scaling: an ``ernie.pretraining.curriculum.LossScaling``.
    """

    def __init__(self, name: str, level: str, scaling):
        on_gpu = paddle.device.get_device().startswith("gpu")
        self.note = "" if name == "fp32" or on_gpu else f"precision: no GPU here, {name} is trained in float32"
        self.active = name != "fp32" and on_gpu
        self.level, self.dtype = level, {"fp16": "float16", "bf16": "bfloat16"}.get(name, "float32")
        self.scale = LossScale(scaling, scaling.initial) if self.active and name == "fp16" else None

    def prepare(self, model, optimizer):
        """(model, optimizer) with float16 weights and float32 master weights, in O2."""
        if not self.active or self.level != "O2":
            return model, optimizer
        return paddle.amp.decorate(models=model, optimizers=optimizer, level="O2", dtype=self.dtype,
                                   master_weight=True)

    def autocast(self):
        """The context of a forward pass."""
        if not self.active:
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level=self.level, dtype=self.dtype)

    @property
    def loss_scale(self) -> float:
        """The current factor; 1 when the loss is not scaled."""
        return self.scale.factor if self.scale else 1.0

    def update(self, finite: bool) -> None:
        """Let the factor follow how a step went."""
        if self.scale:
            self.scale.update(finite)

    def state(self) -> dict:
        """What a checkpoint keeps, as plain numbers."""
        return {"factor": self.scale.factor, "good": self.scale.good, "bad": self.scale.bad} if self.scale else {}

    def restore(self, state: dict) -> None:
        """Take back what ``state`` returned."""
        if state and self.scale:
            self.scale = LossScale(self.scale.settings, **state)
