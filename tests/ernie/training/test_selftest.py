"""What a rank tries before it trains; on a CPU, the parts that need no card."""
import zlib  # noqa: F401  (before paddle)

import paddle
import pytest

from ernie.training import selftest
from reader.utils.errors import InputError


def test_a_kernel_whose_result_is_right():
    assert selftest.expect("a kernel", lambda: paddle.ones([4]) + 1, 2, "buy another card") is None  # no complaint


def test_a_kernel_that_did_not_run_is_told_from_its_result():
    with pytest.raises(InputError, match="^a kernel gave 0 instead of 2; buy another card$"):
        selftest.expect("a kernel", lambda: paddle.zeros([4]), 2, "buy another card")


def test_an_error_of_paddle_becomes_one_line():
    with pytest.raises(InputError, match=r"^a product failed: .*\(InvalidArgument\).*; buy another card$"):
        selftest.expect("a product", lambda: paddle.matmul(paddle.ones([2, 3]), paddle.ones([2, 3])), 2,
                        "buy another card")


def test_a_build_for_cpus_on_a_node_with_cards():
    if paddle.is_compiled_with_cuda():
        pytest.skip("this Paddle is a build for GPUs")
    with pytest.raises(InputError, match="rank 3: this node has NVIDIA cards, but Paddle .* is a build for CPUs"):
        selftest.check_device({"FLAGS_selected_gpus": "1", "PADDLE_TRAINER_ID": "3"})
    selftest.check_device({})
