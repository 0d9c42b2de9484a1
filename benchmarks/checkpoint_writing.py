"""Time the writing of a checkpoint: the copy that holds training up, and the write beside it.

    python benchmarks/checkpoint_writing.py --config configs/model/base_en.json     # a real model after an update
    python benchmarks/checkpoint_writing.py --config configs/model/large_en.json --arrays    # arrays of its size
"""
from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np

from ernie.checkpoints.checkpoint import CheckpointWriter
from ernie.checkpoints.formats.families import shapes
from ernie.model.config import ErnieConfig

Arrays = dict[str, np.ndarray]


def of_arrays(config: ErnieConfig) -> Callable[[], tuple[Arrays, Arrays]]:
    """Return a function that copies arrays of a model's size: weights and two moments in float32. Needs no Paddle."""
    rng = np.random.default_rng(0)
    weights = {name: rng.random(shape, np.float32) for name, shape in shapes(config).items()}
    moments = {f"{name}.{moment}": array for name, array in weights.items() for moment in ("moment1", "moment2")}

    def copies() -> tuple[Arrays, Arrays]:
        first, second = ({name: array.copy() for name, array in arrays.items()} for arrays in (weights, moments))
        return first, second

    return copies


def of_a_model(config: ErnieConfig) -> Callable[[], tuple[Arrays, Arrays]]:
    """Return what the trainer calls: the weights and moments of a model that has been updated once."""
    from ernie.utils.paddle_setup import import_paddle
    paddle = import_paddle()
    from ernie.model.pretraining_model import PretrainingModel
    from ernie.training.amp import Precision
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import LossScaling, OptimizerSettings
    updater = Updater(PretrainingModel(config, {}), OptimizerSettings(), lambda update: 1e-4,
                      Precision("fp32", "O2", LossScaling()), World())
    updater.backward(paddle.add_n([parameter.sum() for parameter in updater.parameters]))
    updater.step(1)
    return lambda: (updater.weights(), updater.state())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/model/base_en.json")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--arrays", action="store_true", help="no model: arrays of its size")
    args = parser.parse_args()
    config = ErnieConfig.load(args.config)
    copies = (of_arrays if args.arrays else of_a_model)(config)
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(folder, 1, {})
        for step in range(args.times):
            begun = time.perf_counter()
            weights, moments = copies()
            copied = time.perf_counter() - begun
            writer.save(step, weights, moments, {}, wait=True, begun=begun)
            size = sum(array.nbytes for arrays in (weights, moments) for array in arrays.values())
            print(f"  of which {copied:.2f} s for the copy of {size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
