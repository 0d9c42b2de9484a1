"""A process ends with the launcher that has started it, and with nobody else: not with the shell it was typed into."""
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ernie.training.watchdog import Watchdog
from tests.ernie import runs
from tests.ernie.training.test_life_cycle import alive, side, started, wait_for  # noqa: F401  (a fixture)

# Starts "$@" in the background and exits when the process watches over itself, which the mark of its rank shows.
SHELL = '"$@" >"$LOG" 2>&1 & echo $!; while [ ! -e "$MARK" ] && kill -0 $!; do sleep 0.05; done'
ADOPT = 36  # PR_SET_CHILD_SUBREAPER: orphans become children of this process, which so learns their exit code


def wait_for_code(pid: int, seconds: float) -> int:
    """The exit code of an adopted process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("still there")


@pytest.fixture
def adopting():
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(ADOPT, 1, 0, 0, 0):
        pytest.skip("this system knows no subreaper")
    yield
    prctl(ADOPT, 0, 0, 0, 0)


def test_a_command_goes_on_when_the_shell_that_started_it_exits(side, adopting):  # noqa: F811
    own = {name: value for name, value in runs.ENVIRONMENT.items() if not name.startswith(("ERNIE_", "PADDLE_"))}
    shell = subprocess.run(["sh", "-c", SHELL, "sh", sys.executable, "-m", "ernie", *side.direct], cwd=runs.ROOT,
                           env={**own, "MARK": str(side.output / "alive" / "rank-0.json"),
                                "LOG": str(side.folder / "log")}, stdout=subprocess.PIPE, text=True, timeout=300)
    assert wait_for_code(int(shell.stdout), 300) == 0, side.said()
    assert side.steps() == 24 and "launcher" not in side.said()


@pytest.mark.slow
@pytest.mark.parametrize("who, early", [("launcher", False), ("launcher", True), ("shell", False)])
def test_a_rank_whose_launcher_is_killed_ends_by_itself(side, who, early):  # noqa: F811
    """Also where that happens before the rank has begun to look."""
    process = side.start(*side.long(120_000))
    try:
        found = {"others": []}
        wait_for(lambda: started(process, "rank 0") and (early or side.steps() >= 2), process, side)
        found = runs.family(process.pid)
        if who == "launcher":
            os.kill(found["shell"], signal.SIGSTOP)  # it stays, and starts nothing anew
        os.kill(found[who], signal.SIGKILL)
        deadline = time.monotonic() + 300
        while alive([found["rank 0"]]):
            assert time.monotonic() < deadline, side.said()
            time.sleep(0.05)
        if not early:
            assert max(side.resumable.glob("step-*")).name == f"step-{side.steps():08d}"
    finally:
        runs.end(process)
        runs.kill(found)


@pytest.mark.parametrize("variable", ["ERNIE_LAUNCHER", "ERNIE_PARENT"])
def test_an_orphan_asks_for_a_stop(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, Path("/proc/sys/kernel/pid_max").read_text().strip())  # which no process has
    asked = []
    with Watchdog(tmp_path, 0, "stage 1", 60, 60, asked.append):
        deadline = time.monotonic() + 60
        while not asked and time.monotonic() < deadline:
            time.sleep(0.05)
    assert asked == ["the death of the launcher"]
