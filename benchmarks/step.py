"""Tokens a second of a pre-training step on the CPU, with our formulations of its kernels and with Paddle's own.

    OMP_NUM_THREADS=2 python benchmarks/step.py --config configs/model/demo_en.json --rows 32 --width 128
"""
import argparse
import time
import zlib  # noqa: F401  (before paddle)
from types import SimpleNamespace

import numpy as np
import paddle

from ernie.model import cpu_kernels
from ernie.model.config import ErnieConfig
from ernie.model.pretraining_model import PretrainingModel, to_tensors
from reader.batches.examples import Batch, Targets

TASKS = {"masking": SimpleNamespace(level="token", head="vocabulary", classes=()),
         "capital": SimpleNamespace(level="token", head="classes", classes=("no", "yes")),
         "order": SimpleNamespace(level="sequence", head="classes", classes=range(33))}


def batch(config: ErnieConfig, rows: int, width: int) -> Batch:
    """A full batch of random tokens, 15 % of them masked, with a label for every task."""
    rng, places = np.random.default_rng(0), rows * width
    masked = rng.permutation(places)[:int(places * 0.15)]
    targets = {"masking": Targets(masked, rng.integers(5, config.vocab_size, len(masked))),
               "capital": Targets(np.arange(places), rng.integers(0, 2, places)),
               "order": Targets(np.arange(rows), rng.integers(0, 33, rows))}
    return Batch("masking", 0, rng.integers(5, config.vocab_size, (rows, width)), np.zeros((rows, width), np.int64),
                 np.tile(np.arange(width), (rows, 1)), np.full(rows, width), targets)


def step(model, optimizer, inputs) -> float:
    """Seconds of one step."""
    begun = time.perf_counter()
    sum(loss / count.item() for loss, _, count in model(**inputs).values()).backward()
    optimizer.step()
    optimizer.clear_grad()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/model/demo_en.json")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    config = ErnieConfig.load(args.config)
    model = PretrainingModel(config, TASKS)
    clip = paddle.nn.ClipGradByGlobalNorm(1.0)
    optimizer = paddle.optimizer.AdamW(1e-4, parameters=model.parameters(), grad_clip=clip)
    inputs, eager = to_tensors(batch(config, args.rows, args.width)), cpu_kernels.eager_on_cpu
    seconds = {"ours": [], "paddle": []}
    for number in range(2 * (args.steps + 1)):  # side by side, so that a busy machine is busy for both
        name = ("ours", "paddle")[number % 2]
        cpu_kernels.eager_on_cpu = eager if name == "ours" else lambda: False
        paddle.set_flags({"FLAGS_use_stride_kernel": name == "paddle"})
        taken = step(model, optimizer, inputs)
        seconds[name] += [taken] if number > 1 else []
    for name, taken in seconds.items():
        print(f"{name:8}{args.rows * args.width / np.median(taken):8.0f} tokens/s, median of {len(taken)} steps")


if __name__ == "__main__":
    main()
