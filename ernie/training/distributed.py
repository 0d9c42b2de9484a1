"""fleet data parallelism, kept in one place: start, wrap, and the few collectives the trainer needs."""
from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.distributed import collective, fleet
from paddle.nn import Layer
from paddle.optimizer import Optimizer

from ernie.training import selftest
from ernie.utils.paddle_setup import quiet


@dataclass(frozen=True)
class World:
    """Rank of this process and number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Only this rank writes."""
        return self.rank == 0


def start(timeout: float = 1800.0, gradient_bucket_mb: int = 32) -> World:
    """Join the process group that the launcher describes in the environment; alone without one.

    Args:
        timeout: seconds after which Paddle itself gives a peer or a collective operation up. The watchdog ends a job
            earlier and names the rank; this is for what it cannot reach.
        gradient_bucket_mb: MiB of gradients that are summed over the ranks in one call, while the backward pass
            computes those of the layers below.
    """
    os.environ.setdefault("PADDLE_PG_TIMEOUT", str(int(1000 * (timeout + 120))))    # gloo and NCCL, in milliseconds
    os.environ.setdefault("FLAGS_stop_check_timeout", str(int(timeout + 120)))     # the store, in seconds
    selftest.check_device()
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) == 1:
        return World()
    strategy = fleet.DistributedStrategy()
    # A step trains the heads of its own tasks only. Paddle's search for the parameters that a loss does not reach ends
    # in an error under recompute, which hides parameters from it; ``with_zero_gradients`` gives them one instead.
    strategy.find_unused_parameters = False
    strategy.fuse_grad_size_in_MB = gradient_bucket_mb
    warnings.filterwarnings("ignore", message="Current global rank")  # said of every barrier on gloo
    with quiet(), _one_group_on_a_cpu():  # quiet: a list of flags that were set on purpose
        fleet.init(is_collective=True, strategy=strategy, log_level="WARNING")
    world = World(fleet.worker_index(), fleet.worker_num())
    selftest.check_collective(world.rank, world.size)
    return world


@contextlib.contextmanager
def _one_group_on_a_cpu() -> Iterator[None]:
    """Let fleet use the group of all ranks that Paddle has made, where it would make a second one of the same ranks.

    Two gloo groups write the ports of their sockets under the same keys of one store: a rank that is early reads a port
    of the first group, at which nobody listens any more, and the start ends with "Connection refused".
    """
    make = paddle.distributed.new_group

    def new_group(ranks: list[int] | None = None, *arguments: Any, **named: Any) -> Any:
        first = collective._get_default_group()
        return first if ranks is None or list(ranks) == first.ranks else make(ranks, *arguments, **named)

    if paddle.device.get_device() == "cpu":
        paddle.distributed.new_group = new_group
    try:
        yield
    finally:
        paddle.distributed.new_group = make


def make_deterministic() -> None:
    """Make the GPU add in a fixed order where it would add as threads arrive; CPUs do so anyway.

    The gradient of an embedding uses atomic additions otherwise, and cuDNN may choose kernels that do.
    """
    if paddle.is_compiled_with_cuda():
        paddle.set_flags({"FLAGS_embedding_deterministic": 1, "FLAGS_cudnn_deterministic": True})


def wrap(world: World, model: Layer, optimizer: Optimizer) -> tuple[Layer, Any]:
    """Return (model, optimizer) as fleet synchronises them; the same objects when there is one process."""
    if world.size == 1:
        return model, optimizer
    wrapped = fleet.distributed_model(model)
    # The reducer searches the graph behind the first forward pass once, and would take what is unused or recomputed in
    # that step for unused for ever. So its first pass is one that reaches every parameter, with gradients of zero.
    parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    everything = with_zero_gradients(paddle.to_tensor([0.0], stop_gradient=False), parameters)
    wrapped._reducer.prepare_for_backward([everything])
    everything.backward()
    for parameter in parameters:
        parameter.clear_gradient(False)
    return wrapped, fleet.distributed_optimizer(optimizer)


def unwrap(model: Layer) -> Layer:
    """Return the layer inside a data-parallel wrapper."""
    return getattr(model, "_layers", model)


def without_sync(model: Layer, last: bool) -> contextlib.AbstractContextManager:
    """Return a context in which gradients stay local, for all micro-batches but the last of a step."""
    return contextlib.nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()


class _WithZeroGradients(paddle.autograd.PyLayer):
    """The identity of a loss whose backward pass gives other parameters a gradient of zeros."""

    @staticmethod
    def forward(ctx, loss, *parameters):
        ctx.parameters = parameters
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient, *(paddle.zeros_like(parameter) for parameter in ctx.parameters))


def with_zero_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the same loss, from which ``parameters`` receive zeros: the all-reduce waits for every parameter."""
    return _WithZeroGradients.apply(loss, *parameters) if parameters else loss


def sum_over_ranks(world: World, values: np.ndarray) -> np.ndarray:
    """Return the element-wise sum of a small float64 array over all ranks."""
    if world.size == 1:
        return values
    tensor = paddle.to_tensor(values)
    paddle.distributed.all_reduce(tensor)
    return tensor.numpy()


def gather_values(world: World, values: np.ndarray) -> np.ndarray:
    """Return every rank's small float64 array [N], in rank order, as [ranks, N]."""
    if world.size == 1:
        return values[None]
    tensors: list[Tensor] = []
    paddle.distributed.all_gather(tensors, paddle.to_tensor(values))
    return np.stack([tensor.numpy() for tensor in tensors])


def begin_sum(world: World, values: np.ndarray) -> Callable[[], np.ndarray]:
    """Begin the element-wise sum of a small float64 array over all ranks; return what waits for it."""
    if world.size == 1:
        return lambda: values
    tensor = paddle.to_tensor(values)
    task = paddle.distributed.all_reduce(tensor, sync_op=False)

    def finish() -> np.ndarray:
        task.wait()
        return tensor.numpy()

    return finish


def gather(world: World, value: Any) -> list:
    """Return every rank's picklable ``value``, in rank order."""
    if world.size == 1:
        return [value]
    values: list = []
    paddle.distributed.all_gather_object(values, value)
    return values


def barrier(world: World) -> None:
    """Wait for every rank."""
    if world.size > 1:
        paddle.distributed.barrier()
