"""A small checkpoint with everything in it, for tests of the families."""
import dataclasses
from pathlib import Path

import numpy as np

from ernie.config import ErnieConfig
from ernie.formats import Pretrained
from ernie.formats.families import shapes

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "##s", "the", "ernie",
          "中", "文"]


def config(**changes) -> ErnieConfig:
    return ErnieConfig(**{"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "max_position_embeddings": 16, **changes}).check()


def checkpoint(folder: Path, seed: int = 0, **changes) -> Pretrained:
    """Random weights of realistic spread, two task heads, a vocabulary that is smaller than the matrix."""
    rng, sizes = np.random.default_rng(seed), config(**changes)
    arrays = {name: rng.normal(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3, shape)
              for name, shape in shapes(sizes).items()}
    arrays.update({"heads.order.weight": rng.normal(size=(8, 3)), "heads.order.bias": rng.normal(size=3)})
    vocab = folder / "tokens.txt"
    vocab.write_text("\n".join(TOKENS) + "\n", "utf-8")
    return Pretrained("own", folder, sizes, {name: array.astype(np.float32) for name, array in arrays.items()}, vocab)


def without(found: Pretrained, *parts: str) -> Pretrained:
    """The checkpoint without the arrays whose names contain one of the parts."""
    return dataclasses.replace(found, arrays={name: array for name, array in found.arrays.items()
                                              if not any(part in name for part in parts)})
