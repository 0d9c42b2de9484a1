"""Results of a function of the step number, made ahead of time by worker processes and handed out in order."""
from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

_pickled, _fetch = b"", None  # in a worker: what it calls


class WorkerDied(RuntimeError):
    """A worker process ended without a Python error, most likely killed."""


class Stream:
    """An iterator that can be closed: by ``with``, by ``close()``, or by running to its end."""

    def __init__(self, generator):
        self._generator = generator

    def __iter__(self):
        return self._generator

    def __next__(self):
        return next(self._generator)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers; nothing more is handed out."""
        self._generator.close()


def prefetch(fetch, steps, workers: int = 0, lookahead: int | None = None) -> Stream:
    """Iterate over ``fetch(step)`` for each step, in order.

    Args:
        fetch: picklable callable; in a worker it is unpickled once and keeps what it caches between its calls.
        steps: iterable of step numbers, may be endless.
        workers: processes (spawned; they import what ``fetch`` needs, nothing else); 0: called here, when asked for.
        lookahead: results under way or waiting at a time; two for each worker by default.
    Raises:
        what ``fetch`` raised, at once, with the traceback of the worker as its cause; WorkerDied.
    """
    return Stream(_from_workers(fetch, steps, workers, lookahead) if workers > 0 else (fetch(step) for step in steps))


def _from_workers(fetch, steps, workers: int, lookahead: int | None):
    steps, waiting = iter(steps), deque()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(pickle.dumps(fetch),))
    try:
        for step in islice(steps, lookahead or 2 * workers):
            waiting.append(pool.submit(_call, step))
        while waiting:
            result = _result(waiting)
            waiting.extend(pool.submit(_call, step) for step in islice(steps, 1))
            yield result
    except BrokenProcessPool as error:
        raise WorkerDied("a batch worker ended abruptly: killed, perhaps for want of memory; fewer workers or a "
                         "smaller window need less") from error
    finally:
        _close(pool)


def _result(waiting: deque):
    """The result that is due; an error of any of them comes first, so that it is seen at once."""
    while True:
        for future in waiting:
            if future.done():
                future.result()
        if waiting[0].done():
            return waiting.popleft().result()
        wait([future for future in waiting if not future.done()], return_when=FIRST_COMPLETED)


def _start_worker(pickled: bytes) -> None:
    global _pickled
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _pickled = pickled


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _call(step):
    global _fetch
    if _fetch is None:  # here, not at the start, so that what goes wrong is raised in the parent
        _fetch = pickle.loads(_pickled)
    return _fetch(step)


def _close(pool: ProcessPoolExecutor) -> None:
    """Stop without waiting for what nobody wants any more."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
