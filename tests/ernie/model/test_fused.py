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
    assert "rows padded to a multiple of 8 tokens: used" in "\n".join(lines) and other.ernie.width_multiple == 8
    for name, found in values(other(**to_tensors(batch()))).items():
        assert found == pytest.approx(values(plain(**to_tensors(batch())))[name], rel=1e-5)
    expected, found = gradients(plain), gradients(other)
    assert all(np.allclose(expected[name], found[name], atol=1e-5) for name in expected)
    assert other.state_dict()["ernie.embeddings.word_embeddings.weight"].shape == [50, 16]
    score, same = (model.score(**to_tensors(batch())) for model in (plain, other))
    for name in score:
        assert np.allclose(score[name][0], same[name][0], atol=1e-5) and np.array_equal(score[name][1], same[name][1])


@pytest.mark.parametrize("width", [1, 5, 8, 9])
def test_padding_inside_the_encoder_changes_nothing_outside(width):
    """Rows of any width, with task ids for a row and for each token; attention sees multiples of 8."""
    plain, other = two_models()
    other.ernie.width_multiple = 8
    seen = []
    other.ernie.encoder.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape[1]))
    made = batch(width=width, masking=([0, 2 * width], [4, 7]), order=([0, 2], [2, 0]))
    made.lengths[:] = np.maximum(made.lengths, 1)
    inputs = to_tensors(made)
    for task_ids in (inputs["task_ids"], inputs["task_ids"].expand([3, width])):
        inputs["task_ids"] = task_ids
        for name, found in values(other(**inputs)).items():
            assert found == pytest.approx(values(plain(**inputs))[name], rel=1e-5)
    assert set(seen) == {8 * -(-width // 8)}


def test_dropout_residual_and_norm_in_one(monkeypatch):
    """The form itself runs on a GPU only; here a form of the same signature is chosen, tried and trained with."""
    def joint(change, residual, weight, bias, dropout, epsilon, training):
        return fused.plain_residual(change, residual.astype(change.dtype), weight, bias, dropout, epsilon, training)

    def without_residual(change, residual, weight, bias, dropout, epsilon, training):
        return fused.plain_residual(change, residual * 0, weight, bias, dropout, epsilon, training)

    plain, other = two_models()
    monkeypatch.setattr(fused, "residual_norm", without_residual)
    assert any("in one: not used, differs from the plain form by" in line
               for line in fused.choose(other, "fused", "float32"))
    assert other.ernie.encoder.layers[0].joint is None
    monkeypatch.setattr(fused, "residual_norm", joint)
    assert "kernels: dropout, residual and LayerNorm in one: used" in fused.choose(other, "fused", "float32")
    assert other.ernie.encoder.layers[1].joint is joint
    expected, found = gradients(plain), gradients(other)
    assert all(np.allclose(expected[name], found[name], atol=1e-5) for name in expected)


def test_a_form_whose_backward_pass_with_dropout_breaks_is_not_used():
    def attention(query, key, value, mask, dropout, training):
        found = fused.plain_attention(query, key, value, mask, 0.0, training)
        return found * paddle.sqrt((value * (dropout == 0)).square()) / paddle.sqrt(value.square())  # 0 / 0 behind

    assert fused.trial(lambda: fused.attention_trial(attention, 2, 4, "float32"), "float32").startswith("not used")


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
