"""Self-test of a rank on its own device before it trains, so that what is missing is named in one line.

Paddle's ``paddle.utils.run_check`` says "works well" on a card that it has no machine code for; only a kernel whose
result is looked at is evidence.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
import paddle

from ernie.utils.console import LOG, show_log
from reader.utils.errors import InputError

PADDLE = "see docs/gpu.md for which Paddle runs on which card"
WHEELS = ("the paddlepaddle-gpu 2.6.2 of the package index has machine code for compute capability 6.1, 7.0, 7.5, 8.0 "
          f"and 8.6 only; newer cards (Hopper and later) need a 3.x build from Paddle's own index; {PADDLE}")
LIBRARIES = ("paddlepaddle-gpu 2.6.2 needs CUDA 11.8, cuDNN 8 and NCCL 2 on the library path, under names without a "
             "version such as libcudnn.so, and brings none of them")


def check_device(environment: Mapping[str, str] = os.environ) -> None:
    """Try the card that the launcher chose for this process; on a CPU there is nothing to try.

    Raises:
        InputError: Paddle cannot compute on the card. The message says what to install.
    """
    chosen = environment.get("FLAGS_selected_gpus")
    if chosen is None and not paddle.device.get_device().startswith("gpu"):
        return
    version, rank = paddle.__version__, environment.get("PADDLE_TRAINER_ID", "0")
    if not paddle.is_compiled_with_cuda():
        raise InputError(f"rank {rank}: this node has NVIDIA cards, but Paddle {version} is a build for CPUs: install "
                         f"paddlepaddle-gpu, or train on the CPU with CUDA_VISIBLE_DEVICES=-1; {PADDLE}")
    count = paddle.device.cuda.device_count()
    ordinal = int((chosen or "0").split(",")[0])
    if ordinal >= count:
        raise InputError(f"rank {rank}: Paddle {version} sees {count} cards, not gpu:{ordinal}: the driver may be too "
                         f"old for CUDA {paddle.version.cuda()}, or the card is not passed into this container")
    place = f"gpu:{ordinal}"
    paddle.device.set_device(place)
    capability = ".".join(map(str, paddle.device.cuda.get_device_capability(ordinal)))
    card = f"rank {rank}: {place} ({paddle.device.cuda.get_device_name(ordinal)}, compute capability {capability})"
    expect(f"{card}: a kernel of Paddle {version}", lambda: paddle.ones([4]) + 1, 2, WHEELS)
    expect(f"{card}: a matrix product (cuBLAS)", lambda: paddle.matmul(paddle.ones([8, 8]), paddle.ones([8, 8])), 8,
           LIBRARIES)
    expect(f"{card}: a normalised softmax (cuDNN)",
           lambda: paddle.nn.functional.softmax(paddle.zeros([4, 4])) * 4, 1, LIBRARIES)


def check_collective(rank: int, size: int) -> None:
    """Sum a number over all ranks, by NCCL on cards and by gloo on a CPU.

    Raises:
        InputError: NCCL cannot form the sum, or it is wrong. RuntimeError: the same of gloo, which may pass.
    """
    def total() -> paddle.Tensor:
        value = paddle.to_tensor([float(rank + 1)])
        paddle.distributed.all_reduce(value)
        return value

    if paddle.device.get_device().startswith("gpu"):
        expect(f"rank {rank} of {size}: a sum over all ranks (NCCL)", total, size * (size + 1) // 2, LIBRARIES)
    elif (found := total().item()) != size * (size + 1) // 2:  # gloo's own errors, such as a peer that is late, pass
        raise RuntimeError(f"rank {rank} of {size}: a sum over all ranks (gloo) gave {found:g}")


def expect(what: str, compute: Callable[[], paddle.Tensor], value: float, advice: str) -> None:
    """Raise InputError with ``advice`` unless every element of the computed tensor is ``value``."""
    try:
        found = compute().numpy()
    except (RuntimeError, OSError, ValueError) as error:  # what Paddle raises for missing kernels and libraries
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        telling = next((line for line in words if "Error" in line or "(" in line), words[0] if words else "")
        raise InputError(f"{what} failed: {telling}; {advice}") from error
    if not np.allclose(found, value):
        raise InputError(f"{what} gave {found.reshape(-1)[0]:g} instead of {value:g}; {advice}")


def main() -> int:
    """Try the device of a process that is started by hand, and say what was tried."""
    show_log()
    try:
        check_device()
    except InputError as error:
        LOG.error("%s", error)
        return 2
    device = paddle.device.get_device()
    tried = "a kernel, a product and a softmax gave what they must" if device.startswith("gpu") else "no card to try"
    print(f"Paddle {paddle.__version__} on {device}: {tried}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
