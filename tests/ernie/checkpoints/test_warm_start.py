"""A checkpoint into a model: what went where, what does not fit, other vocabularies."""

import numpy as np
import pytest

from ernie.checkpoints.formats import write
from ernie.checkpoints.formats.families import TASK, WORDS
from reader.utils.errors import InputError
from tests.ernie.released import checkpoint, config, model_of, without


def test_loading_reports_what_went_where(tmp_path):
    from ernie.checkpoints.warm_start import load_pretrained
    found = without(checkpoint(tmp_path), "task_type", "cls.predictions.transform")
    write(found, tmp_path / "out", "static")
    model = model_of(max_position_embeddings=20)
    report = load_pretrained(model, tmp_path / "out")
    assert report.missing == ["cls.predictions.transform.weight", "cls.predictions.transform.bias"]
    assert report.padded == [("ernie.embeddings.position_embeddings.weight", 16, 20)]
    assert str(report).count("the checkpoint has no task embedding: zeros") == 1
    state = model.state_dict()
    assert not state[TASK].numpy().any()
    np.testing.assert_array_equal(state["heads.order.weight"].numpy(), found.arrays["heads.order.weight"])
    positions = state["ernie.embeddings.position_embeddings.weight"].numpy()
    np.testing.assert_array_equal(positions[:16], found.arrays["ernie.embeddings.position_embeddings.weight"])
    assert positions[16:].any()


def test_shapes_that_cannot_fit_are_both_named(tmp_path):
    from ernie.checkpoints.warm_start import load_pretrained
    found = checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"is \[40, 8\] in the checkpoint and \[40, 12\] in the model"):
        load_pretrained(model_of(hidden_size=12), found)
    with pytest.raises(InputError, match=r"is \[40, 8\] in the checkpoint and \[30, 8\] in the model"):
        load_pretrained(model_of(vocab_size=30), found)


def test_rows_that_no_token_uses_may_be_cut(tmp_path):
    from ernie.checkpoints.warm_start import load_pretrained
    found = checkpoint(tmp_path)  # 36 tokens, 40 rows
    report = load_pretrained(model_of(vocab_size=36), found)
    assert {name for name, *_ in report.padded} == {WORDS, "cls.predictions.decoder_bias"}
    assert load_pretrained(model_of(vocab_size=48), found).padded[0][1:] == (40, 48)


def test_another_vocabulary_is_noticed(tmp_path):
    from ernie.checkpoints.warm_start import load_pretrained
    found = checkpoint(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text(found.vocab.read_text("utf-8").replace("the\n", "teh\n"), "utf-8")
    with pytest.raises(InputError, match="another vocabulary: token 32 is 'the' there, 'teh' here"):
        load_pretrained(model_of(), found, vocab=other)
    load_pretrained(model_of(), found, vocab=found.vocab)


def test_a_head_with_other_classes_starts_anew(tmp_path):
    from ernie.checkpoints.warm_start import load_pretrained
    found = checkpoint(tmp_path)
    found.arrays["heads.order.weight"] = np.zeros((8, 5), np.float32)
    report = load_pretrained(model_of(), found)
    assert "heads.order.weight is [8, 5] in the checkpoint and [8, 3] in the model: as initialised" in report.notes


def test_a_recurrent_encoder_travels_in_our_own_family(tmp_path):
    from ernie.checkpoints.formats import Pretrained
    from ernie.checkpoints.warm_start import load_pretrained
    model = model_of(encoder="lstm")
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    found = Pretrained("own", tmp_path, config(encoder="lstm"), arrays)
    assert write(found, tmp_path / "out", "own") == ["no vocabulary was found beside the weights: none was written"]
    report = load_pretrained(model_of(encoder="lstm"), tmp_path / "out")
    assert report.missing == [] and report.unexpected == []
    with pytest.raises(InputError, match="no room for a lstm encoder"):
        write(found, tmp_path / "other", "static")
