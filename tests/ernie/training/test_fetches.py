"""How often a step waits for the device: every value that is fetched from it makes Python wait until it is computed."""
import sys

import pytest

from tests.ernie import runs
from tests.ernie.finetuning.test_run import finetune, make_data, model_files  # noqa: F401  (a fixture)
from tests.ernie.training.test_half import HALF, SCALE, half  # noqa: F401  (a fixture)
from tests.ernie.training.test_parallel import train  # noqa: F401  (a fixture)

FETCHES = ("numpy", "item", "tolist", "cpu", "__array__", "__bool__", "__float__", "__int__", "__index__")


@pytest.fixture
def fetched(monkeypatch):
    """From one step to the next, who fetched what: a list of lists, on the operators that a GPU runs."""
    import paddle

    from ernie.model import cpu_kernels
    from ernie.training.trainer import Trainer
    from tests.ernie.training import half_on_cpu
    monkeypatch.setattr(cpu_kernels, "eager_on_cpu", lambda: False)
    kind, steps, emulating = type(paddle.ones([1])), [], []
    real_step, real_round = Trainer.train_step, half_on_cpu.round_into

    def counted(name: str) -> None:
        real = getattr(kind, name)

        def fetch(self, *arguments, **named):
            caller = sys._getframe(1).f_code
            if steps and not emulating:
                steps[-1].append(f"{name} in {caller.co_filename}, {caller.co_name}")
            return real(self, *arguments, **named)

        monkeypatch.setattr(kind, name, fetch)

    def round_into(*arguments):
        emulating.append(True)  # the emulation of half precision rounds by numpy
        real_round(*arguments)
        emulating.pop()

    def train_step(self, *arguments):
        steps.append([])
        return real_step(self, *arguments)

    monkeypatch.setattr(half_on_cpu, "round_into", round_into)
    for name in FETCHES:
        counted(name)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    return steps


def one_each(steps: list, count: int, heads: int = 1) -> None:
    """Of all steps but the last, behind which results are written, and those in which one of ``heads`` is used first.

    The optimiser makes its state then.
    """
    assert len(steps) == count
    usual = [step for step in steps[:-1] if not any("_hold" in fetch for fetch in step)]
    assert len(usual) >= count - 1 - heads
    for step in usual:
        assert len(step) == 1 and step[0].startswith("numpy in ") and step[0].endswith("optimizer.py, step"), step


@pytest.mark.parametrize("precision", ["fp32", "O1", "O2"])
def test_pre_training_waits_once_a_step(tmp_path, train, half, fetched, precision):  # noqa: F811
    """For the norm of the gradients, with what a log line shows, whatever the tasks and the number of micro-batches."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 4, "sentence_reordering": 3, "capitalization": 2}],
                        log_every=100, checkpoint_every=100)
    if precision != "fp32":
        half()
    settings = [] if precision == "fp32" else [HALF, SCALE, f"amp_level={precision}"]
    assert train(file, tmp_path / "run", *settings) == 0
    one_each(fetched, 9, heads=3)


@pytest.mark.parametrize("task", ["rte", "sts-b", "msra-ner", "cmrc2018", "nlpcc-dbqa"])
def test_fine_tuning_waits_once_a_step(tmp_path, model_files, fetched, task):  # noqa: F811
    assert finetune(task, make_data(task, tmp_path / "data"), tmp_path / "run", model_files, "batch_size=2",
                    "log_every=100", "checkpoint_every=100") == 0
    one_each(fetched, 4)
