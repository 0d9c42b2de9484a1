"""What a rank tries before it trains; on a CPU, the parts that need no card."""
import zlib  # noqa: F401  (before paddle)
from types import SimpleNamespace

import paddle
import pytest

from ernie.training import distributed, selftest
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


@pytest.fixture
def card(monkeypatch):
    """A Paddle for GPUs with one H100, whose kernels are those of the CPU; returns its parts, to be broken."""
    card = SimpleNamespace(count=1, ones=paddle.ones, matmul=paddle.matmul, softmax=paddle.nn.functional.softmax)
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.version, "cuda", lambda: "11.8")
    cuda = paddle.device.cuda
    monkeypatch.setattr(cuda, "device_count", lambda: card.count)
    monkeypatch.setattr(cuda, "get_device_capability", lambda ordinal: (9, 0))
    monkeypatch.setattr(cuda, "get_device_name", lambda ordinal: "H100")
    monkeypatch.setattr(paddle.device, "set_device", lambda place: None)
    monkeypatch.setattr(paddle, "ones", lambda shape: card.ones(shape))
    monkeypatch.setattr(paddle, "matmul", lambda x, y: card.matmul(x, y))
    monkeypatch.setattr(paddle.nn.functional, "softmax", lambda x: card.softmax(x))
    return card


RANK = {"FLAGS_selected_gpus": "0", "PADDLE_TRAINER_ID": "5"}


def raises(*arguments):
    raise OSError("(PreconditionNotMet) The third-party dynamic library (libcudnn.so) is not configured correctly.")


def test_a_card_that_computes_passes(card):
    assert selftest.check_device(RANK) is None


def test_a_card_that_paddle_does_not_see(card):
    card.count = 0
    with pytest.raises(InputError, match=r"^rank 5: Paddle \S+ sees 0 cards, not gpu:0: the driver may be too old for "
                                         r"CUDA 11\.8, or the card is not passed into this container$"):
        selftest.check_device(RANK)


def test_a_card_without_machine_code_in_this_build(card):
    """Such a build returns what was in memory, without an error."""
    card.ones = paddle.zeros
    with pytest.raises(InputError, match=r"^rank 5: gpu:0 \(H100, compute capability 9\.0\): a kernel of Paddle \S+ "
                                         r"gave 1 instead of 2; .* newer cards \(Hopper and later\) need a 3\.x build"):
        selftest.check_device(RANK)


@pytest.mark.parametrize("part, name", [("matmul", r"a matrix product \(cuBLAS\)"),
                                        ("softmax", r"a normalised softmax \(cuDNN\)")])
def test_a_library_that_is_missing(card, part, name):
    setattr(card, part, raises)
    with pytest.raises(InputError, match=rf"^rank 5: gpu:0 .*: {name} failed: .*libcudnn\.so.*; "
                                         "paddlepaddle-gpu 2.6.2 needs CUDA 11.8, cuDNN 8 and NCCL 2"):
        selftest.check_device(RANK)


@pytest.mark.parametrize("broken, words", [
    (raises, r"failed: .*libcudnn\.so.*"),
    (lambda value: None, "gave 3 instead of 6")])  # the number of rank 2 alone
def test_nccl_that_does_not_sum(monkeypatch, broken, words):
    monkeypatch.setattr(paddle.device, "get_device", lambda: "gpu:2")
    monkeypatch.setattr(paddle.distributed, "all_reduce", broken)
    with pytest.raises(InputError, match=rf"^rank 2 of 3: a sum over all ranks \(NCCL\) {words}; "
                                         ".* and NCCL 2 on the library path"):
        selftest.check_collective(2, 3)


def test_gloo_that_does_not_sum(monkeypatch):
    """No advice on NCCL, and an error that a restart may cure."""
    monkeypatch.setattr(paddle.device, "get_device", lambda: "cpu")
    monkeypatch.setattr(paddle.distributed, "all_reduce", lambda value: None)
    with pytest.raises(RuntimeError, match=r"^rank 2 of 3: a sum over all ranks \(gloo\) gave 3$"):
        selftest.check_collective(2, 3)


@pytest.fixture
def second_of_two(card, monkeypatch):
    """The environment of rank 1 of two, whose fleet starts without the other one."""
    for key, value in {"FLAGS_selected_gpus": "0", "PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "2"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PADDLE_PG_TIMEOUT", "1000")            # set, so that ``start`` leaves nothing behind
    monkeypatch.setenv("FLAGS_stop_check_timeout", "1")
    monkeypatch.setattr(paddle.device, "get_device", lambda: "gpu:0")
    monkeypatch.setattr(distributed.fleet, "init", lambda **named: None)
    monkeypatch.setattr(distributed.fleet, "worker_index", lambda: 1)
    monkeypatch.setattr(distributed.fleet, "worker_num", lambda: 2)
    monkeypatch.setattr(paddle.distributed, "all_reduce", lambda value: value.add_(paddle.to_tensor([1.0])))
    return card


def test_a_rank_starts_when_card_and_sum_are_right(second_of_two):
    assert distributed.start() == distributed.World(1, 2)


def test_a_rank_does_not_start_on_a_card_that_fails(second_of_two):
    second_of_two.ones = paddle.zeros
    with pytest.raises(InputError, match=r"^rank 1: gpu:0 .* gave 1 instead of 2"):
        distributed.start()


def test_a_rank_does_not_start_with_an_nccl_that_fails(second_of_two, monkeypatch):
    monkeypatch.setattr(paddle.distributed, "all_reduce", raises)
    with pytest.raises(InputError, match=r"^rank 1 of 2: a sum over all ranks \(NCCL\) failed: "):
        distributed.start()
