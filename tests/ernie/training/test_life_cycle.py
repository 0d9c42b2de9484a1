"""One life-cycle for pre-training and fine-tuning: what is held here is held on both sides, by real processes."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ernie.launching.launcher import free_ports
from tests.ernie import runs
from tests.ernie.finetuning.tiny import QUICK, make_data

HOOK = """
import os, signal, sys
sys.path[:0] = [{root!r}]

def then_asked(self, trainer):
    finish(self, trainer)
    if trainer.world.rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)

if __name__ == "__main__":
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.training.callbacks import Checkpoints
    finish = Checkpoints.finish
    Checkpoints.finish = then_asked
    from ernie.cli import main
    sys.exit(main())
"""


IMPATIENT = """
import sys
sys.path[:0] = [{root!r}]

if __name__ == "__main__":
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.training import run
    run.PATIENCE = 0.5
    from ernie.cli import main
    sys.exit(main())
"""


class Side:
    """A small run of one kind: its commands, and what it leaves."""

    def __init__(self, kind: str, folder, model_files):
        self.kind, self.folder, self.output = kind, folder, folder / "run"
        if kind == "pretrain":
            file = runs.declare(folder, [{"knowledge_masking": 24}], workers=1, checkpoint_every=100)
            self.shell = ["bash", "run_pretrain.sh", "--config", str(file), "--output", str(self.output)]
            self.direct = ["pretrain", "--config", str(file), "--output", str(self.output), "--stage", "1"]
            self.log, self.resumable = self.output / "stage-1" / "log.jsonl", self.output / "stage-1"
            return
        data = make_data("rte", folder / "data")
        rows = (data / "train.tsv").read_text().splitlines()
        (data / "train.tsv").write_text("\n".join(rows + rows[1:] * 5) + "\n")
        arguments = ["--data", str(data), "--output", str(self.output), "--model", str(model_files[0]),
                     "--vocab", str(model_files[1])]
        for setting in [*QUICK, "batch_size=4", "epochs=2", "workers=1", "micro_batch_tokens=16"]:
            arguments += ["--set", setting]
        self.shell = ["bash", "run_finetune.sh", "rte", *arguments]
        self.direct = ["finetune", "--task", "rte", *arguments]
        self.log, self.resumable = self.output / "seed-1" / "log.jsonl", self.output / "seed-1"

    def start(self, *options, log="log", **environment) -> subprocess.Popen:
        """The launcher; what it says is appended to a file."""
        with open(self.folder / log, "a") as file:
            return subprocess.Popen([*self.shell, *options], cwd=runs.ROOT, stdout=file, stderr=subprocess.STDOUT,
                                    start_new_session=True, env={**runs.ENVIRONMENT, **environment})

    def long(self, steps: int) -> list[str]:
        """Flags for another number of steps, a multiple of twelve: more, so that a run is not over too early."""
        return ["--set", f"stages=[{{tasks: {{knowledge_masking: {steps}}}}}]" if self.kind == "pretrain" else
                f"epochs={steps // 12}"]

    def said(self, log="log") -> str:
        return (self.folder / log).read_text("utf-8", "replace")

    def steps(self) -> int:
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def weights(self) -> dict:
        """Of the last checkpoint."""
        return runs.load_file(max(self.resumable.glob("step-*")) / "model.safetensors")


@pytest.fixture(params=["pretrain", "finetune"])
def side(request, tmp_path, model_files):  # noqa: F811
    return Side(request.param, tmp_path, model_files)


def ended(process, code, side, timeout=400, log="log") -> None:
    try:
        assert process.wait(timeout) == code, side.said(log)
    finally:
        runs.end(process)


def wait_for(reached, process, side, seconds=400, log="log") -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None and time.monotonic() < deadline, side.said(log)
        time.sleep(0.005)


def started(process, name) -> bool:
    """Whether a rank runs its own program."""
    return name in runs.family(process.pid)


def alive(pids) -> list[int]:
    def state(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0]
        except OSError:
            return "gone"
    return [pid for pid in pids if state(pid) not in ("gone", "Z")]


@pytest.mark.slow
def test_two_nodes_end_orderly_when_one_rank_is_asked_after_its_last_step(side):
    (side.folder / "main.py").write_text(HOOK.format(root=str(runs.ROOT)))
    master = f"localhost:{free_ports(1)[0]}"
    nodes = [side.start("--nnodes", "2", "--rank", str(rank), "--master", master, log=f"log{rank}",
                        ERNIE_MAIN=str(side.folder / "main.py")) for rank in (0, 1)]
    for rank, node in enumerate(nodes):
        ended(node, 1, side, log=f"log{rank}")
        assert "start the same command again to go on" in side.said(f"log{rank}")
        assert "failed" not in side.said(f"log{rank}").lower() and "gloo" not in side.said(f"log{rank}")
    assert "stopped by another rank after step" in side.said("log0")
    ended(side.start(), 0, side)


@pytest.mark.slow
def test_nodes_that_do_not_share_the_output_are_told_at_the_start(side):
    """And not when the run is resumed, from a checkpoint that only one of them has."""
    (side.folder / "main.py").write_text(IMPATIENT.format(root=str(runs.ROOT)))
    master = f"localhost:{free_ports(1)[0]}"
    nodes = [side.start("--nnodes", "2", "--rank", str(rank), "--master", master, "--output",
                        str(side.folder / f"disk{rank}"), log=f"log{rank}",
                        ERNIE_MAIN=str(side.folder / "main.py")) for rank in (0, 1)]
    host = os.uname().nodename
    for rank, node in enumerate(nodes):
        ended(node, 2, side, log=f"log{rank}")
    assert f"disk0: rank 1 on {host} does not see what rank 0 on {host} writes here: the output directory must be " \
           "on a file system that all nodes share" in side.said("log0")
    assert "Traceback" not in side.said("log0") + side.said("log1") and "again" not in side.said("log0")


@pytest.mark.slow
def test_a_killed_rank_starts_both_nodes_again(side):
    """So many steps that the run is not over before the kill."""
    master = f"localhost:{free_ports(1)[0]}"
    flags = ["--nnodes", "2", "--master", master, "--set", "checkpoint_every=20", *side.long(240)]
    nodes = [side.start(*flags, "--rank", str(rank), log=f"log{rank}") for rank in (0, 1)]
    try:
        wait_for(lambda: side.steps() >= 30, nodes[0], side, log="log0")
        os.kill(runs.family(nodes[1].pid)["rank 0"], signal.SIGKILL)  # the only one of its node
        for rank, node in enumerate(nodes):
            ended(node, 0, side, log=f"log{rank}")
    finally:
        for node in nodes:
            runs.end(node)
    assert "again from its last checkpoint (1 of 3)" in side.said("log0") and side.steps() == 240
    assert "SIGKILL: out of memory, or killed by hand" in side.said("log1")
    assert "another node has failed" in side.said("log0") or "rank 1 failed in" in side.said("log0")


@pytest.mark.slow
def test_a_second_launch_touches_nothing_of_the_first(side):
    first = side.start(*side.long(72))
    second = None
    try:
        wait_for(lambda: side.steps() > 1, first, side)
        rank = runs.family(first.pid)["rank 0"]
        os.kill(rank, signal.SIGSTOP)  # so that it does not come to its end in the meantime
        log = next(side.output.rglob("workerlog.0"))
        before = log.stat().st_ino
        second = side.start(*side.long(72), log="log2")
        wait_for(lambda: "waiting for another process" in side.said("log2"), second, side)
        assert f"to leave {side.output}" in side.said("log2")
        assert log.stat().st_ino == before
        os.kill(rank, signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        assert first.wait(300) in (0, 1) and "SIGTERM" in side.said()
    finally:
        runs.end(first)
        if second:
            ended(second, 0, side, log="log2")


def test_a_full_console_ends_no_healthy_run(side):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "ernie", *side.direct], cwd=runs.ROOT, stdout=full,
                              stderr=subprocess.PIPE, text=True, env=runs.ENVIRONMENT, timeout=400)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert side.steps() == 24


@pytest.mark.slow
def test_a_rank_that_hangs_before_its_first_step_is_named_and_ends_the_job(side):
    process = side.start("--devices", "0,1", "--max-restarts", "0", "--set", "start_timeout=10")
    wait_for(lambda: started(process, "rank 1"), process, side)
    rank = runs.family(process.pid)["rank 1"]
    os.kill(rank, signal.SIGSTOP)
    try:
        ended(process, 1, side)
    finally:
        if alive([rank]):
            os.kill(rank, signal.SIGKILL)
    assert "(start_timeout)" in side.said()
    assert "rank 1 is where the others wait" in side.said()


@pytest.mark.slow
def test_a_second_signal_ends_everything_at_once(side):
    process = side.start("--devices", "0,1")
    wait_for(lambda: started(process, "rank 1"), process, side)
    pids = runs.everyone(process.pid)
    os.kill(runs.family(process.pid)["rank 1"], signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "once more ends without saving" in side.said(), process, side)  # two at once count as one
    process.send_signal(signal.SIGTERM)
    ended(process, 1, side, 120)  # rank 0 would wait for rank 1 for half an hour
    deadline = time.monotonic() + 60
    while alive(pids):
        assert time.monotonic() < deadline, alive(pids)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["0", "0,1"])
def test_a_scheduler_that_signals_every_process_loses_nothing(side, devices):
    """As ``timeout`` and SLURM do: shell, launcher, ranks and batch workers get SIGTERM in the same moment."""
    flags = ["--devices", devices, *side.long(72)]
    process = side.start(*flags)
    wait_for(lambda: side.steps() >= 5, process, side)
    for pid in runs.everyone(process.pid):
        os.kill(pid, signal.SIGTERM)
    ended(process, 1, side)
    at = side.steps()
    assert 5 <= at < 72 and "want of memory" not in side.said()
    # of two ranks the one that speaks may hear of the stop from the other before it takes the signal
    assert re.search(f"stopped by (SIGTERM{'|another rank' * (devices == '0,1')}) after step {at} ", side.said())
    assert max(side.resumable.glob("step-*")).name == f"step-{at:08d}"
    ended(side.start(*flags), 0, side)
    stopped = side.weights()
    side.output.rename(side.folder / "stopped")
    ended(side.start(*flags), 0, side)
    assert runs.identical(stopped, side.weights())


def test_a_stop_within_a_step_saves_the_state_before_it(side, monkeypatch):
    from ernie.cli import main
    from ernie.training.trainer import Trainer
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    between = Trainer.stopped_between

    def asked_in_the_third_step(self, last):
        if self.state.step == 2 and not self.stop_requested():
            os.kill(os.getpid(), signal.SIGTERM)
        return between(self, last)

    monkeypatch.setenv("ERNIE_LAUNCHER", str(os.getpid()))
    command = [*side.direct, "--set", "workers=0"]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "stopped_between", asked_in_the_third_step)
            assert main(command) == 75
        assert side.steps() == 2
        assert [path.name for path in side.resumable.glob("step-*")] == ["step-00000002"]
        assert main(command) == 0
        resumed = side.weights()
        side.output.rename(side.folder / "resumed")
        assert main(command) == 0
        assert runs.identical(resumed, side.weights())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_recipe_of_ones_own_that_trains_nothing_is_answered_by_one_process(tmp_path, model_files):
    from tests.ernie.finetuning.tiny import finetune, table
    assert finetune("mnli", make_data("mnli", tmp_path / "mnli"), tmp_path / "model", model_files) == 0
    data = tmp_path / "ax"
    data.mkdir()
    table(data / "ax.tsv", ["index", "sentence1", "sentence2"], [[0, "a", "b"], [1, "c", "d"]])
    recipe = tmp_path / "myax.yaml"
    recipe.write_text((runs.ROOT / "configs" / "finetune" / "ax.yaml").read_text())
    command = ["bash", "run_finetune.sh", str(recipe), "--data", str(data), "--output", str(tmp_path / "out"),
               "--init", str(tmp_path / "model"), "--devices", "0,1"]
    done = subprocess.run(command, cwd=runs.ROOT, env=runs.ENVIRONMENT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "predictions in" in done.stdout
    assert "predictions in" not in (tmp_path / "out" / "logs-node0" / "workerlog.1").read_text()
    assert json.loads((tmp_path / "out" / "result.json").read_text())


def test_a_task_file_that_prints_does_not_confuse_the_launcher(tmp_path):
    (tmp_path / "hello.py").write_text("print('hello')\nprint(7)\nfrom tasks.capitalization import Capitalization\n"
                                       "class Mine(Capitalization):\n    name = 'mine'\n")
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}])
    runs.run(file, tmp_path / "run", "--tasks-from", str(tmp_path / "hello.py"))
    assert (tmp_path / "run" / "stage-1" / "done.json").exists()


def contents(folder) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


def test_what_trains_nothing_writes_nothing(tmp_path):
    file, output = runs.declare(tmp_path, [{"knowledge_masking": 2}]), tmp_path / "run"
    runs.run(file, output)
    longer = ["--set", "tasks=[knowledge_masking, capitalization]", "--set",
              "stages=[{tasks: {knowledge_masking: 2}}, {tasks: {knowledge_masking: 2, capitalization: 2}}]"]
    before = contents(output)
    said = runs.run(file, output, "--dry-run", *longer)
    assert "would launch: stage 2" in said
    flags = ["--config", str(file), "--output", str(output)]
    for command in (["stages", *flags, "--dry-run"], ["stages", *flags, "--table"], ["plan", *flags],
                    ["inspect", "--run", str(output), "--stage", "1", "--step", "1"]):
        done = subprocess.run([sys.executable, "-m", "ernie", *command], cwd=runs.ROOT, env=runs.ENVIRONMENT,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert contents(output) == before
    runs.run(file, output)  # the run as it was first declared goes on
    runs.run(file, output, *longer)
    assert (output / "stage-2" / "done.json").exists()


def test_a_stop_while_nodes_wait_for_one_another_ends_at_once(side):
    process = side.start("--nnodes", "2", "--rank", "1", "--master", f"localhost:{free_ports(1)[0]}")
    wait_for(lambda: "waiting for 2 nodes at localhost:" in side.said(), process, side)
    process.send_signal(signal.SIGTERM)
    ended(process, 1, side, 300)  # the nodes would wait for ten minutes
    assert "start the same command again to go on" in side.said()


def test_nodes_that_do_not_come_in_time_are_one_line(side):
    process = side.start("--nnodes", "2", "--rank", "0", "--master", f"localhost:{free_ports(1)[0]}",
                         "--rendezvous-timeout", "1")
    ended(process, 2, side, 300)
    assert "missing: node 1. The same command must be started on every node" in side.said()
