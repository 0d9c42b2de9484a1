"""Several runs of a comparison at the same time: shares of the machine, lines told apart, failures and signals."""
import os
import signal
import subprocess
import sys
import time

import pytest

from ernie.comparison.children import Children
from ernie.comparison.driver import Driver
from ernie.comparison.plan import ComparisonPlan, Job
from ernie.comparison.shares import Share, divide
from reader.utils.errors import InputError
from tests.ernie import runs

UNTIL_ASKED = "trap 'echo asked; exit 1' TERM INT; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("jobs, devices, visible, expected", [
    (1, None, None, [[]]),
    (1, "1,3", None, [["--devices", "1,3"]]),
    (2, None, None, [["--devices", "0,1"], ["--devices", "2,3"]]),
    (4, None, None, [["--devices", "0"], ["--devices", "1"], ["--devices", "2"], ["--devices", "3"]]),
    (2, "3,0", None, [["--devices", "3"], ["--devices", "0"]]),
    (2, None, "2,3", [["--devices", "2"], ["--devices", "3"]]),
])
def test_cards_are_shared_equally(four_cards, jobs, devices, visible, expected):
    environment = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
    assert [share.options for share in divide(jobs, devices, environment)] == expected


def test_cards_that_cannot_be_shared_are_refused(four_cards):
    with pytest.raises(InputError, match=r"--jobs 3: 4 devices \(0,1,2,3\) cannot be shared equally"):
        divide(3, None, {})
    with pytest.raises(InputError, match="'7' is no visible card"):
        divide(2, "0,7", {})


@pytest.mark.parametrize("jobs, devices, threads", [(2, None, "3"), (4, None, "1"), (2, "0,1,2,3", "1"),
                                                    (12, None, "1")])
def test_cores_are_shared(monkeypatch, jobs, devices, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    shares = divide(jobs, devices, {"PATH": "", "CUDA_VISIBLE_DEVICES": ""})
    assert [share.environment for share in shares] == [{"OMP_NUM_THREADS": threads}] * jobs
    assert divide(jobs, devices, {"OMP_NUM_THREADS": "5", "CUDA_VISIBLE_DEVICES": ""})[0].environment == {}


def test_lines_are_told_apart_and_none_is_lost():
    said = []
    children = Children(said.append)
    first = children.start(["sh", "-c", "printf 'one\\ntw'; sleep 0.2; echo o; echo wrong >&2; exit 4"], os.environ,
                           "a")
    second = children.start(["sh", "-c", "printf 'one\\nno end of line'; exit 0"], os.environ, "b")
    ended = dict(children.wait() for _ in range(2))
    assert ended == {first: 4, second: 0}
    assert [line for line in said if line.startswith("a")] == ["a | one", "a | two", "a | wrong"]
    assert [line for line in said if line.startswith("b")] == ["b | one", "b | no end of line"]


def test_an_end_is_seen_while_another_process_holds_the_pipe():
    children, begun = Children(lambda line: None), time.monotonic()
    child = children.start(["sh", "-c", "sleep 60 & exit 0"], os.environ, "a")
    assert children.wait() == (child, 0)
    assert time.monotonic() - begun < 30
    os.killpg(child.process.pid, signal.SIGKILL)


def driver_of(monkeypatch, *scripts, said):
    """A driver of two runs at a time whose launchers are shell scripts."""
    plan = ComparisonPlan(None, "", [], [])
    monkeypatch.setattr(plan, "chains", lambda: iter(
        [iter([Job("pretrain", [script], f"run {at}", f"run {at}")]) for at, script in enumerate(scripts)]))
    monkeypatch.setattr("ernie.utils.launchers.command", lambda launcher, arguments: ["sh", "-c", arguments[0]])
    return Driver(plan, [Share(), Share()], said.append)


def test_a_run_that_fails_stops_the_others(monkeypatch):
    said = []
    driver = driver_of(monkeypatch, UNTIL_ASKED, "sleep 1; exit 3", "echo never", said=said)
    assert driver.run() == 3
    assert said == ["compare: run 0", "compare: run 1", "run 0 | ready", "run 0 | asked"]


def test_a_signal_is_handed_on_to_all(monkeypatch):
    said = []
    driver = driver_of(monkeypatch, UNTIL_ASKED, UNTIL_ASKED, "echo never", said=said)
    say = driver.children.say

    def stop_once_both_are_there(line):
        say(line)
        if sum(line.endswith("ready") for line in said) == 2 and line.endswith("ready"):
            os.kill(os.getpid(), signal.SIGTERM)

    driver.children.say = stop_once_both_are_there
    assert driver.run() == 1
    assert sorted(said[4:]) == ["run 0 | asked", "run 1 | asked"]
    assert "compare: run 2" not in said


def test_as_many_at_a_time_as_there_are_jobs(monkeypatch):
    said = []
    assert driver_of(monkeypatch, "sleep 1", "exit 0", "exit 0", said=said).run() == 0
    assert said == ["compare: run 0", "compare: run 1", "compare: run 2"]


def test_the_command_runs_two_at_once(tmp_path):
    for name in "first", "second":
        runs.declare(tmp_path, [{"knowledge_masking": 3}], dev_batches=2).rename(tmp_path / f"{name}.yaml")
    environment = {key: value for key, value in runs.ENVIRONMENT.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-m", "ernie", "compare", str(tmp_path / "first.yaml"),
                           str(tmp_path / "second.yaml"), "--corpus", str(tmp_path), "--output", str(tmp_path / "out"),
                           "--seeds", "1", "--jobs", "2"], capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[1] for line in lines[:2]] == [" first, seed 1", " second, seed 1"]
    for name in "first", "second":
        assert any(line.startswith(f"{name}, seed 1 | ") and "step 3/3" in line for line in lines), done.stdout
    assert "OMP_NUM_THREADS=" not in done.stdout  # shared before the launchers would take all cores
    losses = [[word for line in lines if line.startswith(f"{name}, seed 1 | ") and "step 3/3" in line
               for word in line.split() if word.replace(".", "").isdigit()][:1] for name in ("first", "second")]
    assert losses[0] and losses[0] == losses[1]  # one curriculum under two names
