"""Results of a function of the step number, made ahead of time by worker processes and handed out in order."""
from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count, islice
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any

from reader.batches.examples import Batch


class WorkerDied(RuntimeError):
    """A worker process ended without a Python error, most likely killed."""


class WorkerTraceback(Exception):
    """A worker's traceback: the cause of the error that the parent raises."""


class StepBatches:
    """A source of batches by step; a base class for those that care which worker makes a step."""

    def at(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step; steps count from 0."""
        raise NotImplementedError

    def turn(self, step: int) -> int:
        """Return the number of the worker that makes a step; it is taken modulo the number of workers."""
        return step


class Stream:
    """An iterator that can be closed: by ``with``, by ``close()``, or by running to its end."""

    def __init__(self, generator: Generator[Any, None, None]):
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


def prefetch(fetch: Callable[[int], Any], steps: Iterable[int], workers: int = 0, lookahead: int | None = None,
             turn: Callable[[int], int] | None = None) -> Stream:
    """Iterate over ``fetch(step)`` for each step, in order.

    Args:
        fetch: picklable callable; in a worker it is unpickled once and keeps what it caches between its calls.
        steps: iterable of step numbers, may be endless.
        workers: processes (spawned; they import what ``fetch`` needs, nothing else); 0: called here, when asked for.
        lookahead: results under way or waiting at a time; two for each worker by default, four where there are turns.
        turn: the worker that is asked for a step, modulo their number; one after the other by default.
    Raises:
        what ``fetch`` raised, at once, with the traceback of the worker as its cause; WorkerDied.
    """
    if workers < 1:
        return Stream(fetch(step) for step in steps)
    lookahead = max(workers, lookahead or (4 if turn else 2) * workers)
    return Stream(_from_workers(fetch, iter(steps), workers, lookahead, turn))


def _from_workers(fetch: Callable[[int], Any], steps: Iterator[int], workers: int, lookahead: int,
                  turn: Callable[[int], int] | None) -> Generator[Any, None, None]:
    team = [_Worker(fetch, number) for number in range(workers)]
    try:
        turns = count()  # without ``turn`` the n-th step asked for goes to worker n modulo their number
        due: deque[_Worker] = deque()

        def ask(steps_now) -> None:
            for step in steps_now:
                due.append(team[(next(turns) if turn is None else turn(step)) % workers])  # where the result is awaited
                due[-1].ask(step)

        ask(islice(steps, lookahead))
        while due:
            while not due[0].results:  # whoever is ready is heard, so that an error is seen at once
                ready = wait([worker.pipe for worker in team if worker.asked])
                for worker in team:
                    if worker.pipe in ready:
                        worker.hear()
            result = due.popleft().results.popleft()
            ask(islice(steps, 1))
            yield result
    finally:
        for worker in team:
            worker.stop()


class _Worker:
    """A process, the pipe to it, how many answers it owes, and the results that were not yet handed out."""

    def __init__(self, fetch, number: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, pickle.dumps(fetch)), daemon=True,
                                       name=f"batch worker {number}")
        # A scheduler's signal to all processes, and Ctrl-C, are the parent's to handle, which then ends its workers.
        # They inherit what is blocked here. Starting the tracker, which the first worker does, would unblock it again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that the end of the process is the end of the pipe
        self.asked = 0
        self.results: deque = deque()

    def ask(self, step) -> None:
        self.asked += 1
        try:
            self.pipe.send(step)
        except OSError:
            self._died()

    def hear(self) -> None:
        try:
            result, error, trace = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self._died()
        if error is not None:
            raise error from WorkerTraceback(f"in {self.process.name}:\n{trace}")
        self.asked -= 1
        self.results.append(result)

    def _died(self) -> None:
        self.process.join()
        code = self.process.exitcode or 0
        why = "SIGKILL, most often for want of memory: fewer workers or a smaller window need less" \
            if code == -signal.SIGKILL else f"{signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise WorkerDied(f"{self.process.name} ended abruptly ({why})") from None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe, pickled: bytes) -> None:
    """Serve batches until the parent closes the pipe."""
    fetch = None
    while True:
        try:
            step = pipe.recv()
        except (EOFError, OSError):
            return
        answer: tuple[Any, Exception | None, str]
        try:
            fetch = pickle.loads(pickled) if fetch is None else fetch
            answer = fetch(step), None, ""
        except Exception as error:
            answer = None, _portable(error), traceback.format_exc()
        try:
            pipe.send_bytes(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    """The error itself where it can travel, its words otherwise."""
    try:
        return error if isinstance(pickle.loads(pickle.dumps(error)), Exception) else RuntimeError(repr(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
