"""One optimiser step: scaled backward passes, unscale, clip by global norm, AdamW at the schedule's rate."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import paddle

from ernie import distributed
from ernie.precision import Precision

MOMENTS = ("moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc")


def decays(name: str) -> bool:
    """Whether weight decay applies to a parameter: not to biases and LayerNorm (Baidu's release)."""
    return not (name.endswith("bias") or "norm" in name)


@dataclass(frozen=True)
class Outcome:
    """What a step did. ``norm``: global gradient norm before clipping, NaN or Inf when it was skipped."""

    stepped: bool
    norm: float


class Updater:
    """AdamW around a model, with everything between the loss and the new weights.

    Args:
        settings: an ``ernie.curriculum.OptimizerSettings``.
        schedule: update number (from 1) -> learning rate.
    """

    def __init__(self, model, settings, schedule, precision: Precision, world: distributed.World):
        self.schedule, self.precision, self.clip_norm = schedule, precision, settings.clip_norm
        decayed = {parameter.name for name, parameter in model.named_parameters() if decays(name)}
        optimizer = paddle.optimizer.AdamW(
            learning_rate=schedule(1), beta1=settings.beta1, beta2=settings.beta2, epsilon=settings.epsilon,
            weight_decay=settings.weight_decay, parameters=model.parameters(),
            apply_decay_param_fun=decayed.__contains__)
        self.layer, self.optimizer = precision.prepare(model, optimizer)
        self.model, self._synchronised = distributed.wrap(world, self.layer, self.optimizer)
        self.names = {parameter.name: name for name, parameter in self.layer.named_parameters()}

    def backward(self, loss) -> None:
        """Add the gradients of a micro-batch."""
        self.precision.scaler.scale(loss).backward()

    def step(self, update: int) -> Outcome:
        """Apply the gradients as the ``update``-th update (from 1), or skip them all when one is not finite."""
        self.optimizer.set_lr(self.schedule(update))
        scaler = self.precision.scaler
        if scaler.is_enable():
            scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.layer.parameters() if p.grad is not None and not p.stop_gradient]
        norm = global_norm(gradients)
        finite = math.isfinite(norm)
        if finite and self.clip_norm and norm > self.clip_norm:
            with paddle.no_grad():
                for gradient in gradients:
                    gradient.scale_(self.clip_norm / (norm + 1e-6))
        if scaler.is_enable():
            scaler.step(self._synchronised)
            scaler.update()
        elif finite:
            self._synchronised.step()
        self.optimizer.clear_grad(set_to_zero=False)  # a head that the next step does not use must stay untouched
        return Outcome(finite, norm)

    def state(self) -> dict[str, np.ndarray]:
        """Moments (and master weights) under the parameters' structured names, for a checkpoint."""
        arrays = {}
        for key, value in self.optimizer.state_dict().items():
            if key == "master_weights":
                arrays.update({f"master/{self.names[name]}": tensor.numpy() for name, tensor in value.items()})
                continue
            for moment in MOMENTS:
                name, found, _ = key.rpartition(f"_{moment}_")
                if found and name in self.names:
                    arrays[f"{moment}/{self.names[name]}"] = value.numpy()
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what ``state`` returned; parameters it does not name start with fresh moments."""
        inner = {name: key for key, name in self.names.items()}
        state = self.optimizer.state_dict()
        masters = {}
        for key, array in arrays.items():
            kind, name = key.split("/", 1)
            if kind == "master":
                masters[inner[name]] = paddle.to_tensor(array)
            else:
                state[f"{inner[name]}_{kind}_0"] = paddle.to_tensor(array)
        if masters:
            state["master_weights"] = masters
        self.optimizer.set_state_dict(state)


def global_norm(gradients) -> float:
    """Square root of the sum of squares over all gradients, in float32."""
    if not gradients:
        return 0.0
    squares = [paddle.sum(paddle.square(gradient.astype("float32"))) for gradient in gradients]
    return math.sqrt(total) if (total := float(paddle.add_n(squares).item())) >= 0 else total
