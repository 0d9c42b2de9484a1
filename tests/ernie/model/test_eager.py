"""Operators without the Python around them: the bits of Paddle's own functions, forward and backward."""
import zlib  # noqa: F401  (before paddle)

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from ernie.model import cpu_kernels, eager

SHAPE = [3, 5, 4, 8]
PAIRS = {
    "linear": (lambda x, weight, bias: eager.linear(x, weight, bias), F.linear),
    "layer_norm": (lambda x, weight, bias: eager.layer_norm(x, bias, bias, 1e-5),
                   lambda x, weight, bias: F.layer_norm(x, x.shape[-1], bias, bias, 1e-5)),
    "dropout": (lambda x, *_: eager.dropout(x, 0.3), lambda x, *_: F.dropout(x, 0.3)),
    "split_heads": (lambda x, *_: eager.split_heads(x.flatten(2), 4, 8),
                    lambda x, *_: x.flatten(2).reshape([0, 0, 4, 8])),
    "swap": (lambda x, *_: eager.swap(x), lambda x, *_: x.transpose([0, 2, 1, 3]))}


def leaves() -> list:
    rng = np.random.default_rng(0)
    found = [paddle.to_tensor(rng.normal(size=shape).astype(np.float32)) for shape in (SHAPE, [8, 8], [8])]
    for leaf in found:
        leaf.stop_gradient = False
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_the_bits_are_those_of_paddles_own(name):
    results = []
    for function in PAIRS[name]:
        paddle.seed(7)
        inputs = leaves()
        found = function(*inputs)
        (found * paddle.arange(found.size, dtype="float32").reshape(found.shape)).sum().backward()
        results.append([found.shape, found.numpy(), *(leaf.grad.numpy() for leaf in inputs if leaf.grad is not None)])
    assert len(results[0]) == len(results[1]) > 2
    assert all(np.array_equal(one, other) for one, other in zip(*results))


class All(paddle.nn.Layer):
    """Every operator once."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = cpu_kernels.Linear(8, 8), cpu_kernels.LayerNorm(8)
        self.dropout = cpu_kernels.Dropout(0.5)

    def forward(self, x):
        x = self.norm(self.dropout(self.linear(x)))
        return eager.swap(eager.split_heads(x, 2, 4))


def test_a_static_graph_gives_the_same():
    layer, x = All(), paddle.to_tensor(np.random.default_rng(0).normal(size=[2, 3, 8]).astype(np.float32))
    layer.eval()
    traced = paddle.jit.to_static(layer.forward, input_spec=[paddle.static.InputSpec([None, None, 8], "float32")],
                                  full_graph=True)
    assert np.allclose(traced(x).numpy(), layer.forward(x).numpy(), atol=1e-6)
