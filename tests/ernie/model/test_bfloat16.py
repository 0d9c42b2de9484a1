"""bfloat16 products on a CPU: those of rounded inputs, forward and backward; or one line that says why not."""
import os
import subprocess
import sys

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.model import bfloat16, cpu_kernels, onednn  # noqa: E402
from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.encoder import Encoder  # noqa: E402
from ernie.training.amp import Precision  # noqa: E402
from ernie.training.settings import LossScaling  # noqa: E402

needs_onednn = pytest.mark.skipif(bool(onednn.unavailable()), reason=onednn.unavailable())
RANDOM = np.random.default_rng(0)


def tensor(*shape):
    return paddle.to_tensor(RANDOM.standard_normal(shape, np.float32), stop_gradient=False)


def rounded(value):
    return onednn.nearest_bfloat16(value.numpy())


@needs_onednn
def test_rounding_is_to_the_nearest_even():
    values = np.float32([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -1e30, 1e-30, 0])
    expected = np.float32([1, 1, 1 + 2 ** -6, 1 + 2 ** -7, -1e30, 1e-30, 0])
    np.testing.assert_allclose(onednn.nearest_bfloat16(values), expected, rtol=2 ** -9)
    np.testing.assert_array_equal(onednn.nearest_bfloat16(values)[:4], expected[:4])
    np.testing.assert_array_equal(onednn.to_bfloat16(paddle.to_tensor(values)).astype("float32").numpy(),
                                  onednn.nearest_bfloat16(values))


@needs_onednn
@pytest.mark.parametrize("transposed", [False, True])
def test_a_linear_is_the_product_of_rounded_inputs_forward_and_backward(transposed):
    x, bias, gradient = tensor(3, 5, 24), tensor(17), tensor(3, 5, 17)
    weight = tensor(17, 24) if transposed else tensor(24, 17)
    y = bfloat16.linear(x, weight, bias, transposed)
    of_x, of_weight, of_bias = paddle.grad(y, [x, weight, bias], gradient)
    rows, g = rounded(x).reshape(15, 24), rounded(gradient).reshape(15, 17)
    w = rounded(weight).T if transposed else rounded(weight)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(y.numpy().reshape(15, 17), rows @ w + bias.numpy(), **close)
    np.testing.assert_allclose(of_x.numpy().reshape(15, 24), g @ w.T, **close)
    np.testing.assert_allclose(of_weight.numpy(), g.T @ rows if transposed else rows.T @ g, **close)
    np.testing.assert_allclose(of_bias.numpy(), gradient.numpy().reshape(15, 17).sum(0), **close)


@needs_onednn
@pytest.mark.parametrize("dropout", [False, True])
def test_attention_is_attention(dropout):
    query, key, value, gradient = (tensor(2, 7, 3, 8) for _ in range(4))
    bias = paddle.to_tensor(np.float32([0] * 10 + [-1e4] * 4).reshape(2, 1, 1, 7))
    keep = paddle.to_tensor((RANDOM.random((2, 3, 7, 7)) > 0.3).astype(np.float32) / 0.7) if dropout else None
    found = bfloat16.attention(query, key, value, bias, keep)
    q, k, v = (each.transpose([0, 2, 1, 3]) for each in (query, key, value))
    weights = paddle.nn.functional.softmax(paddle.matmul(q, k, transpose_y=True) + bias)
    expected = paddle.matmul(weights * keep if dropout else weights, v).transpose([0, 2, 1, 3])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=0.05)
    for one, other in zip(paddle.grad(found, [query, key, value], gradient),
                          paddle.grad(expected, [query, key, value], gradient)):
        assert np.abs(one.numpy() - other.numpy()).max() < 0.03 * np.abs(other.numpy()).max()


@needs_onednn
def test_an_encoder_stays_near_float32_with_recomputation_and_frozen_layers_too():
    config = ErnieConfig(vocab_size=50, hidden_size=48, num_hidden_layers=2, num_attention_heads=3,
                         intermediate_size=96, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = Encoder(config)
    encoder.train()
    encoder.embeddings.word_embeddings.weight.stop_gradient = True
    encoder.encoder.layers[0].linear1.weight.stop_gradient = True
    ids = paddle.to_tensor(RANDOM.integers(0, 50, (4, 9)))
    inputs = (ids, paddle.zeros_like(ids), paddle.arange(9).expand([4, 9]), paddle.to_tensor([9, 4, 1, 9]),
              paddle.zeros([4, 1], "int64"))

    def gradients(half: bool, recompute):
        encoder.clear_gradients()
        encoder.recompute(recompute)
        with cpu_kernels.bfloat16_products(half):
            hidden, pooled = encoder(*inputs)
        ((hidden ** 3).sum() + pooled.sum()).backward()
        return {name: p.grad.numpy() for name, p in encoder.named_parameters() if p.grad is not None}

    exact, half, again = gradients(False, False), gradients(True, False), gradients(True, True)
    attention = gradients(True, "attention")
    assert exact.keys() == half.keys()
    for name, value in exact.items():
        if "k_proj.bias" not in name:  # zero but for rounding: softmax does not see a shift
            assert 0 < np.abs(half[name] - value).max() < 0.05 * np.abs(value).max() + 1e-3, name
        np.testing.assert_array_equal(half[name], again[name], err_msg=name)
        # query, key and value give their gradients in another order
        np.testing.assert_allclose(half[name], attention[name], rtol=1e-3, atol=1e-5 * np.abs(value).max())
    assert not cpu_kernels.half()


@needs_onednn
def test_bf16_of_a_run_means_these_products_and_float32_stays_what_it_is():
    scaling, layer, x = LossScaling(), cpu_kernels.Linear(24, 17), tensor(5, 24)
    bits = layer(x).numpy()
    with Precision("bf16", "O1", scaling).autocast():
        np.testing.assert_allclose(layer(x).numpy(), rounded(x) @ rounded(layer.weight) + layer.bias.numpy(), atol=1e-5)
        assert (layer(x).numpy() != bits).any()
    with Precision("fp32", "O1", scaling).autocast():
        np.testing.assert_array_equal(layer(x).numpy(), bits)
    assert "bfloat16 by oneDNN" in Precision("bf16", "O1", scaling).note


def test_a_processor_without_the_instructions_trains_in_float32_and_says_why():
    code = ("from ernie.utils.paddle_setup import import_paddle; import_paddle(); "
            "from ernie.training.amp import Precision; from ernie.training.settings import LossScaling; "
            "p = Precision('bf16', 'O1', LossScaling()); print(p.products, p.note)")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
                          capture_output=True, text=True)
    assert done.stdout == ("False precision: this processor has no bfloat16 products (avx512_bf16 or amx_bf16), "
                           "bf16 is trained in float32\n"), done.stderr
