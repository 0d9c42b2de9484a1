"""Faults of a process: signals, a parent that dies, a step that hangs. Nothing here waits for another rank.

Every rank leaves a mark in a directory that all share: how far it is, and at the end what went wrong. From the marks
the launcher tells afterwards which rank failed first.
"""
from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ernie.utils.console import LOG
from ernie.utils.files import told
from reader.utils.errors import InputError

STOPPED = 75  # exit code of a run that was asked to stop and saved (EX_TEMPFAIL: call again)
FAILED = 1
HUNG = 74     # exit code after a time-out of the watchdog
DIVERGED = 70  # exit code after too many steps that were not finite


class StopSignals:
    """SIGTERM (schedulers preempt) and SIGINT (Ctrl-C) ask for a stop; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.received = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        self.received = self.received or signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)

    def request(self, reason: str) -> None:
        """Ask from inside the process."""
        self.received = self.received or reason

    def __call__(self) -> bool:
        return bool(self.received)


class Watchdog:
    """A thread that ends the process when it makes no progress for too long or its launcher has died.

    It watches from the moment it is made, so that joining the group and loading cannot hang unseen either. As a context
    manager it also leaves behind the error with which training ended.

    Args:
        directory: where the ranks leave their marks. where: what is done, for messages, such as "stage 1".
        start_timeout: seconds until the first step begins. step_timeout: seconds that a step, or a batch of a
            measurement, may take.
        ask_to_stop: called with a reason when the launcher wants training to end, or is no more.
    """

    GRACE = 15.0  # seconds that an orphaned rank has to save before it is ended where it stands

    def __init__(self, directory: str | Path, rank: int, where: str, start_timeout: float, step_timeout: float,
                 ask_to_stop: Callable[[str], None] = lambda reason: None):
        self.directory, self.rank, self.where = Path(directory), rank, where
        self.start_timeout, self.step_timeout = start_timeout, step_timeout
        self.ask_to_stop = ask_to_stop
        self.directory.mkdir(parents=True, exist_ok=True)
        # The launcher that has started this rank, ours or Paddle's. Without one the parent is a shell, which may exit.
        self.parent = int(os.environ.get("ERNIE_PARENT", os.getppid() if "PADDLE_LOCAL_RANK" in os.environ else 0))
        self.launcher = int(os.environ.get("ERNIE_LAUNCHER", "0"))    # the shell that drives the stages
        self.stop_file = Path(os.environ.get("ERNIE_STOP_FILE", os.devnull + "/none"))  # it writes why to stop
        self.log = os.path.join(os.environ.get("PADDLE_LOG_DIR", ""), "workerlog." + os.environ.get(
            "PADDLE_LOCAL_RANK", "0"))
        self.orphaned_at = 0.0
        self._marking, self._failed = threading.Lock(), False  # marks come from two threads
        self._closed = threading.Event()
        self.begin(where)
        self._leave_mark()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.close()
        if error is not None:
            line = (str(error), 2) if isinstance(error, InputError) else \
                told(error) if isinstance(error, OSError) else None  # a full disk needs no traceback
            text, code = line or ("".join(traceback.format_exception(kind, error, trace)), FAILED)
            self.fail(code, text)

    def begin(self, where: str) -> None:
        """Note that ``where`` begins, which has no steps: loading, building, compiling; ``start_timeout`` counts."""
        self.where, self.step, self.timeout = where, -1, self.start_timeout
        self.heartbeat()

    def __call__(self, step: int) -> None:
        """Step number ``step`` (from 0) begins."""
        self.step, self.timeout = step, self.step_timeout
        self.heartbeat()

    def heartbeat(self) -> None:
        """Take a sign of life; the time-out counts from here."""
        self.since = time.monotonic()
        # From C, for what hangs without ever letting the thread below run.
        faulthandler.dump_traceback_later(self.timeout + self.GRACE, exit=True, file=sys.__stderr__ or 2)

    def fail(self, code: int, error: str) -> int:
        """Leave behind why this rank ends with exit code ``code``, which is handed back."""
        self._leave_mark(code=code, error=error)
        return code

    def close(self) -> None:
        """End the watch: training is over."""
        self._closed.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self.timeout / 4)):
            self._leave_mark()
            with contextlib.suppress(OSError):  # nobody asks, or the launcher takes it back at this moment
                self.ask_to_stop(self.stop_file.read_text("utf-8", "replace").strip() or "the launcher")
            if self._is_orphan():
                if not self.orphaned_at:
                    self.orphaned_at = time.monotonic()
                    self.ask_to_stop("the death of the launcher")
                elif time.monotonic() - self.orphaned_at > self.GRACE:
                    sys.stderr.write(f"ernie: rank {self.rank}: the launcher has died, this rank ends too\n")
                    os._exit(HUNG)
            if time.monotonic() - self.since > self.timeout:
                self._end()

    def _is_orphan(self) -> bool:
        if self.parent and os.getppid() != self.parent:
            return True
        return bool(self.launcher) and os.path.exists("/proc/self/stat") and not _is_alive(self.launcher)

    def _leave_mark(self, **more) -> None:
        mark = {"rank": self.rank, "pid": os.getpid(), "node": os.uname().nodename, "where": self.where,
                "step": self.step + 1, "time": time.time(), "log": self.log,
                "ranks": int(os.environ.get("PADDLE_TRAINERS_NUM", "1")), "limit": self.timeout, **more}
        # A full disk must not end a healthy run; marks only help to name a culprit.
        with self._marking, contextlib.suppress(OSError):
            if self._failed and "code" not in more:
                return  # the other thread must not write over why this rank ends
            self._failed = "code" in more
            temporary = self.directory / f"rank-{self.rank}.tmp"
            temporary.write_text(json.dumps(mark), "utf-8")
            temporary.replace(self.directory / f"rank-{self.rank}.json")

    def _end(self) -> None:
        """Say which ranks hang, with the stacks of this one, and end the process."""
        what, key = (f"step {self.step + 1}", "step_timeout") if self.step >= 0 else ("start", "start_timeout")
        lines = [f"rank {self.rank}: {self.where} {what} took longer than {self.timeout:.0f} s ({key}); the job ends",
                 *where_ranks_are(read_marks(self.directory, time.time() - self.timeout - 60)),
                 f"  Python stacks of rank {self.rank}:", *(f"    {line}" for line in stacks().splitlines())]
        self.fail(HUNG, "\n".join(lines))
        sys.stderr.write("ernie: " + "\n".join(lines) + "\n")
        sys.stderr.flush()
        os._exit(HUNG)


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def where_ranks_are(marks: list[dict]) -> list[str]:
    """Return a line for each rank of a job that hangs, and one that says which of them the others wait for."""
    if not marks or max(len(marks), marks[0]["ranks"]) == 1:
        return []
    silent = [mark["rank"] for mark in marks if time.time() - mark["time"] > 5]
    absent = sorted(set(range(marks[0]["ranks"])) - {mark["rank"] for mark in marks})
    lines = []
    for mark in marks:
        doing = f"in step {mark['step']}" if mark["step"] else "before its first step"
        lines.append(f"  rank {mark['rank']} (pid {mark['pid']} on {mark['node']}): {doing}"
                     + (f", no sign of life for {time.time() - mark['time']:.0f} s" * (mark["rank"] in silent)))
    lines += [f"  rank {rank}: no sign of life since the job was started" for rank in absent]
    slowest = min(mark["step"] for mark in marks)
    behind = sorted(absent + silent) or [mark["rank"] for mark in marks if mark["step"] == slowest]
    which = "all are" if len(behind) == len(marks) > 1 else f"rank {', '.join(map(str, behind))} is"
    return [*lines, f"  {which} where the others wait"]


def stacks() -> str:
    """Return the Python stack of every thread but the calling one, the main thread last."""
    names = {thread.ident: thread for thread in threading.enumerate()}
    frames = [(ident, frame) for ident, frame in sys._current_frames().items() if ident != threading.get_ident()]
    frames.sort(key=lambda pair: pair[0] == threading.main_thread().ident)
    return "\n".join(f"thread {names[ident].name if ident in names else ident}:\n"
                     + "".join(traceback.format_stack(frame)).rstrip() for ident, frame in frames)


def read_marks(directory: str | Path, since: float) -> list[dict]:
    """Return the marks that ranks have left since a time (seconds since the epoch), in rank order."""
    marks = []
    for file in Path(directory).glob("rank-*.json"):
        try:
            mark = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if mark["time"] >= since:
            marks.append(mark)
    return sorted(marks, key=lambda mark: mark["rank"])


LOST_PEER = ("gloo", "nccl", "connection", "tcpstore", "tcp_")  # words of an error that another rank's end causes
ORDINARY = re.compile(r"^[IW]\d{4} .*$", re.MULTILINE)  # what Paddle tells of its connections, in every rank's log


def first_failure(marks: list[dict], died: Mapping[int, int] = MappingProxyType({})) -> dict | None:
    """Return the mark of the rank that failed first, or None when that is not known; a killed one has no ``code``.

    When one rank fails, the others fail a moment later for want of it, which their last words show.

    Args:
        died: {pid: exit code} of those that had ended when the launcher first looked: it ends the others, who leave no
            word either.
    """
    hung = [mark for mark in marks if mark.get("code") == HUNG]  # it names the culprit, which cannot speak
    killed = [mark for mark in marks if died.get(mark["pid"]) == -signal.SIGKILL]  # nobody is for want of another
    if len(killed) == 1 and not hung:
        return killed[0]
    victims = [mark for mark in marks if any(word in ORDINARY.sub("", last_words(mark)).lower() for word in LOST_PEER)]
    own = [mark for mark in marks if mark not in victims]
    silent = sorted((mark for mark in own if "code" not in mark), key=lambda mark: mark["time"])
    silent = [mark for mark in silent if mark["pid"] in died] or silent
    if len(silent) == len(own) > 1 and silent[1]["time"] - silent[0]["time"] < 2:
        return None
    for group in (hung, [mark for mark in own if "code" in mark], silent, victims):
        if group:
            return min(group, key=lambda mark: mark["time"])
    return None


def last_words(mark: dict) -> str:
    """Return the error that a rank left behind, or the end of its log where it had no time to leave one."""
    if "error" in mark:
        return mark["error"]
    try:
        return Path(mark["log"]).read_text("utf-8", "replace")[-3000:]
    except OSError:  # of another node, or not started by the launcher
        return ""


def explain(directory: str | Path, since: float, code: int, logs: Path, shown: int | None = None,
            died: Mapping[int, int] = MappingProxyType({})) -> int:
    """Print which rank of a launch failed first, and its last words. Returns its exit code.

    Args:
        directory: of the marks. since: when the launch began. code: exit code that the launcher saw, used where the
            ranks left no mark. logs: directory of the ranks' logs on this node. shown: the rank whose words the console
            has shown already; a mistake in the input that it has named is not said twice. died: see ``first_failure``.
    """
    marks = read_marks(directory, since)
    mark, waiting = first_failure(marks, died), [mark for mark in marks if _hung_in_c(mark)]
    if waiting:
        code, lines = HUNG, [*_hang_in_c(waiting, marks), f"logs are in {logs}"]
    elif mark is None and code == 2 and shown is not None and _told(logs / "workerlog.0"):
        lines = []
    elif mark is None:
        lines = [f"a process of this node failed ({_killed_by(code)}); the end of each log in {logs}:"]
        for log in sorted(logs.glob("workerlog.*")):
            lines += [f"  {log.name} | {line}" for line in log.read_text("utf-8", "replace").splitlines()[-10:]]
    elif mark.get("code") == 2:
        code, lines = 2, [] if mark["rank"] == shown else [f"rank {mark['rank']}: {mark['error']}"]
    elif mark.get("code") == HUNG:
        code, lines = HUNG, [mark["error"], f"logs are in {logs}"]
    else:
        lines = [f"logs are in {logs}", *_last_words_of(mark, code)]
        code = mark.get("code", FAILED)
    if lines:
        LOG.error("%s", "\n".join(lines))
    return code


def _told(log: Path) -> bool:
    """Tell whether the log that the console follows ends with our own line about a mistake."""
    lines = log.read_text("utf-8", "replace").rstrip().splitlines() if log.is_file() else []
    return bool(lines) and lines[-1].startswith("ernie: ")


def _hung_in_c(mark: dict) -> bool:
    """Tell whether the C half of its watchdog ended a rank: it hung in a call that let no Python thread run."""
    return "code" not in mark and "Timeout (" in (words := last_words(mark)) and "most recent call first" in words


def _hang_in_c(waiting: list[dict], marks: list[dict]) -> list[str]:
    mark, ranks = waiting[0], {mark["rank"] for mark in waiting}
    key = "step_timeout" if mark["step"] else "start_timeout"
    others = sorted(set(range(mark["ranks"])) - ranks)
    lines = [f"rank {mark['rank']}: {mark['where']} made no progress for more than {mark['limit']:.0f} s ({key}) in a "
             "call of Paddle's, most often because another rank did not come; the job ends"]
    for rank in others:
        seen = next((one for one in marks if one["rank"] == rank), None)
        state = f"no sign of life for {time.time() - seen['time']:.0f} s" if seen else "no sign of life since the start"
        who = f" (pid {seen['pid']} on {seen['node']})" if seen else ""
        lines.append(f"  rank {rank}{who}: {state}")
    return [*lines, *([f"  rank {', '.join(map(str, others))} is where the others wait"] if others else [])]


def _last_words_of(mark: dict, code: int) -> list[str]:
    how = "" if "code" in mark else f" without a word ({_killed_by(code)}), pid {mark['pid']} on {mark['node']}"
    place = f"{mark['where']} step {mark['step']}" if mark["step"] else f"{mark['where']}, before its first step"
    words = last_words(mark).rstrip().splitlines()[-40 if "code" in mark else -10:]
    return [f"rank {mark['rank']} failed in {place}{how}" + ("; its last words:" if words else ""),
            *(f"  | {line}" for line in words)]


def _killed_by(code: int) -> str:
    """Return how a process ended, from its exit code."""
    if code == 128 + signal.SIGKILL:
        return "SIGKILL: out of memory, or killed by hand or by a scheduler"
    if code > 128:
        with contextlib.suppress(ValueError):
            return signal.Signals(code - 128).name
    return f"exit code {code}"
