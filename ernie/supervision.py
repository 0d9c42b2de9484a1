"""Faults of a process: signals, a parent that dies, a step that hangs. Nothing here waits for another rank."""
from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

STOPPED = 75  # exit code of a run that was asked to stop and saved (EX_TEMPFAIL: call again)
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


class Watchdog:
    """A thread that ends the process when a step takes longer than ``timeout`` seconds or its launcher has died.

    Every rank leaves its step in ``directory``; the one whose clock runs out first names the rank that is furthest
    behind, so that the culprit is known even when it cannot speak (stopped, or stuck in a system call).
    """

    GRACE = 15.0  # seconds that an orphaned rank has to save before it is ended where it stands

    def __init__(self, directory, rank: int, stage: int, timeout: float, orphaned=lambda reason: None):
        self.directory, self.rank, self.stage, self.timeout = Path(directory), rank, stage, timeout
        self.directory.mkdir(parents=True, exist_ok=True)
        self.step, self.since, self.parent, self.orphaned = -1, time.monotonic(), os.getppid(), orphaned
        self.launcher = int(os.environ.get("ERNIE_LAUNCHER", "0"))  # the shell that drives the stages
        self.orphaned_at = 0.0
        self._closed = threading.Event()
        self._leave_mark()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def __call__(self, step: int) -> None:
        """A step begins."""
        self.step, self.since = step, time.monotonic()

    def close(self) -> None:
        """Training is over: nothing to watch."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self.timeout / 4)):
            self._leave_mark()
            if self._is_orphan():
                if not self.orphaned_at:
                    self.orphaned_at = time.monotonic()
                    self.orphaned("the death of the launcher")
                elif time.monotonic() - self.orphaned_at > self.GRACE:
                    sys.stderr.write(f"ernie: rank {self.rank}: the launcher has died, this rank ends too\n")
                    os._exit(HUNG)
            if time.monotonic() - self.since > self.timeout:
                self._end()

    def _is_orphan(self) -> bool:
        if os.getppid() != self.parent:
            return True
        return bool(self.launcher) and not os.path.exists(f"/proc/{self.launcher}") and os.path.exists("/proc/self")

    def _leave_mark(self) -> None:
        mark = {"rank": self.rank, "step": self.step, "idle": time.monotonic() - self.since, "time": time.time()}
        try:
            temporary = self.directory / f"rank-{self.rank}.tmp"
            temporary.write_text(json.dumps(mark))
            temporary.replace(self.directory / f"rank-{self.rank}.json")
        except OSError:  # a full disk must not end a healthy run; the marks only help to name a culprit
            pass

    def _end(self) -> None:
        marks = []
        for file in sorted(self.directory.glob("rank-*.json")):
            try:
                marks.append(json.loads(file.read_text()))
            except (OSError, ValueError):
                continue
        lines = [f"ernie: rank {self.rank}: stage {self.stage} step {self.step + 1} took longer than "
                 f"{self.timeout:.0f} s (--step-timeout); the job ends"]
        for mark in marks:
            silent = time.time() - mark["time"]
            lines.append(f"  rank {mark['rank']}: in step {mark['step'] + 1}"
                         + (f", gives no sign of life for {silent:.0f} s" if silent > 5 else ""))
        behind = [m["rank"] for m in marks if time.time() - m["time"] > 5] or \
            [m["rank"] for m in marks if m["step"] == min(n["step"] for n in marks)]
        lines.append(f"  hanging: rank {', '.join(map(str, behind))}; Python stacks of rank {self.rank} follow")
        sys.stderr.write("\n".join(lines) + "\n")
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        sys.stderr.flush()
        os._exit(HUNG)
