"""float16 and bfloat16 training with paddle.amp: all of it.

O1 casts inside the operators that gain from it; O2 keeps float16 weights with float32 master weights in the optimiser.
The loss is scaled by a factor that doubles after a run of good steps and shrinks after overflows.
"""
from __future__ import annotations

import contextlib

import contextlib

import paddle


class Precision:
    """How a step computes. ``name``: fp32, fp16 or bf16; on a CPU it is always float32, and ``note`` says so.

    Args:
        level: "O1" or "O2". scaling: an ``ernie.curriculum.LossScaling``.
    """

    def __init__(self, name: str, level: str, scaling):
        on_gpu = paddle.device.get_device().startswith("gpu")
        self.note = "" if name == "fp32" or on_gpu else f"precision: no GPU here, {name} is trained in float32"
        self.active = name != "fp32" and on_gpu
        self.level, self.dtype = level, {"fp16": "float16", "bf16": "bfloat16"}.get(name, "float32")
        self.scaler = paddle.amp.GradScaler(
            enable=self.active and name == "fp16", init_loss_scaling=scaling.initial,
            incr_every_n_steps=scaling.increase_every, incr_ratio=scaling.increase_ratio,
            decr_every_n_nan_or_inf=scaling.decrease_every, decr_ratio=scaling.decrease_ratio)

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
        if not self.scaler.is_enable():
            return 1.0
        return float(self.scaler.state_dict()["scale"].item())

    def state(self) -> dict:
        """What a checkpoint keeps, as plain numbers."""
        if not self.scaler.is_enable():
            return {}
        return {key: value.item() if hasattr(value, "item") else value
                for key, value in self.scaler.state_dict().items()}

    def restore(self, state: dict) -> None:
        """Take back what ``state`` returned."""
        if state and self.scaler.is_enable():
            state = dict(state, scale=paddle.to_tensor([state["scale"]], dtype="float32").numpy())
            self.scaler.load_state_dict(state)
