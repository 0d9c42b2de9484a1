"""How often a step waits for the device: every value that is fetched from it makes Python wait until it is computed."""
import json
import sys
from collections.abc import Callable

import pytest

from tests.ernie import runs
from tests.ernie.finetuning.tiny import finetune, make_data
from tests.ernie.training.test_half import HALF, SCALE

FETCHES = ("numpy", "item", "tolist", "cpu", "__array__", "__bool__", "__float__", "__int__", "__index__")


def watch(replace: Callable, steps: list) -> None:
    """From now on ``steps`` gets a list for every step: who fetched what, from its beginning to that of the next.

    The operators are those that a GPU runs. ``replace`` sets an attribute, as ``setattr`` does.
    """
    import paddle

    from ernie.model import cpu_kernels
    from ernie.training.trainer import Trainer
    from tests.ernie.training import half_on_cpu
    replace(cpu_kernels, "eager_on_cpu", lambda: False)
    kind, emulating = type(paddle.ones([1])), []
    real_step, real_round = Trainer.train_step, half_on_cpu.round_into

    def counted(name: str) -> None:
        real = getattr(kind, name)

        def fetch(self, *arguments, **named):
            caller = sys._getframe(1).f_code
            if steps and not emulating:
                steps[-1].append(f"{name} in {caller.co_filename}, {caller.co_name}")
            return real(self, *arguments, **named)

        replace(kind, name, fetch)

    def round_into(*arguments):
        emulating.append(True)  # the emulation of half precision rounds by numpy
        real_round(*arguments)
        emulating.pop()

    def train_step(self, *arguments):
        steps.append([])
        return real_step(self, *arguments)

    replace(half_on_cpu, "round_into", round_into)
    for name in FETCHES:
        counted(name)
    replace(Trainer, "train_step", train_step)


@pytest.fixture
def fetched(monkeypatch):
    """From one step to the next, who fetched what: a list of lists."""
    steps: list = []
    watch(monkeypatch.setattr, steps)
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
def test_pre_training_waits_once_a_step(tmp_path, train, half, fetched, precision):
    """For the norm of the gradients, with what a log line shows, whatever the tasks and the number of micro-batches."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 4, "sentence_reordering": 3, "capitalization": 2}],
                        log_every=100, checkpoint_every=100)
    if precision != "fp32":
        half()
    settings = [] if precision == "fp32" else [HALF, SCALE, f"amp_level={precision}"]
    assert train(file, tmp_path / "run", *settings) == 0
    one_each(fetched, 9, heads=3)


@pytest.mark.parametrize("task", ["rte", "sts-b", "msra-ner", "cmrc2018", "nlpcc-dbqa"])
def test_fine_tuning_waits_once_a_step(tmp_path, model_files, fetched, task):
    assert finetune(task, make_data(task, tmp_path / "data"), tmp_path / "run", model_files, "batch_size=2",
                    "log_every=100", "checkpoint_every=100") == 0
    one_each(fetched, 4)


WATCHED = """
import json, os
from tasks.token_document import TokenDocument

class Watched(TokenDocument):
    name = "watched"

if "PADDLE_TRAINER_ID" in os.environ:
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.training.trainer import Trainer
    from tests.ernie.training.test_fetches import watch
    steps = []
    watch(setattr, steps)
    real = Trainer.train_step

    def train_step(self, *arguments):
        with open({folder!r} + "/rank-" + os.environ["PADDLE_TRAINER_ID"], "w") as file:
            json.dump(steps, file)
        return real(self, *arguments)

    Trainer.train_step = train_step
"""


@pytest.mark.slow
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_ranks_wait_again_between_micro_batches_alone(tmp_path, micro_batches):
    """A rank waits at the end of a step, for the other ranks' sums and the norm.

    Before the last of several micro-batches it asks the other ranks whether to stop, which is a wait of its own.
    """
    (tmp_path / "watched.py").write_text(WATCHED.format(folder=str(tmp_path)))
    file = runs.declare(tmp_path, [{"watched": 6, "sentence_reordering": 3}], log_every=100, checkpoint_every=100,
                        check_ranks_every=100, micro_batch_tokens=128 // micro_batches,
                        tasks_from=[str(tmp_path / "watched.py")])
    runs.run(file, tmp_path / "run", "--devices", "0,1", "--max-restarts", "0")
    between = ["distributed.py, sum_over_ranks"] * (micro_batches > 1)
    for rank in (0, 1):
        steps = json.loads((tmp_path / f"rank-{rank}").read_text())
        places = [[fetch.rpartition("/")[2] for fetch in step] for step in steps]
        usual = [step for step in places if "optimizer.py, _hold" not in step]
        assert len(places) == 8 and len(usual) >= 5
        for step in usual:  # where a line is logged, the ranks' times are gathered after the step
            assert step[:len(between) + 2] == [*between, "distributed.py, finish", "optimizer.py, step"], step
            assert set(step[len(between) + 2:]) <= {"distributed.py, <listcomp>", "distributed.py, gather_values"}, step
