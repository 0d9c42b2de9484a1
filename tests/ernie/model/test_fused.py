"""Fused forms against the plain ones; a form that this Paddle cannot compute leaves the plain one in place."""
import zlib  # noqa: F401  (before paddle)

import numpy as np
import paddle
import pytest

from ernie.model import fused
from ernie.model.pretraining_model import PretrainingModel, to_tensors
from tests.ernie.model.test_model import TASKS, batch, small, values


def two_models() -> tuple:
    """The same weights twice, over a vocabulary of 50, which is no multiple of 8."""
    plain, other = PretrainingModel(small(), TASKS), PretrainingModel(small(), TASKS)
    other.set_state_dict(plain.state_dict())
    return plain, other


def gradients(model) -> dict:
    paddle.add_n([losses[0] for losses in model(**to_tensors(batch())).values()]).backward()
    return {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def test_what_is_chosen_computes_the_same_losses_and_gradients():
    plain, other = two_models()
    lines = fused.choose(other, "fused", "float32")
    assert "one product for query, key and value: used" in "\n".join(lines)
    assert "vocabulary padded to a multiple of 8: used" in "\n".join(lines)
    for name, found in values(other(**to_tensors(batch()))).items():
        assert found == pytest.approx(values(plain(**to_tensors(batch())))[name], rel=1e-5)
    expected, found = gradients(plain), gradients(other)
    assert all(np.allclose(expected[name], found[name], atol=1e-5) for name in expected)
    assert other.state_dict()["ernie.embeddings.word_embeddings.weight"].shape == [50, 16]
    score, same = (model.score(**to_tensors(batch())) for model in (plain, other))
    for name in score:
        assert np.allclose(score[name][0], same[name][0], atol=1e-5) and np.array_equal(score[name][1], same[name][1])


def test_attention_is_fused_where_paddle_can():
    _, other = two_models()
    lines = fused.choose(other, "fused", "float32")
    used = next((line for line in lines if "attention by" in line and line.endswith("used")
                 and "not used" not in line), None)
    layer = other.ernie.encoder.layers[0].self_attn
    assert (layer.fused is not None) == (used is not None)
    if paddle.__version__ >= "3":  # its attention has a form for CPUs
        assert layer.fused is fused.sdpa


@pytest.mark.parametrize("kernels", ["auto", "plain"])
def test_nothing_is_tried_on_a_cpu_unless_asked(kernels):
    if paddle.device.get_device() != "cpu":
        pytest.skip("there is a GPU here")
    _, other = two_models()
    assert fused.choose(other, kernels, "float32") == []
    assert other.ernie.encoder.layers[0].self_attn.fused is None and other.cls.predictions.multiple == 1


def test_a_form_that_differs_or_fails_is_not_used():
    def without_mask(query, key, value, mask, dropout, training):
        return fused.plain_attention(query, key, value, mask * 0, dropout, training)

    def unknown(*arguments):
        return paddle.matmul(paddle.ones([2, 3]), paddle.ones([2, 3]))

    def broken(*arguments):
        return fused.plain_attention(*arguments) * float("nan")

    def outcome(form):
        return fused.trial(lambda: fused.attention_trial(form, 2, 4, "float32"), "float32")

    assert outcome(fused.plain_attention) == ""
    assert outcome(without_mask).startswith("not used, differs from the plain form by ")
    assert outcome(broken) == "not used, differs from the plain form by nan"
    assert outcome(unknown).startswith("not used, (InvalidArgument)")
