"""One optimiser step: scaled backward passes, unscale, clip by global norm, AdamW at the schedule's rate."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import paddle
from paddle import Tensor, _C_ops
from paddle.nn import Layer

from ernie.model.fused import FloatType, trial
from ernie.training import distributed
from ernie.training.amp import Precision
from ernie.training.settings import OptimizerSettings

MASTER = "_fp32_master_0"  # how Paddle marks the float32 twin of a float16 parameter, and the moments of it
CHUNK = 1 << 16            # elements that a block of Paddle's multi-tensor kernel takes


def decays(name: str) -> bool:
    """Tell whether weight decay applies to a parameter: not to biases and LayerNorm (Baidu's release)."""
    layer, _, last = name.rpartition(".")
    return not ("bias" in last or re.search(r"(^|[._])norm\d*$", layer))


def scale_rates(model: Layer, head_rate: float) -> None:
    """Multiply the learning rate of everything above the encoder's last layer: the pooler and the heads.

    Behind a released encoder they begin at random, while the encoder needs a rate that does not undo what it knows.
    """
    for name, parameter in model.named_parameters():
        if not name.startswith(("ernie.encoder.", "ernie.embeddings.")):
            parameter.optimize_attr["learning_rate"] *= head_rate


@dataclass(frozen=True)
class Outcome:
    """The result of a step. ``norm``: global gradient norm before clipping, NaN or Inf when the step was skipped.
    ``values``: the tensor that the caller wanted to be fetched.
    """

    stepped: bool
    norm: float
    values: np.ndarray


@dataclass
class Held:
    """State that AdamW keeps of a parameter. ``arrays``: first and second moment, powers of both betas, master weight.

    ``power``: that of beta2 when this was made. ``times``: how often the parameter has been stepped since.
    """

    decays: bool
    rate: float  # share of the learning rate
    arrays: tuple
    power: float
    times: int = 0


class GroupedAdamW(paddle.optimizer.AdamW):
    """Paddle's AdamW whose step is one call of ``fused_adam_`` for each group of parameters that are alike.

    The moments, their names and, on a CPU, the bits are those of Paddle's own step, which takes the parameters one by
    one, a few microseconds of host time each. It is still used for a parameter's first step, where Paddle creates the
    moments, and for all of them unless ``grouped``.
    """

    grouped = False

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._held: dict[str, Held] = {}

    def set_state_dict(self, state_dict: dict) -> None:
        """Take back moments and master weights."""
        super().set_state_dict(state_dict)
        self._held.clear()

    @paddle.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        parameters = cast("list[Tensor]", self._parameter_list)
        trained = [p for p in parameters if not p.stop_gradient and p._grad_ivar() is not None]
        if not self.grouped:
            super().step()
        elif all(p.name in self._held for p in trained):
            for members in self._groups(trained):
                self._step_group(members)
        else:
            super().step()
            for parameter in trained:
                self._held[parameter.name] = self._hold(parameter)

    def _hold(self, parameter: Tensor) -> Held:
        arrays = tuple(self._get_accumulator_master(name, parameter)
                       for name in ("moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"))
        decays = cast(Callable[[str], bool], self._apply_decay_param_fun)
        return Held(decays(parameter.name), parameter.optimize_attr["learning_rate"],
                    (*arrays, self._master_weights.get(parameter.name)), arrays[-1].item())

    def _groups(self, trained: Sequence[Tensor]) -> list[list[Tensor]]:
        """Part parameters by all that one call shares. On a GPU it takes the first member's powers of beta for all."""
        groups: dict[tuple, list[Tensor]] = {}
        for p in trained:
            held = self._held[p.name]
            groups.setdefault((held.decays, held.rate, held.power, held.times, p.dtype), []).append(p)
        return list(groups.values())

    def _step_group(self, members: list[Tensor]) -> None:
        held = [self._held[p.name] for p in members]
        moment1, moment2, power1, power2, masters = map(list, zip(*(each.arrays for each in held)))
        half = masters[0] is not None
        fused_adamw(masters if half else members, [cast(Tensor, p._grad_ivar()) for p in members],
                    self._create_param_lr((members[0], None)), moment1, moment2, power1, power2,
                    cast(float, self._beta1), cast(float, self._beta2), cast(float, self._epsilon),
                    self._weight_decay if held[0].decays else 0.0)
        if half:
            for parameter, master in zip(members, masters):
                round_into(parameter, master)
        for each in held:
            each.times += 1


def round_into(parameter: Tensor, master: Tensor) -> None:
    """Set a half-precision parameter to what it can hold of its float32 master weight."""
    _C_ops.assign_out_(master.astype(parameter.dtype), parameter)


def fused_adamw(parameters: list[Tensor], gradients: list[Tensor], rate: Tensor, moment1: list[Tensor],
                moment2: list[Tensor], power1: list[Tensor], power2: list[Tensor], beta1: float, beta2: float,
                epsilon: float, decay: float) -> None:
    """Update a list of parameters, their moments and powers of beta in one call; the two Paddles' signatures differ.

    All are float32: on a GPU the operator reads gradients as numbers of the parameters' type, whatever they are.
    """
    later = paddle.__version__ >= "3"  # there AMSGrad is an option, which has a third moment
    _C_ops.fused_adam_(
        parameters, gradients, rate, moment1, moment2, *([None] if later else []), power1, power2, None, None, beta1,
        beta2, epsilon, CHUNK, decay, True, False, False, *([False] if later else []))


def choose_update(optimizer: GroupedAdamW, dtype: FloatType) -> str:
    """Let the optimiser step in groups if that gives what Paddle's own step gives. Returns the reason if it does not.

    Args:
        dtype: of the weights; those in half precision have float32 master weights.
    """
    why = trial(lambda: update_trial(dtype), "float32")
    optimizer.grouped = not why
    return why


def update_trial(dtype: FloatType) -> list[tuple[Tensor, Tensor]]:
    """Return weights after four steps by Paddle's AdamW, and in groups of uneven sizes and different decays."""
    results = []
    for grouped in (False, True):
        rng, value = np.random.default_rng(0), paddle.nn.initializer.Constant(0.5)  # draws nothing from the generator
        parameters = [paddle.create_parameter(shape, dtype, default_initializer=value)
                      for shape in ([1, 33], [33], [7, 33], [250, 33])]
        optimizer = GroupedAdamW(0.01, 0.9, 0.98, parameters=parameters, weight_decay=0.1, multi_precision=True,
                                 apply_decay_param_fun={p.name for p in parameters[2:]}.__contains__)
        optimizer.grouped = grouped
        for _ in range(4):
            factors = [paddle.to_tensor(rng.normal(size=p.shape).astype(np.float32)) for p in parameters]
            paddle.add_n([(p.astype("float32") * factor).sum() for p, factor in zip(parameters, factors)]).backward()
            as_float32(parameters)
            optimizer.step()
            optimizer.clear_grad(set_to_zero=False)
        results.append([optimizer._master_weights.get(p.name, p).detach() for p in parameters])
    return list(zip(*results))


class Updater:
    """AdamW around a model, with everything between the loss and the new weights.

    Args:
        model: with fresh or loaded weights. schedule: update number (from 1) -> learning rate.
        kernels: "plain" steps parameter by parameter, anything else in groups where a trial allows it.

    Attributes:
        note: why the update is not the grouped one, or nothing.
    """

    def __init__(self, model: Layer, settings: OptimizerSettings, schedule: Callable[[int], float],
                 precision: Precision, world: distributed.World, kernels: str = "auto"):
        self.schedule, self.precision, self.clip_norm = schedule, precision, settings.clip_norm
        self.world = world
        if settings.head_rate != 1:
            scale_rates(model, settings.head_rate)
        decayed = {parameter.name for name, parameter in model.named_parameters() if decays(name)}
        optimizer = GroupedAdamW(
            learning_rate=schedule(1), beta1=settings.beta1, beta2=settings.beta2, epsilon=settings.epsilon,
            weight_decay=settings.weight_decay, parameters=model.parameters(),
            apply_decay_param_fun=decayed.__contains__)
        self.waiting: dict[str, np.ndarray] = {}  # restored moments of parameters that have not been stepped yet
        self.stepped = False  # since then
        self.fresh = {"moment1": 0.0, "moment2": 0.0, "beta1_pow_acc": settings.beta1, "beta2_pow_acc": settings.beta2}
        single = {name: value.numpy() for name, value in model.state_dict().items()} if precision.halves else {}
        self.layer, self.optimizer = precision.prepare(model, optimizer)
        self.model, self._synchronised = distributed.wrap(world, self.layer, self.optimizer)
        self.note = "" if kernels == "plain" else choose_update(optimizer, precision.dtype if single else "float32")
        self.names = {parameter.name: name for name, parameter in self.layer.named_parameters()}
        self.parameters = self.layer.parameters()
        if single:
            self.restore(single, {})  # or Paddle would make the master weights of what float16 leaves of them

    def backward(self, loss: Tensor, unused: Sequence[Tensor] = ()) -> None:
        """Add the gradients of a micro-batch.

        Args:
            unused: parameters that this loss does not reach; given with the micro-batch whose backward pass sums the
                gradients over the ranks, and again to ``step``.
        """
        scale = self.precision.loss_scale
        loss = distributed.with_zero_gradients(loss, unused if self.world.size > 1 else ())
        (loss if scale == 1 else loss * scale).backward()

    def step(self, update: int, values: Tensor | None = None, unused: Sequence[Tensor] = (),
             meanwhile: Callable[[], Any] | None = None) -> Outcome:
        """Apply the gradients as the ``update``-th update (from 1), or skip them all when one is not finite.

        Args:
            values: a float32 tensor that the caller wants to see; fetched together with the norm, because every
                fetch waits for the device.
            unused: parameters that no loss of this step reaches: neither they nor their moments change.
            meanwhile: what else waits for the device; called when all of the norm is queued there, right before the
                one fetch of a step.
        """
        self.optimizer.set_lr(self.schedule(update))
        for parameter in unused:
            parameter.clear_gradient(False)
        trained = [p for p in self.parameters if not p.stop_gradient and p._grad_ivar() is not None]
        as_float32(trained)
        gradients = [p._grad_ivar() for p in trained]
        square = sum_of_squares(gradients)
        wanted = square if values is None else paddle.concat([square, values.reshape([-1])])
        if meanwhile is not None:
            meanwhile()
        fetched = wanted.numpy()
        scale = self.precision.loss_scale
        norm = math.sqrt(fetched[0]) / scale  # of the gradients as they are without loss scaling
        finite = math.isfinite(norm)
        if finite:
            factor = self.clip_norm / (norm + 1e-6) if self.clip_norm and norm > self.clip_norm else 1.0
            if factor != 1 or scale != 1:
                with paddle.no_grad():
                    for gradient in gradients:
                        cast(Any, _C_ops).scale_(gradient, factor / scale, 0.0, True)  # unknown to Paddle's stubs
            self._synchronised.step()
            self.stepped = True
        self.precision.update(finite)
        self.discard()  # also: a head that the next step does not use must stay untouched
        return Outcome(finite, norm, fetched[1:] if values is None else fetched[1:].reshape(values.shape))

    def discard(self) -> None:
        """Drop the gradients that ``backward`` has added since the last step."""
        for parameter in self.parameters:
            parameter.clear_gradient(False)

    def weights(self) -> dict[str, np.ndarray]:
        """Return float32 weights under their structured names, for a checkpoint: master weights if there are any."""
        masters = self.optimizer.state_dict().get("master_weights", {})
        weights = {name: value.astype("float32").numpy() for name, value in self.layer.state_dict().items()}
        weights.update({self.names[key]: value.numpy() for key, value in masters.items()})
        return weights

    def state(self) -> dict[str, np.ndarray]:
        """Return the moments under the parameters' structured names, for a checkpoint.

        Paddle's optimiser gives only those of parameters that have been stepped since the process began; of the others
        we hand on what was restored.
        """
        if self.waiting and not self.stepped:
            return dict(self.waiting)
        arrays = {}
        for key, value in self.optimizer.state_dict().items():
            for moment in self.fresh:
                inner, found, _ = key.rpartition(f"_{moment}_")
                if found:
                    arrays[f"{moment}/{self.names[inner.replace(MASTER, '')]}"] = value.numpy()
        self.waiting = {name: array for name, array in self.waiting.items() if name not in arrays}
        return {**arrays, **self.waiting}

    def restore(self, weights: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
        """Take back what ``weights`` and ``state`` returned; what they do not name stays, with fresh moments."""
        own, state, masters = self.layer.state_dict(), {}, {}
        self.waiting, self.stepped = dict(arrays), False
        self.layer.set_state_dict({name: as_tensor(array, own[name].dtype) for name, array in weights.items()})
        for key, parameter in self.layer.named_parameters():  # state_dict names the weights of an LSTM twice
            inner = parameter.name
            if parameter.dtype != paddle.float32:
                master = paddle.to_tensor(weights[key]) if key in weights else parameter.astype("float32")
                masters[inner], inner = master, inner + MASTER
                master.name = inner
            for moment, value in self.fresh.items():
                array = arrays.get(f"{moment}/{key}")
                if array is None:
                    array = np.full([1] if moment.endswith("acc") else parameter.shape, value, np.float32)
                state[f"{inner}_{moment}_0"] = paddle.to_tensor(array)
        self.optimizer.set_state_dict({**state, "master_weights": masters} if masters else state)


def as_tensor(array: np.ndarray, dtype: Any) -> Tensor:
    """Return a tensor of another type than the array; numpy rounds to float16, where Paddle 2.6 cuts off on a CPU."""
    return paddle.to_tensor(array.astype(np.float16) if dtype == paddle.float16 else array).astype(dtype)


def as_float32(parameters: Sequence[Tensor]) -> None:
    """Cast the gradients of half-precision parameters to float32, in place.

    Without the loss scale most of them are subnormal numbers or zero in float16. Done once a step, after the last
    backward pass: what is accumulated, and summed over the ranks, stays as it was computed.
    """
    half = [p for p in parameters if p.grad is not None and p.grad.dtype != paddle.float32]
    if half:
        paddle.base.core.eager.set_master_grads(half)  # what ``paddle.amp.decorate(master_grad=True)`` calls


def sum_of_squares(gradients: Sequence[Tensor]) -> Tensor:
    """Return the sum over all gradients, which are float32, as a [1] tensor."""
    if not gradients:
        return paddle.zeros([1])
    return paddle.add_n([_C_ops.squared_l2_norm(gradient) for gradient in gradients]).reshape([1])
