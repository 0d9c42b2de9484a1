"""A model that cannot read what the curriculum's tasks make is refused before anything is trained."""
import json

import pytest

from ernie.checkpoints.formats import write
from ernie.pretraining.curriculum import Curriculum, load
from ernie.pretraining.model_config import model_config
from ernie.utils.config_io import build
from reader.utils.errors import InputError
from tests.ernie.released import checkpoint

SIZES = {"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "type_vocab_size": 2,
         "task_type_vocab_size": 2, "max_position_embeddings": 64}


@pytest.mark.parametrize("task, message", [
    ("sentence_reordering", "task sentence_reordering needs 4 sentence types, type_vocab_size is 2"),
    ({"name": "sentence_reordering", "options": {"m": 3}}, "needs 3 sentence types"),
    ({"name": "sentence_reordering", "options": {"m": 2}}, None),
    ("sentence_distance", None),
])
def test_sentence_types_must_suffice(tmp_path, task, message):
    (tmp_path / "model.json").write_text(json.dumps(SIZES))
    curriculum = build(Curriculum, {"tasks": [task], "corpora": {"c": {"path": "store"}},
                                    "model": str(tmp_path / "model.json"), "max_length": 64}, "test")
    if message is None:
        assert model_config(curriculum).type_vocab_size == 2
    else:
        with pytest.raises(InputError, match=message):
            model_config(curriculum)


@pytest.mark.parametrize("declared, vocabulary, rows", [(100, None, 100), (100, 80, 100), (100, 300, 300),
                                                        (None, 80, 80), (None, None, 30522)])
def test_the_word_embedding_fits_the_vocabulary_of_the_store(tmp_path, declared, vocabulary, rows):
    (tmp_path / "model.json").write_text(json.dumps({**SIZES, "vocab_size": declared}))
    curriculum = build(Curriculum, {"tasks": ["sentence_distance"], "corpora": {"c": {"path": "store"}},
                                    "model": str(tmp_path / "model.json"), "max_length": 64}, "test")
    assert model_config(curriculum, vocabulary).vocab_size == rows


@pytest.mark.parametrize("family", ["own", "huggingface", "static"])
def test_init_alone_is_enough(tmp_path, family):
    """The model is the checkpoint's, with a sentence type for each segment of reordering and a task embedding."""
    released = checkpoint(tmp_path, type_vocab_size=2)
    write(released, tmp_path / family, family)
    curriculum = build(Curriculum, {"tasks": ["knowledge_masking", "sentence_reordering"], "max_length": 8,
                                    "corpora": {"c": {"path": "store"}}, "init": str(tmp_path / family)}, "test")
    config = model_config(curriculum, vocabulary=released.config.vocab_size)
    assert (config.type_vocab_size, config.use_task_id, config.task_type_vocab_size) == (4, True, 16)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "hidden_act", "layer_norm_eps"):
        assert getattr(config, name) == getattr(released.config, name), name


def test_a_model_or_a_checkpoint_must_be_named():
    with pytest.raises(InputError, match="name a model file, or with init a checkpoint"):
        build(Curriculum, {"tasks": ["sentence_distance"], "corpora": {"c": {"path": "store"}}}, "test")


@pytest.mark.parametrize("init, message", [("package:no_such_package/model", "pip install --no-deps no-such-package"),
                                           ("package:json/model", "the package json has no model"),
                                           ("nowhere", "no such checkpoint")])
def test_a_checkpoint_that_is_not_there(init, message):
    curriculum = build(Curriculum, {"tasks": ["sentence_distance"], "corpora": {"c": {"path": "store"}},
                                    "init": init}, "test")
    with pytest.raises(InputError, match=message):
        model_config(curriculum)


def test_a_released_configuration_may_stand_for_a_model_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "model_type": "bert", "use_cache": True}))
    values = {"tasks": ["sentence_distance"], "corpora": {"c": {"path": "store"}}, "max_length": 64,
              "model": str(tmp_path / "config.json")}
    assert model_config(build(Curriculum, values, "test")).hidden_size == 8
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "hiden_act": "relu"}))
    with pytest.raises(InputError, match="unknown key 'hiden_act'"):
        model_config(build(Curriculum, values, "test"))


def test_a_curriculum_stands_on_its_base(tmp_path):
    """Keys of the file itself win, mappings are merged key by key, a chain of bases is followed."""
    (tmp_path / "first.yaml").write_text("tasks: [sentence_distance]\ncorpora: {c: {path: store, dev: d}}\nmodel: m\n"
                                         "optimizer: {learning_rate: 1.0e-3, warmup_steps: 7}\nseed: 3\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/second.yaml").write_text("base: ../first.yaml\noptimizer: {warmup_steps: 9}\n")
    (tmp_path / "third.yaml").write_text("base: inner/second.yaml\nseed: 5\ntasks: [knowledge_masking]\n")
    found = load(tmp_path / "third.yaml", ["model=other"])
    assert (found.optimizer.learning_rate, found.optimizer.warmup_steps) == (1e-3, 9)
    assert (found.seed, found.model) == (5, "other")
    assert [task.name for task in found.tasks] == ["knowledge_masking"] and found.corpora["c"].dev == "d"


@pytest.mark.parametrize("base, message", [("a.yaml", "is this file"), ("b.yaml", "is this file"),
                                           ("[1]", "expected a file"), ("none.yaml", "no such configuration file")])
def test_a_base_that_cannot_be(tmp_path, base, message):
    (tmp_path / "a.yaml").write_text(f"base: {base}\nseed: 1\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "a.yaml")
