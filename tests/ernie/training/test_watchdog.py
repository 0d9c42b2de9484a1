"""Who failed first, who hangs, what is skipped: told from marks, and by processes that really fail."""
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ernie.training.watchdog import HUNG, StopSignals, Watchdog, explain, first_failure, read_marks
from ernie.utils.console import LossyStream, show_log
from reader.utils.errors import InputError
from tests.ernie import runs

GLOO = "RuntimeError: [gloo/transport/tcp/pair.cc:584] Connection closed by peer [127.0.0.1]:1234"


def mark(rank, second, **more):
    return {"rank": rank, "pid": 100 + rank, "node": "n", "where": "stage 1", "step": 7, "time": 1000.0 + second,
            "log": "", "ranks": 2, "limit": 1.0, **more}


@pytest.mark.parametrize("marks, rank", [
    ([mark(0, 1.1, code=1, error=GLOO), mark(1, 1.0, code=1, error="KeyError: 'x'")], 1),
    ([mark(0, 1.0, code=1, error="KeyError: 'x'"), mark(1, 1.1, code=1, error=GLOO)], 0),
    ([mark(0, 1.1, code=1, error=GLOO), mark(1, 0.3)], 1),              # killed: it left no error
    ([mark(0, 9.0, code=HUNG, error="rank 0: ..."), mark(1, 2.0)], 0),  # the one that can speak names the other
    ([mark(0, 5.0), mark(1, 1.0)], 1),                                  # all killed, one long before the other
    ([mark(0, 1.0), mark(1, 1.2)], None),                               # who was first is not known
    ([mark(0, 1.0)], 0),
    ([], None),
])
def test_the_rank_that_failed_first_is_found(marks, rank):
    found = first_failure(marks)
    assert (found and found["rank"]) == rank


def test_of_silent_ranks_the_one_that_the_launcher_saw_dead_is_the_culprit():
    """The other one was still waiting for its peer when the launcher ended it."""
    marks = [mark(0, 1.0), mark(1, 1.2)]
    assert first_failure(marks, died={101: 1})["rank"] == 1 and first_failure(marks, died={100: 1})["rank"] == 0
    assert first_failure(marks, died={100: 1, 101: 1}) is None


@pytest.mark.parametrize("first", [0.9, 1.1])
def test_a_killed_rank_is_the_culprit_whatever_the_others_died_of(tmp_path, first):
    """The survivor aborts in C a moment later; which of the two was last marked as alive is chance."""
    (tmp_path / "log").write_text("FatalError: `Process abort signal` is detected by the operating system.\n")
    marks = [mark(0, first, log=str(tmp_path / "log")), mark(1, 1.0, log="absent")]
    assert first_failure(marks, died={100: -signal.SIGABRT, 101: -signal.SIGKILL})["rank"] == 1


@pytest.mark.parametrize("first", [0.9, 1.1])
def test_what_paddle_tells_of_its_start_is_no_sign_of_a_lost_peer(tmp_path, first):
    """Every log has these lines: they must not make a victim of the rank that was killed."""
    info = "I1128 14:59:12.272603 26325 tcp_utils.cc:130] Successfully connected to 127.0.0.1:47097\n"
    (tmp_path / "0").write_text(info + "terminate called after throwing an instance of 'gloo::IoException'\n")
    (tmp_path / "1").write_text("W1128 14:59:12.272603 26325 tcp_utils.cc:107] Retry to connect\n" + info)
    marks = [mark(0, first, log=str(tmp_path / "0")), mark(1, 1.0, log=str(tmp_path / "1"))]
    assert first_failure(marks)["rank"] == 1


def test_a_rank_that_was_torn_down_by_its_peers_end_is_no_culprit(tmp_path):
    (tmp_path / "log").write_text("terminate called after throwing an instance of 'gloo::IoException'\n")
    assert first_failure([mark(0, 1.0, log=str(tmp_path / "log")), mark(1, 1.0, log="absent")])["rank"] == 1


def test_the_watching_thread_does_not_write_over_why_a_rank_ends(tmp_path):
    watchdog = Watchdog(tmp_path, 0, "stage 1", 60, 60)
    try:
        watchdog.fail(1, "KeyError: 'x'")
        time.sleep(1.5)  # a sign of life is due each second
        assert read_marks(tmp_path, 0)[0]["error"] == "KeyError: 'x'"
    finally:
        watchdog.close()


@pytest.mark.parametrize("error, code, words", [
    (InputError("is damaged", "store", 3), 2, "ernie: rank 3: store line 3: is damaged\n"),
    (KeyError("x"), 1, "rank 3 failed in stage 2 step 12; its last words:\n  | Traceback"),
])
def test_the_last_error_of_a_rank_is_kept_for_the_launcher(tmp_path, error, code, words, capsys):
    show_log()
    with pytest.raises(type(error)), Watchdog(tmp_path, 3, "stage 2", 60, 60) as watchdog:
        watchdog(11)
        raise error
    assert explain(tmp_path, 0, 1, tmp_path) == code
    assert words in capsys.readouterr().err
    if code == 2:
        assert explain(tmp_path, 0, 1, tmp_path, shown=3) == 2 and not capsys.readouterr().err


def test_a_mistake_that_the_console_has_shown_before_there_are_marks_is_not_said_twice(tmp_path, capsys):
    show_log()
    log = tmp_path / "workerlog.0"
    log.write_text("ernie: no recipe for task 'rtee'\n")
    assert explain(tmp_path, 0, 2, tmp_path, shown=0) == 2 and not capsys.readouterr().err
    assert explain(tmp_path, 0, 2, tmp_path) == 2 and "rtee" in capsys.readouterr().err  # of a node without a console
    log.write_text("python: can't open file\n")
    assert explain(tmp_path, 0, 2, tmp_path, shown=0) == 2 and "can't open file" in capsys.readouterr().err


def test_marks_of_an_earlier_launch_do_not_count(tmp_path):
    with Watchdog(tmp_path, 0, "stage 1", 60, 60):
        pass
    assert read_marks(tmp_path, time.time() - 60) and not read_marks(tmp_path, time.time() + 60)


HANGING = """
import sys, time
from ernie.training.watchdog import Watchdog
def a_reader_that_never_ends():
    time.sleep(600)
with Watchdog(sys.argv[1], 0, "stage 1", 600, 1.0) as watchdog:
    watchdog(41)
    a_reader_that_never_ends()
"""


def test_a_start_that_hangs_ends_the_process_too(tmp_path):
    code = HANGING.replace('600, 1.0)', '1.0, 600)').replace("watchdog(41)", "pass")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=runs.ROOT,
                          timeout=300)
    assert done.returncode == HUNG and "rank 0: stage 1 start took longer than 1 s (start_timeout)" in done.stderr


def test_a_hanging_step_ends_the_process_with_its_stack(tmp_path):
    (tmp_path / "rank-1.json").write_text(json.dumps({**mark(1, 0, log="absent"), "time": time.time() - 20}))
    done = subprocess.run([sys.executable, "-c", HANGING, tmp_path], capture_output=True, text=True, cwd=runs.ROOT,
                          timeout=300)
    assert done.returncode == HUNG
    assert "rank 0: stage 1 step 42 took longer than 1 s (step_timeout)" in done.stderr
    assert re.search(r"rank 1 \(pid 101 on n\): in step 7, no sign of life for \d+ s", done.stderr), done.stderr
    assert "rank 1 is where the others wait" in done.stderr and "in a_reader_that_never_ends" in done.stderr
    assert explain(tmp_path, 0, 1, tmp_path) == HUNG


def test_the_launcher_asks_for_a_stop_by_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ERNIE_STOP_FILE", str(tmp_path / "stop"))
    asked = []
    with Watchdog(tmp_path / "alive", 0, "stage 1", 60, 60, asked.append):
        time.sleep(0.1)
        assert not asked
        (tmp_path / "stop").write_text("SIGTERM\n")
        deadline = time.monotonic() + 60
        while not asked and time.monotonic() < deadline:
            time.sleep(0.05)
    assert asked[0] == "SIGTERM"


def test_signals_are_noted_and_nothing_more():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        signals = StopSignals()
        assert not signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals() and signals.received == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one ends the process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_log_on_a_full_disk_is_lost_without_an_error():
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115  (closing a buffered one would fail again)
    stream = LossyStream(io.TextIOWrapper(full, write_through=True))
    assert stream.write("a line\n") == 7
    assert not stream.closed


POISON = '''
import numpy as np
from tasks.base import TokenTask

class Poison(TokenTask):
    """A weight that is no number: every step with a target of this task has a gradient that is none."""
    name, classes, weight = "poison", ("odd", "even"), float("nan")

    def labels(self, tokens):
        return (tokens.ids % 2).astype(np.int64)

class Broken(TokenTask):
    name, classes = "broken", ("odd", "even")

    def labels(self, tokens):
        return (tokens.ids % 2).astype(np.int64)

    def example(self, corpus, anchor, rng):
        raise KeyError("no such key")
'''


@pytest.fixture
def poisoned(tmp_path):
    (tmp_path / "poison.py").write_text(POISON)
    return runs.declare(tmp_path, [{"knowledge_masking": 12}], max_bad_steps=3,
                        tasks_from=[str(tmp_path / "poison.py")])


def test_steps_that_are_not_finite_are_skipped_and_end_training_after_some(tmp_path, poisoned):
    healthy = runs.run(poisoned, tmp_path / "run", "--set", "stages=[{tasks: {knowledge_masking: 6}}]")
    assert "not finite" not in healthy
    last = runs.final(tmp_path / "run")
    text = runs.run(poisoned, tmp_path / "run", "--set", "tasks=[knowledge_masking, poison]", "--set",
                    "stages=[{tasks: {knowledge_masking: 6}}, {tasks: {knowledge_masking: 6, poison: 6}}]", expect=1)
    assert text.count("step skipped") == 3 and "(3 in a row)" in text
    assert "3 steps in a row were not finite; training ends" in text.splitlines()[-1]
    assert "starting stage" not in text  # it would be the same again
    assert runs.identical(last, runs.final(tmp_path / "run"))
    line = next(line for line in text.splitlines() if "step skipped" in line)
    assert "Documents (store:document) 0:" in line
    look = line.partition("look with: ")[2].split()
    shown = subprocess.run([sys.executable, "-m", *look, "-n", "1"], capture_output=True, text=True, cwd=runs.ROOT)
    assert shown.returncode == 0 and "document" in shown.stdout, shown.stderr


@pytest.mark.slow
def test_the_error_of_a_task_names_its_document_and_stands_last(tmp_path, poisoned):
    text = runs.run(poisoned, tmp_path / "run", "--max-restarts", "1", "--devices", "0,1", "--set",
                    "tasks=[knowledge_masking, broken]", "--set",
                    "stages=[{tasks: {knowledge_masking: 6, broken: 6}}]", expect=1)
    assert text.count("starting stage 1 again") == 1 and "stage 1 failed 2 time(s); giving up" in text
    assert "RuntimeError: task broken failed on document " in text.splitlines()[-1]
