"""Processes at work at the same time, whose lines are told apart. No paddle."""
from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Optional

PR_SET_PDEATHSIG = 1  # prctl: the signal that a process gets when its parent ends
LOOK = 1.0  # seconds between looks at processes that say nothing; others may hold their pipe after their end


class Child:
    """A process. who: before each of its lines. asked: whether it was sent a signal."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], who: str, piped: bool):
        self.who, self.asked, self.rest = who, False, b""
        self.process = subprocess.Popen(
            command, env=environment, start_new_session=True, preexec_fn=end_with_parent,
            stdout=subprocess.PIPE if piped else None, stderr=subprocess.STDOUT if piped else None)

    def ask(self, number: int) -> None:
        """Send a signal, the first time."""
        if not self.asked:
            self.asked = True
            self.process.send_signal(number)

    def lines(self, found: bytes, last: bool = False) -> list[str]:
        """Return the lines that are complete with what was read, each behind the name; with ``last`` also the rest."""
        *whole, self.rest = (self.rest + found).split(b"\n")
        if last and self.rest:
            whole, self.rest = [*whole, self.rest], b""
        return [f"{self.who} | {line.decode('utf-8', 'replace')}" for line in whole]


class Children:
    """The processes at work. say: takes their lines; None where there is one at a time, which writes by itself."""

    def __init__(self, say: Optional[Callable[[str], None]] = None):
        self.say = say
        self.working: list[Child] = []
        self.selector = selectors.DefaultSelector()

    def start(self, command: Sequence[str], environment: Mapping[str, str], who: str) -> Child:
        """Start a process; it ends with this one."""
        child = Child(command, environment, who, piped=self.say is not None)
        self.working.append(child)
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self.selector.register(child.process.stdout, selectors.EVENT_READ, child)
        return child

    def ask(self, number: int) -> None:
        """Send a signal to each process that was not sent one before."""
        for child in self.working:
            child.ask(number)

    def wait(self) -> tuple[Child, int]:
        """Wait for a process to end, passing on what all of them say. Returns it and its exit code."""
        if self.say is None:
            self.working[0].process.wait()
            return self._ended(self.working[0])
        while True:
            for key, _ in self.selector.select(LOOK):
                self._pass_on(key.data)
            for child in self.working:
                if child.process.poll() is not None:
                    return self._ended(child)

    def _pass_on(self, child: Child) -> bool:
        """Say what a process has written; False at its end, or where there is nothing more."""
        assert child.process.stdout is not None and self.say is not None
        try:
            found = os.read(child.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return False
        if not found and child.process.stdout in self.selector.get_map():
            self.selector.unregister(child.process.stdout)
        for line in child.lines(found):
            self.say(line)
        return bool(found)

    def _ended(self, child: Child) -> tuple[Child, int]:
        if child.process.stdout is not None:
            assert self.say is not None
            while self._pass_on(child):
                pass
            for line in child.lines(b"", last=True):
                self.say(line)
            if child.process.stdout in self.selector.get_map():
                self.selector.unregister(child.process.stdout)
            child.process.stdout.close()
        self.working.remove(child)
        return child, child.process.wait()


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when its parent ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
