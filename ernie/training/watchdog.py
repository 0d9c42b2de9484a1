"""Faults of a process: signals, a parent that dies, a step that hangs. Nothing here waits for another rank.

Every rank leaves a mark in a directory that all share: how far it is, and at the end what went wrong. From the marks
the launcher tells afterwards which rank failed first (``python -m ernie.training.watchdog``).
"""
from __future__ import annotations

import errno
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

STOPPED = 75  # exit code of a run that was asked to stop and saved (EX_TEMPFAIL: call again)
FAILED = 1
HUNG = 74     # exit code after --step-timeout
DIVERGED = 70  # exit code after too many steps that were not finite


class StopSignals:
    """SIGTERM (schedulers preempt) and SIGINT (Ctrl-C) ask for a stop after the step under way."""

    def __init__(self):
        self.received = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number, frame):
        self.received = signal.Signals(number).name

    def request(self, reason: str) -> None:
        """Ask from inside the process."""
        self.received = self.received or reason

    def __call__(self) -> bool:
        return bool(self.received)


class LossyStream:
    """A text stream that drops what a full disk does not take: a log must not end a healthy run."""

    FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

    def __init__(self, stream):
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or lose, ``text``."""
        try:
            return self.stream.write(text)
        except OSError as error:
            if error.errno not in self.FULL:
                raise
            return len(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


class Watchdog:
    """A thread that ends the process when a step takes longer than ``timeout`` seconds or its launcher has died.

    As a context manager it also leaves behind the error with which training ended.

    Args:
        directory: where the ranks leave their marks. where: what is trained, for messages, such as "stage 1".
        ask_to_stop: called with a reason when the launcher wants training to end, or is no more.
    """

    GRACE = 15.0  # seconds that an orphaned rank has to save before it is ended where it stands

    def __init__(self, directory, rank: int, where: str, timeout: float, ask_to_stop=lambda reason: None):
        self.directory, self.rank, self.where, self.timeout = Path(directory), rank, where, timeout
        self.ask_to_stop = ask_to_stop
        self.directory.mkdir(parents=True, exist_ok=True)
        self.step, self.since, self.parent = -1, time.monotonic(), os.getppid()
        self.launcher = int(os.environ.get("ERNIE_LAUNCHER", "0"))    # the shell that drives the stages
        self.stop_file = Path(os.environ.get("ERNIE_STOP_FILE", os.devnull + "/none"))  # it writes why to stop
        self.log = os.path.join(os.environ.get("PADDLE_LOG_DIR", ""), "workerlog." + os.environ.get(
            "PADDLE_LOCAL_RANK", "0"))
        self.orphaned_at = 0.0
        self._closed = threading.Event()
        self._leave_mark()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.close()
        if error is not None:
            from reader.utils.errors import InputError
            text = "".join(traceback.format_exception(kind, error, trace))
            wrong_input = isinstance(error, InputError)
            self.fail(2 if wrong_input else FAILED, str(error) if wrong_input else text)

    def fail(self, code: int, error: str) -> int:
        """Leave behind why this rank ends with exit code ``code``, which is handed back."""
        self._leave_mark(code=code, error=error)
        return code

    def __call__(self, step: int) -> None:
        """A step begins."""
        self.step, self.since = step, time.monotonic()
        # From C, for a step that hangs without ever letting the thread below run.
        faulthandler.dump_traceback_later(self.timeout + self.GRACE, exit=True, file=sys.__stderr__)

    def close(self) -> None:
        """Training is over: nothing to watch."""
        self._closed.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self.timeout / 4)):
            self._leave_mark()
            if self.stop_file.exists():
                self.ask_to_stop(self.stop_file.read_text("utf-8").strip() or "the launcher")
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
        if os.getppid() != self.parent:
            return True
        return bool(self.launcher) and not os.path.exists(f"/proc/{self.launcher}") and os.path.exists("/proc/self")

    def _leave_mark(self, **more) -> None:
        mark = {"rank": self.rank, "pid": os.getpid(), "node": os.uname().nodename, "where": self.where,
                "step": self.step + 1, "time": time.time(), "log": self.log, **more}
        try:
            temporary = self.directory / f"rank-{self.rank}.tmp"
            temporary.write_text(json.dumps(mark), "utf-8")
            temporary.replace(self.directory / f"rank-{self.rank}.json")
        except OSError:  # a full disk must not end a healthy run; the marks only help to name a culprit
            pass

    def _end(self) -> None:
        """Say which ranks hang, with the stacks of this one, and end the process."""
        marks = read_marks(self.directory, time.time() - self.timeout - 60)
        lines = [f"rank {self.rank}: {self.where} step {self.step + 1} took longer than {self.timeout:.0f} s "
                 "(--step-timeout); the job ends"]
        silent = [mark["rank"] for mark in marks if time.time() - mark["time"] > 5]
        for mark in marks:
            lines.append(f"  rank {mark['rank']} (pid {mark['pid']} on {mark['node']}): in step {mark['step']}"
                         + (f", no sign of life for {time.time() - mark['time']:.0f} s" * (mark["rank"] in silent)))
        slowest = min(mark["step"] for mark in marks)
        behind = silent or [mark["rank"] for mark in marks if mark["step"] == slowest]
        which = "all are" if len(behind) == len(marks) > 1 else f"rank {', '.join(map(str, behind))} is"
        lines.append(f"  {which} where the others wait; Python stacks of rank {self.rank}:" if len(marks) > 1 else
                     f"  Python stacks of rank {self.rank}:")
        lines += [f"    {line}" for line in stacks().splitlines()]
        self.fail(HUNG, "\n".join(lines))
        sys.stderr.write("ernie: " + "\n".join(lines) + "\n")
        sys.stderr.flush()
        os._exit(HUNG)


def stacks() -> str:
    """What every thread of this process is doing, the main thread last; the thread that asks is left out."""
    names = {thread.ident: thread for thread in threading.enumerate()}
    frames = [(ident, frame) for ident, frame in sys._current_frames().items() if ident != threading.get_ident()]
    frames.sort(key=lambda pair: pair[0] == threading.main_thread().ident)
    return "\n".join(f"thread {names[ident].name if ident in names else ident}:\n"
                     + "".join(traceback.format_stack(frame)).rstrip() for ident, frame in frames)


def read_marks(directory, since: float) -> list[dict]:
    """The marks that ranks have left since a time (seconds since the epoch), in rank order."""
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


def first_failure(marks: list[dict]) -> dict | None:
    """The mark of the rank that failed first, or None when that is not known; ``code`` is missing when it was killed.

    When one rank fails, the others fail a moment later for want of it, which their last words show.
    """
    hung = [mark for mark in marks if mark.get("code") == HUNG]  # it names the culprit, which cannot speak
    victims = [mark for mark in marks if any(word in last_words(mark).lower() for word in LOST_PEER)]
    own = [mark for mark in marks if mark not in victims]
    silent = sorted((mark for mark in own if "code" not in mark), key=lambda mark: mark["time"])
    if len(silent) == len(own) > 1 and silent[1]["time"] - silent[0]["time"] < 2:
        return None
    for group in (hung, [mark for mark in own if "code" in mark], silent, victims):
        if group:
            return min(group, key=lambda mark: mark["time"])
    return None


def last_words(mark: dict) -> str:
    """The error that a rank left behind, or the end of its log where it had no time to."""
    if "error" in mark:
        return mark["error"]
    try:
        return Path(mark["log"]).read_text("utf-8", "replace")[-3000:]
    except OSError:  # of another node, or not started by the launcher
        return ""


def main(arguments: list[str]) -> int:
    """``directory since``: print what the first rank to fail left behind. Exit code: that rank's, or 0 if unknown."""
    directory, since = arguments
    mark = first_failure(read_marks(directory, float(since)))
    if mark is None:
        return 0
    if mark.get("code") == HUNG:
        print(f"ernie: {mark['error']}")
        return HUNG
    how = "" if "code" in mark else f" without a word (killed? out of memory?), pid {mark['pid']} on {mark['node']}"
    place = f"{mark['where']} step {mark['step']}" if mark["step"] else f"{mark['where']}, before its first step"
    words = last_words(mark).rstrip().splitlines()[-40 if "code" in mark else -10:]
    print(f"ernie: rank {mark['rank']} failed in {place}{how}" + ("; its last words:" if words else ""))
    for line in words:
        print(f"  | {line}")
    return mark.get("code", FAILED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
