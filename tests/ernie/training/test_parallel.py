"""One rank or two, resumed or not: the same losses and weights; and those that were seen when this was made."""
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from ernie.utils.paddle_setup import import_paddle
from reader.utils.errors import InputError
from tests.ernie import runs

# Losses of eight steps from given weights without dropout, worked out on Paddle 3.3.1 and 2.6.2 with one rank.
GOLDEN = {"knowledge_masking": [4.22371, 4.19285, 4.27044, 4.12880, 4.15609, 4.15182, 4.04592, 4.00347],
          "capitalization": [0.68538, 0.64117, 0.53328, 0.46469, 0.40730, 0.37221, 0.32885, 0.34461]}
import_paddle()
from ernie.model import onednn  # noqa: E402

needs_onednn = pytest.mark.skipif(bool(onednn.unavailable()), reason=onednn.unavailable())
STAGE = {"knowledge_masking": 5, "capitalization": 3}


def given_weights(folder) -> str:
    """A checkpoint whose values come from numpy, so that every Paddle starts from the same."""
    import_paddle()
    from ernie.model.config import ErnieConfig
    from ernie.model.pretraining_model import PretrainingModel
    from tasks import load

    config = ErnieConfig.load(folder / "model.json")
    model, rng = PretrainingModel(config, {name: load(name) for name in STAGE}), np.random.default_rng(5)
    arrays = {}
    for name, value in sorted(model.state_dict().items()):
        arrays[name] = rng.normal(0, 0.05, value.shape).astype(np.float32) + ("norm" in name and "weight" in name)
    directory = folder / "init"
    directory.mkdir()
    save_file({name: np.float32(array) for name, array in arrays.items()}, directory / "model.safetensors")
    (directory / "ernie_config.json").write_text(json.dumps(config.to_dict()))
    (directory / "vocab.txt").write_bytes((folder / "train" / "vocab.txt").read_bytes())
    return str(directory)


def check(output) -> None:
    found = runs.losses(output)
    for name, curve in GOLDEN.items():
        assert np.allclose([step[name] for step in found], curve, rtol=0, atol=2e-4), found


def test_golden_losses_of_one_and_two_ranks(tmp_path, train):
    file = runs.declare(tmp_path, [STAGE], dropout=0.0)
    file = runs.declare(tmp_path, [STAGE], dropout=0.0, init=given_weights(tmp_path))
    assert train(file, tmp_path / "one") == 0
    check(tmp_path / "one")
    runs.run(file, tmp_path / "two", "--devices", "0,1")
    check(tmp_path / "two")
    assert runs.difference(runs.final(tmp_path / "one"), runs.final(tmp_path / "two")) < 1e-5


def test_two_ranks_drop_what_one_rank_drops(tmp_path, train):
    """The dropout of a micro-batch is its own, whichever rank computes it and after how many others."""
    file = runs.declare(tmp_path, [STAGE], dropout=0.3, dev_batches=1)
    assert train(file, tmp_path / "one") == 0
    runs.run(file, tmp_path / "two", "--devices", "0,1")
    assert runs.difference(runs.final(tmp_path / "one"), runs.final(tmp_path / "two")) < 1e-5


def test_the_weight_of_a_curriculum_reaches_the_loss(tmp_path, train):
    """A task of weight 0 is logged, and its head stays as it began."""
    tasks = ["knowledge_masking", {"name": "capitalization", "weight": 0.0}]
    file = runs.declare(tmp_path, [STAGE], tasks=tasks)
    assert train(file, tmp_path / "run") == 0
    weights = runs.final(tmp_path / "run")
    assert not weights["heads.capitalization.bias"].any() and weights["cls.predictions.decoder_bias"].any()
    assert all("capitalization" in step for step in runs.losses(tmp_path / "run"))


JOIN = """
import os, sys, time
sys.path[:0] = [{root!r}]
if __name__ == "__main__":
    from ernie.utils.paddle_setup import import_paddle
    paddle = import_paddle()
    from paddle.distributed import fleet
    from ernie.training import distributed
    make = paddle.distributed.new_group

    def late(*arguments, **named):
        time.sleep(2 * (os.environ["PADDLE_TRAINER_ID"] == "1"))
        return make(*arguments, **named)

    paddle.distributed.new_group = late
    distributed.start(60)
    assert paddle.distributed.new_group is late
    print("group", fleet.get_hybrid_communicate_group().get_data_parallel_group().id)
"""


def test_ranks_on_a_cpu_meet_once(tmp_path):
    """In a second gloo group an early rank would read what a late one had written for the first."""
    (tmp_path / "join.py").write_text(JOIN.format(root=str(runs.ROOT)))
    done = subprocess.run([sys.executable, "-m", "ernie.launching.launcher", "--devices", "0,1", "--logs",
                           str(tmp_path / "logs"), "--marks", str(tmp_path / "marks"), "--", str(tmp_path / "join.py")],
                          cwd=runs.ROOT, env=runs.ENVIRONMENT, capture_output=True, text=True, timeout=400)
    logs = [(tmp_path / "logs" / f"workerlog.{rank}").read_text() for rank in (0, 1)]
    assert done.returncode == 0 and all("group 0\n" in log for log in logs), logs


@pytest.mark.slow
def test_eight_ranks_train_what_one_trains(tmp_path, train):
    """Eight processes over gloo: the losses and weights of one."""
    file = runs.declare(tmp_path, [STAGE], dropout=0.0, batch_tokens=1024)
    assert train(file, tmp_path / "one") == 0
    runs.run(file, tmp_path / "eight", "--devices", "0,1,2,3,4,5,6,7", "--max-restarts", "2", timeout=500)
    assert runs.difference(runs.final(tmp_path / "one"), runs.final(tmp_path / "eight")) < 1e-5
    for one, eight in zip(runs.losses(tmp_path / "one"), runs.losses(tmp_path / "eight"), strict=True):
        assert one == pytest.approx(eight, abs=1e-5)


def test_forms_for_gpus_train_what_the_plain_ones_train(tmp_path, train, capsys):
    """Those that a CPU has: on Paddle 3.x attention, on both joined products, padded rows and vocabulary."""
    file = runs.declare(tmp_path, [STAGE], dropout=0.0, max_length=30)
    assert train(file, tmp_path / "plain", "kernels=plain") == 0
    assert "kernels:" not in capsys.readouterr().out
    assert train(file, tmp_path / "fused", "kernels=fused") == 0
    said = capsys.readouterr().out
    assert "kernels: rows padded to a multiple of 8 tokens: used" in said and "AdamW" not in said
    assert 0 < runs.difference(runs.final(tmp_path / "plain"), runs.final(tmp_path / "fused")) < 1e-4
    assert train(file, tmp_path / "again", "kernels=fused", "recompute=attention") == 0
    assert runs.difference(runs.final(tmp_path / "fused"), runs.final(tmp_path / "again")) < 1e-5
    runs.run(file, tmp_path / "two", "--devices", "0,1", "--max-restarts", "0", "--set", "kernels=fused")
    assert runs.difference(runs.final(tmp_path / "fused"), runs.final(tmp_path / "two")) < 1e-5


@pytest.mark.parametrize("before, after", [
    ("0,1", "0"), ("0", "0,1"), pytest.param("0,1,2,3", "0,1", marks=pytest.mark.slow)])
def test_a_run_may_come_back_with_another_number_of_ranks(tmp_path, train, before, after):
    """The global batches stay what they are: the hash of all rows that were read is that of one rank."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 40, "sentence_reordering": 8}], dropout=0.1, workers=1,
                        batch_tokens=512)  # long steps: the stop must be heard before the last one
    assert train(file, tmp_path / "one") == 0
    output = tmp_path / "run"
    process = runs.start(file, output, "--devices", before)
    try:
        deadline = time.monotonic() + 400
        while not list(output.glob("stage-1/step-*")):
            assert process.poll() is None and time.monotonic() < deadline, runs.said(output)
            time.sleep(0.005)
        for pid in runs.everyone(process.pid):  # the ranks themselves: of the shell they would hear a second later
            os.kill(pid, signal.SIGTERM)
        assert process.wait(300) == 1, runs.said(output)
    finally:
        runs.end(process)
    words = runs.run(file, output, "--devices", after)
    assert "resumes" in words
    cards = [json.loads(line)["cards"] for line in (output / "stage-1" / "log.jsonl").read_text().splitlines()]
    assert (cards[0], cards[-1]) == (before.count(",") + 1, after.count(",") + 1) and len(cards) == 48
    assert data_hash(output) == data_hash(tmp_path / "one")
    assert runs.difference(runs.final(tmp_path / "one"), runs.final(output)) < 1e-5
    for one, several in zip(runs.losses(tmp_path / "one"), runs.losses(output), strict=True):
        assert one == pytest.approx(several, abs=1e-4)


def data_hash(output) -> str:
    """Of all rows that stage 1 has read."""
    done = json.loads((output / "stage-1" / "done.json").read_text())
    return json.loads((output / "stage-1" / done["checkpoint"] / "state.json").read_text())["data_hash"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, train, workers):
    stages = [{"knowledge_masking": 6, "sentence_reordering": 3}]
    file = runs.declare(tmp_path, stages, workers=workers, checkpoint_every=4)
    assert train(file, tmp_path / "whole") == 0
    assert train(file, tmp_path / "parts", stop_after=1) == 75  # before the head of one task has seen a batch
    assert train(file, tmp_path / "parts", stop_after=4) == 75
    assert train(file, tmp_path / "parts") == 0
    assert runs.identical(runs.final(tmp_path / "whole"), runs.final(tmp_path / "parts"))
    assert runs.losses(tmp_path / "whole") == runs.losses(tmp_path / "parts")


@needs_onednn
def test_two_ranks_with_a_worker_agree_in_bfloat16(tmp_path, train):
    file = runs.declare(tmp_path, [STAGE], dropout=0.3, precision="bf16", workers=1)
    assert train(file, tmp_path / "one") == 0
    runs.run(file, tmp_path / "two", "--devices", "0,1")
    one, two = runs.final(tmp_path / "one"), runs.final(tmp_path / "two")
    assert train(file, tmp_path / "float", "precision=fp32") == 0
    ranks, formats = runs.difference(one, two), runs.difference(one, runs.final(tmp_path / "float"))
    assert ranks < 5e-4 and formats > 10 * ranks  # the last bit of a sum decides how a value is rounded


@needs_onednn
def test_a_stopped_bfloat16_run_goes_on_bit_for_bit(tmp_path, train):
    file = runs.declare(tmp_path, [STAGE], workers=1, checkpoint_every=4, precision="bf16")
    assert train(file, tmp_path / "whole") == 0
    assert train(file, tmp_path / "parts", stop_after=4) == 75
    assert train(file, tmp_path / "parts") == 0
    assert runs.identical(runs.final(tmp_path / "whole"), runs.final(tmp_path / "parts"))


def test_accumulation_changes_nothing_but_rounding(tmp_path, train):
    file = runs.declare(tmp_path, [STAGE], dropout=0.0)
    assert train(file, tmp_path / "many") == 0
    assert train(file, tmp_path / "few", "micro_batch_tokens=256") == 0
    assert runs.difference(runs.final(tmp_path / "many"), runs.final(tmp_path / "few")) < 1e-5


def test_stages_follow_one_another_and_a_finished_one_is_left_alone(tmp_path, train):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}, {"knowledge_masking": 2, "capitalization": 2}])
    assert train(file, tmp_path / "run") == 0
    first = runs.final(tmp_path / "run")
    assert train(file, tmp_path / "run", number=2) == 0
    second = runs.final(tmp_path / "run", 2)
    assert "heads.capitalization.weight" in second.keys() - first.keys()
    assert runs.identical(first, runs.final(tmp_path / "run"))
    measured = json.loads((tmp_path / "run/stage-2/dev.json").read_text())
    assert set(measured) == {"knowledge_masking", "capitalization"}


@pytest.mark.parametrize("choice", ["true", "attention", "2"])
def test_two_ranks_recompute(tmp_path, choice):
    """Heads and the pooler are unused in turn, the first micro-batch is not summed, dropout is drawn again."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 4, "sentence_reordering": 3, "capitalization": 2}])
    runs.run(file, tmp_path / "plain", "--devices", "0,1", "--max-restarts", "0")
    runs.run(file, tmp_path / "recomputed", "--devices", "0,1", "--max-restarts", "0", "--set", f"recompute={choice}")
    plain, recomputed = runs.final(tmp_path / "plain"), runs.final(tmp_path / "recomputed")
    if choice == "attention":  # the gradients of query, key and value are added in another order
        assert runs.difference(plain, recomputed) < 1e-6
    else:
        assert runs.identical(plain, recomputed)


def test_a_head_that_no_step_uses_is_left_alone_by_two_ranks(tmp_path):
    """The second stage does not train the tasks of the first: their heads keep every bit, weight decay and all."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 2, "sentence_reordering": 2}, {"capitalization": 3}])
    runs.run(file, tmp_path / "run", "--devices", "0,1", "--max-restarts", "0")
    first, second = runs.final(tmp_path / "run"), runs.final(tmp_path / "run", 2)
    unused = [name for name in first if name.startswith(("heads.", "cls.", "ernie.pooler."))]
    assert len(unused) == 9 and all(np.array_equal(first[name], second[name]) for name in unused)
    trained = first.keys() - set(unused)
    assert not any(np.array_equal(first[name], second[name]) for name in trained if "attn.q_proj.weight" in name)


def test_padding_to_few_widths_changes_neither_batches_nor_results(tmp_path, train):
    file = runs.declare(tmp_path, [STAGE], dropout=0.0)
    assert train(file, tmp_path / "plain") == 0
    assert train(file, tmp_path / "wide", "width_multiple=64") == 0
    assert data_hash(tmp_path / "plain") == data_hash(tmp_path / "wide")
    assert 0 < runs.difference(runs.final(tmp_path / "plain"), runs.final(tmp_path / "wide")) < 1e-5
    with pytest.raises(InputError, match="12 is not a multiple of 8"):
        train(file, tmp_path / "wrong", "width_multiple=12")


BUCKETS = '''
import gc
import paddle
from tasks.token_document import TokenDocument

class Seen(TokenDocument):
    name = "seen"

    def labels(self, tokens):
        sizes = {found.comm_buffer_size for found in gc.get_objects() if isinstance(found, paddle.DataParallel)}
        print("buckets of", sizes, "bytes", flush=True)
        return super().labels(tokens)
'''


def test_the_size_of_gradient_buckets_is_the_curriculums(tmp_path):
    (tmp_path / "seen.py").write_text(BUCKETS)
    file = runs.declare(tmp_path, [{"seen": 2}], tasks_from=[str(tmp_path / "seen.py")], gradient_bucket_mb=3)
    assert f"buckets of {{{3 << 20}}} bytes" in runs.run(file, tmp_path / "run", "--devices", "0,1")
