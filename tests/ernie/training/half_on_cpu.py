"""Half-precision O2 training on a CPU, as far as that goes.

    python -m tests.ernie.training.half_on_cpu pretrain --config ... --set precision=fp16     # or under a launcher

Real: ``paddle.amp`` (decorate, autocast with its lists), weights and gradients held in float16, their accumulation and
their sum over gloo ranks, the project's loss scale, update and checkpoints, Paddle's float32 AdamW kernel on the master
weights. Not real: Paddle's CPU operators compute in float32 what a GPU computes in float16, and on Paddle 2.6 a cast to
float16 on a CPU cuts off instead of rounding.
"""
from __future__ import annotations

import sys
import zlib  # noqa: F401  (before paddle)
from types import SimpleNamespace

import numpy as np
import paddle
from paddle.optimizer import adamw

from ernie.model import cpu_kernels
from ernie.training import amp, optimizer

PLACE = SimpleNamespace(is_gpu_place=lambda: True, is_xpu_place=lambda: False, is_custom_place=lambda: False)


class Tracer:
    """Paddle's tracer, which says that it computes on a GPU; ``paddle.amp`` does nothing on a CPU."""

    def __init__(self, tracer):
        self.__dict__["tracer"] = tracer

    def __getattr__(self, name):
        return PLACE if name == "_expected_place" else getattr(self.tracer, name)

    def __setattr__(self, name, value):
        setattr(self.tracer, name, value)


def round_into(weight, master) -> None:
    """Set a half-precision weight to what it holds of its master: numpy rounds to float16, whatever Paddle it is."""
    half = weight.dtype == paddle.float16
    weight.set_value(master.numpy().astype(np.float16) if half else master.astype(weight.dtype))


class Operators:
    """Paddle's operators; ``adamw_`` updates float32 master weights with the float32 kernel and casts them."""

    def __init__(self, operators):
        self.operators = operators

    def __getattr__(self, name):
        return self.adamw_ if name == "adamw_" else getattr(self.operators, name)

    def adamw_(self, weight, gradient, *rest):
        first = 4 if paddle.__version__ < "3" else 5  # 3.x has a maximum of second moments in between
        states, (master, found, *options) = rest[:first + 1], rest[first + 1:]
        if master is None:
            return self.operators.adamw_(weight, gradient, *rest)
        options[-2] = False  # multi_precision: the master is the weight here
        result = self.operators.adamw_(master, gradient.astype("float32"), *states, None, found, *options)
        round_into(weight, master)
        return result


def install(patch=setattr) -> None:
    """Let the project and ``paddle.amp`` do here what they do on a GPU. ``patch``: as ``monkeypatch.setattr``."""
    module = sys.modules["paddle.amp.auto_cast"]
    real = module._dygraph_tracer
    patch(module, "_dygraph_tracer", lambda: Tracer(real()))
    patch(module, "_is_gpu_float16_supported", lambda: True)
    patch(module, "_is_gpu_bfloat16_supported", lambda: True)
    patch(adamw, "_C_ops", Operators(adamw._C_ops))
    patch(optimizer, "round_into", round_into)
    patch(amp, "on_gpu", lambda: True)
    patch(cpu_kernels, "eager_on_cpu", lambda: False)


if __name__ == "__main__":
    from ernie.cli import main
    install()
    sys.exit(main())
