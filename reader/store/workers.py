"""The parts of an input on many processes, with progress."""
from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TextIO

from reader.store.pipeline import BuildRecipe
from reader.text.documents import Span

Parts = list[tuple[int, list[Span]]]
Job = Callable[[BuildRecipe, list[Span], Path, int], None]


def run_parts(job: Job, recipe: BuildRecipe, parts: Parts, folder: Path, done: str, workers: int,
              progress: TextIO | None, verb: str = "built") -> int:
    """Do a job for the parts that it is not done for; returns how many bytes of input these are.

    Args:
        job: called as job(recipe, spans, folder, index), in a worker. parts: (index, spans) of each.
        done: the file below ``folder`` that says that a part is done, with ``{index}`` in its name.
        progress: gets progress lines. verb: what they say of the input.
    """
    todo = [(index, spans) for index, spans in parts if not (folder / done.format(index=f"{index:06d}")).exists()]
    sizes = {index: sum(span_bytes(span) for span in spans) for index, spans in parts}
    amount = sum(sizes[index] for index, _ in todo)
    meter = Meter(progress, verb, sum(sizes.values()), sum(sizes.values()) - amount)
    if workers <= 1 or len(todo) <= 1:
        for index, spans in todo:
            job(recipe, spans, folder, index)
            meter.add(sizes[index])
        return amount
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=ignore_interrupts) as pool:
        futures = {pool.submit(job, recipe, spans, folder, index): index for index, spans in todo}
        processes = list(pool._processes.values())
        try:
            for future in as_completed(futures):
                future.result()
                meter.add(sizes[futures[future]])
        except BrokenProcessPool:
            raise RuntimeError("a worker process died, perhaps for want of memory; finished parts are kept: start "
                               "again with fewer workers") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:  # unfinished parts are built again, there is nothing to wait for
                process.terminate()
            raise
    return amount


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, which reaches every process of a terminal; the parent alone decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def span_bytes(span: Span) -> int:
    """Count the bytes of input in a span."""
    return (os.path.getsize(span.path) if span.stop is None else span.stop) - span.start


class Meter:
    """Progress lines with speed and remaining time, at most one a second."""

    def __init__(self, stream: TextIO | None, verb: str, total: int, done: int):
        self.stream, self.verb, self.total, self.before, self.done = stream, verb, max(1, total), done, done
        self.started = self.shown = time.time()

    def add(self, amount: int) -> None:
        """Count bytes of input that are done."""
        self.done += amount
        now = time.time()
        if self.stream is None or (now - self.shown < 1 and self.done < self.total):
            return
        self.shown = now
        speed = (self.done - self.before) / max(1e-9, now - self.started)
        left = (self.total - self.done) / max(1e-9, speed)
        print(f"build-corpus: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%}) "
              f"{self.verb}, {speed / 1e6:.2f} MB/s, {left:.0f} s left", file=self.stream, flush=True)
