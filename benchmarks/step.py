"""Tokens a second of a pre-training step on the CPU: our kernels, Paddle's own layers, and our bfloat16 products.

    OMP_NUM_THREADS=2 python benchmarks/step.py --config configs/model/demo_en.json --rows 32 --width 128
"""
import argparse
import time
from types import SimpleNamespace

import numpy as np

from ernie.utils.paddle_setup import import_paddle

paddle = import_paddle()

from ernie.model import cpu_kernels, onednn  # noqa: E402
from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel, to_tensors  # noqa: E402
from reader.batches.examples import Batch, Targets  # noqa: E402

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
    why = onednn.unavailable()
    if why:
        print(f"no bfloat16 here: {why}")
    names = ("ours", "paddle") if why else ("ours", "paddle", "bf16")
    inputs, eager = to_tensors(batch(config, args.rows, args.width)), cpu_kernels.eager_on_cpu
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(len(names) * (args.steps + 1)):  # side by side, so that a busy machine is busy for both
        name = names[number % len(names)]
        cpu_kernels.eager_on_cpu = (lambda: False) if name == "paddle" else eager
        paddle.set_flags({"FLAGS_use_stride_kernel": name == "paddle"})
        with cpu_kernels.bfloat16_products(name == "bf16"):
            taken = step(model, optimizer, inputs)
        seconds[name] += [taken] if number >= len(names) else []
    for name, taken in seconds.items():
        ratios = np.array(seconds["ours"]) / taken  # step by step, so that what else the machine does cancels out
        print(f"{name:8}{args.rows * args.width / np.median(taken):8.0f} tokens/s, median of {len(taken)} steps; "
              f"{np.median(ratios):.2f} of ours ({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
