"""Prefetching: order, errors, killed workers, clean ends."""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from reader.batches.loader import WorkerDied, prefetch
from reader.utils.errors import InputError


class Square:
    """Takes longer for even steps, so that results come back out of order."""

    def __call__(self, step):
        time.sleep(0.02 * (step % 2 == 0))
        return step * step


class Fails:
    def __init__(self, at, error):
        self.at, self.error = at, error

    def __call__(self, step):
        if step == self.at:
            raise self.error
        time.sleep(0.01 if step else 900)  # the first result takes for ever: an error behind it must not wait
        return step


class Dies:
    def __call__(self, step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return step


class Unloadable:
    def __reduce__(self):
        return fail_to_load, ()


def fail_to_load():
    raise InputError("gone", "store/wiki")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers):
    with prefetch(Square(), range(5, 17), workers) as stream:
        assert list(stream) == [step * step for step in range(5, 17)]


class WhoMakesIt:
    def __call__(self, step):
        return step, os.getpid()


@pytest.mark.parametrize("turn", [lambda step: step // 5, lambda step: 0, lambda step: 7 - step % 3])
def test_turns_choose_the_worker_and_results_still_come_in_order(turn):
    with prefetch(WhoMakesIt(), range(30), 3, turn=turn) as stream:
        made = list(stream)
    assert [step for step, _ in made] == list(range(30))
    makers: dict = {}
    for step, pid in made:
        makers.setdefault(turn(step) % 3, set()).add(pid)
    assert all(len(pids) == 1 for pids in makers.values())
    assert len(set.union(*makers.values())) == len(makers)


def test_error_is_raised_at_once_with_the_workers_traceback():
    fetch = Fails(1, InputError("bad", "x", 3))
    with pytest.raises(InputError, match="bad") as caught, prefetch(fetch, range(9), 2) as stream:
        next(stream)
    assert (caught.value.path, caught.value.line) == ("x", 3)
    assert "in __call__" in str(caught.value.__cause__)


class Unpicklable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class RaisesUnpicklable:
    def __call__(self, step):
        raise Unpicklable("a", "b")


def test_an_error_that_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="Unpicklable: a and b"), prefetch(RaisesUnpicklable(), [0], 1) as stream:
        next(stream)


def test_error_while_loading_is_the_users():
    with pytest.raises(InputError, match="store/wiki: gone"), prefetch(Unloadable(), range(3), 1) as stream:
        list(stream)


def test_killed_worker_is_noticed():
    with pytest.raises(WorkerDied, match="ended abruptly"), prefetch(Dies(), range(20), 2) as stream:
        list(stream)


def test_endless_steps_and_an_early_end_leave_no_process():
    stream = prefetch(Square(), count(), 2, lookahead=3)
    assert [next(stream) for _ in range(3)] == [0, 1, 4]
    children = multiprocessing.active_children()
    assert len(children) == 2
    stream.close()
    assert not any(child.is_alive() for child in children)


PARENT = """
import multiprocessing, os, signal
from itertools import count
from reader.batches.loader import prefetch
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    with prefetch(abs, count(), 2) as stream:
        next(stream), next(stream)
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        END
        for _ in stream:
            pass
"""


def run_parent(tmp_path, end: str):
    """A process that prefetches with two workers, until it meets its ``end``; its pids are on stdout."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.replace("END", end))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    return subprocess.run([sys.executable, script], env={**os.environ, "PYTHONPATH": root}, capture_output=True,
                          timeout=300, text=True, start_new_session=True)


def test_ctrl_c_is_the_parents_alone(tmp_path):
    done = run_parent(tmp_path, "os.killpg(0, signal.SIGINT)")
    assert done.stderr.count("KeyboardInterrupt") == 1 and "_work" not in done.stderr
    assert all_end([int(pid) for pid in done.stdout.split()])


def test_workers_end_when_the_parent_is_killed(tmp_path):
    done = run_parent(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    workers = [int(pid) for pid in done.stdout.split()]
    assert all_end(workers)


def all_end(workers: list) -> bool:
    """Whether there were workers, and all are gone before long."""
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(workers) and not any(map(alive, workers))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
