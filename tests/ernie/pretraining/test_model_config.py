"""A model that cannot read what the curriculum's tasks make is refused before anything is trained."""
import json

import pytest

from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.model_config import model_config
from ernie.utils.config_io import build
from reader.utils.errors import InputError

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
