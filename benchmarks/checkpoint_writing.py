"""Time the writing of a checkpoint: the copy that holds training up, and the write beside it.

Arrays of a model's size stand for the model: weights and two moments in float32. Needs no Paddle.

    python benchmarks/checkpoint_writing.py --config configs/model/base_en.json
"""
from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np

from ernie.checkpoints.checkpoint import CheckpointWriter
from ernie.checkpoints.formats.families import shapes
from ernie.model.config import ErnieConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/model/base_en.json")
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    sizes = shapes(ErnieConfig.load(args.config))
    rng = np.random.default_rng(0)
    weights = {name: rng.random(shape, np.float32) for name, shape in sizes.items()}
    moments = {f"{name}.{moment}": array for name, array in weights.items() for moment in ("moment1", "moment2")}
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(folder, 1, {})
        for step in range(args.times):
            begun = time.perf_counter()
            copies = [{name: array.copy() for name, array in arrays.items()} for arrays in (weights, moments)]
            copied = time.perf_counter() - begun
            writer.save(step, *copies, {}, wait=True, begun=begun)
            size = 3 * sum(array.nbytes for array in weights.values())
            print(f"  of which {copied:.2f} s for the copy of {size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
