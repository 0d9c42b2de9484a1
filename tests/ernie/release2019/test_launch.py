"""The launcher of 2019 with several processes: signals, host names and exit codes are those of today's launcher."""
import os
import re
import signal
import subprocess
import time

import pytest

from ernie.launching.launcher import free_ports
from ernie.release2019 import launch
from tests.ernie import runs

TWO = ("--nproc_per_node", "2", "--selected_gpus", "0,1")
LONG = ("--epoch", "200")  # so that a run is not over before a signal reaches it


@pytest.fixture
def flags(tmp_path, model_files):  # noqa: F811
    for split in "train", "dev":
        (tmp_path / f"{split}.tsv").write_text("text_a\ttext_b\tlabel\n" + "".join(
            f"a b c\t{'abcdefgh'[n % 8]}\t{n % 2}\n" for n in range(200 if split == "train" else 8)))
    return ["--train_set", "train.tsv", "--dev_set", "dev.tsv", "--do_test", "false", "--for_cn", "false",
            "--vocab_path", str(model_files[1]), "--ernie_config_path", str(model_files[0]), "--batch_size", "2",
            "--max_seq_len", "32", "--epoch", "1", "--skip_steps", "1", "--use_cuda", "false",
            "--checkpoints", "made"]


def start(folder, flags, log, *places, port=0) -> subprocess.Popen:
    """The processes that finetune_launch.py starts where there are cards; gloo here. port: instead of 2019's."""
    args = launch.parse([*places, "--split_log_path", log, str(runs.ROOT / "ernie" / "run_classifier.py"), *flags], "")
    what, environment = launch.command(args, gpus=True)
    what = [word.replace("localhost:6170", f"localhost:{port}") for word in what]
    with open(folder / f"{log}.txt", "a") as said:
        return subprocess.Popen(what, cwd=folder, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
                                env={**runs.ENVIRONMENT, **environment, "ERNIE_2019_SEED": "1"})


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(reached, process, file, seconds=400) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline, file.read_text("utf-8", "replace")
        time.sleep(0.02)


def training(file) -> bool:
    return "step: 3," in file.read_text("utf-8", "replace")


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_saves_and_a_second_one_ends_everything(tmp_path, flags, signals):
    process, file = start(tmp_path, [*flags, *LONG], "log", *TWO), tmp_path / "log.txt"
    try:
        wait_for(lambda: training(file), process, file)
        ranks = runs.ranks(process.pid)
        assert list(ranks) == [0, 1]
        if signals == 2:
            os.kill(ranks[1], signal.SIGSTOP)  # so that nobody can agree to stop
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            wait_for((tmp_path / "log" / "stop").exists, process, file)  # two signals at once would count as one
            time.sleep(2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
        code = process.wait(300)
        assert not [pid for pid in ranks.values() if runs.command(pid)]
    finally:
        end(process)
    said = file.read_text("utf-8", "replace")
    if signals == 2:
        assert code == 128 + signal.SIGTERM
        return
    # the rank that speaks may hear of the stop from the other before the signal reaches it: steps take 10 ms
    assert code == 75 and re.search("stopped by (SIGTERM|another rank) after step", said), said
    assert list((tmp_path / "made").glob("run-*/seed-*/step-*")), said
    assert (tmp_path / "made" / "alive").is_dir() and "Traceback" not in said


def test_a_rank_that_dies_is_named_and_ends_the_others(tmp_path, flags):
    process, file = start(tmp_path, [*flags, *LONG], "log", *TWO), tmp_path / "log.txt"
    try:
        wait_for(lambda: training(file), process, file)
        os.kill(runs.ranks(process.pid)[1], signal.SIGKILL)
        assert process.wait(300) == 1
    finally:
        end(process)
    assert "rank 1 failed in" in file.read_text() and "SIGKILL" in file.read_text()


def test_two_nodes_meet_by_name(tmp_path, flags):
    places = ["--nproc_per_node", "1", "--selected_gpus", "0", "--node_ips", "localhost,localhost"]
    port = free_ports(1)[0]
    nodes = [start(tmp_path, flags, f"log{rank}", *places, "--node_id", str(rank), port=port) for rank in (0, 1)]
    try:
        assert [node.wait(400) for node in nodes] == [0, 0], (tmp_path / "log0.txt").read_text()
    finally:
        for node in nodes:
            end(node)
    assert "step: 50," in (tmp_path / "log0.txt").read_text()  # 200 rows, 2 cards of 2 rows each
