"""Work through a comparison with the launchers, one run at a time or several; every run resumes where it was left."""
from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Optional

from ernie.comparison.children import Child, Children
from ernie.comparison.plan import ComparisonPlan, Job
from ernie.comparison.shares import Share
from ernie.utils import launchers

STOPPED = 1


class Driver:
    """Runs a plan, one process tree for each share at a time.

    A signal is handed on once to the launchers at work, which save and stop; they also stop when this process is
    killed. Where one fails, the others save and stop, too.

    Args:
        shares: of the machine, one for each run at a time. say: takes a line for each run that begins.
    """

    def __init__(self, plan: ComparisonPlan, shares: Sequence[Share] = (Share(),), say: Callable[[str], None] = print):
        self.plan, self.shares, self.say = plan, shares, say
        self.children = Children(say if len(shares) > 1 else None)
        self.asked = self.code = 0  # the signal that came; the exit code of the first launcher that did not end well

    def run(self) -> int:
        """Run what is not finished. Returns 0, or the exit code of the launcher that did not end well."""
        before = {number: signal.signal(number, self._hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            chains = self.plan.chains()
            slots: dict[Child, tuple[Iterator[Job], Share]] = {}
            for share in self.shares:
                self._next((job for chain in chains for job in chain), share, slots)
            while slots:
                child, code = self.children.wait()
                slot = slots.pop(child)
                if code and not self.code:
                    self.code = STOPPED if self.asked and code < 0 else code  # < 0: it came before the launcher heeded
                    self.children.ask(signal.SIGTERM)
                self._next(*slot, slots)
            return self.code or (STOPPED if self.asked else 0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _next(self, jobs: Iterator[Job], share: Share,
              slots: dict[Child, tuple[Iterator[Job], Share]]) -> None:
        """Start the next job of a slot, if there is one and nothing speaks against it."""
        if self.asked or self.code or (job := next(jobs, None)) is None:
            return
        self.say(f"compare: {job.what}")
        child = self.children.start(launchers.command(job.launcher, [*job.arguments, *share.options]),
                                    {**launchers.environment(), **share.environment}, job.who)
        slots[child] = jobs, share
        if self.asked:  # the signal came while the child was being started
            self.children.ask(self.asked)

    def _hand_on(self, number: int, frame: Optional[FrameType]) -> None:
        self.asked = number
        self.children.ask(number)
