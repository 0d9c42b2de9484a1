"""The CPU formulations compute what Paddle's own layers compute."""
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.model import cpu_kernels  # noqa: E402


def gradients(layer, x):
    x = paddle.to_tensor(x, stop_gradient=False)
    out = layer(x)
    (out * out).sum().backward()
    return [out.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())]


def test_linear_is_linear(monkeypatch):
    layer, x = cpu_kernels.Linear(5, 7), np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    layer.bias.set_value(paddle.randn([7]))
    ours = gradients(layer, x)
    layer.clear_gradients()
    monkeypatch.setattr(cpu_kernels, "eager_on_cpu", lambda: False)
    for a, b in zip(ours, gradients(layer, x)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_mean_and_follows_paddles_seed(rate):
    layer, ones = cpu_kernels.Dropout(rate), paddle.ones([200, 500])
    ones.stop_gradient = False
    paddle.seed(3)
    first = layer(ones)
    assert (first.numpy() == 0).mean() == pytest.approx(rate, abs=0.005)
    assert first.numpy().mean() == pytest.approx(1, abs=0.01)
    assert not (first.numpy() == layer(ones).numpy()).all()
    paddle.seed(3)
    np.testing.assert_array_equal(first.numpy(), layer(ones).numpy())
    first.sum().backward()
    np.testing.assert_array_equal(ones.grad.numpy(), first.numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(ones).numpy(), 1)


def test_no_dropout_is_the_identity():
    x = paddle.randn([3, 4])
    assert cpu_kernels.Dropout(0.0)(x) is x


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_arrays_enter_as_they_are_and_leave_nothing_behind():
    arrays = [np.arange(6).reshape(2, 3), np.float32([1.5, np.nan]), np.zeros((0, 2), np.int64)]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for array in arrays:
        tensor = cpu_kernels.from_numpy(array)
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.stop_gradient and tensor.numpy().dtype == array.dtype
    changed = cpu_kernels.from_numpy(arrays[0])
    arrays[0][0, 0] = 7
    assert changed.numpy()[0, 0] == 0  # a copy
    for calls in (2_000, 30_000):
        before = resident()
        for _ in range(calls):
            cpu_kernels.from_numpy(arrays[0])
    assert resident() - before < 1_000_000  # what leaks a hundred bytes a call leaves three million
