"""Starts the ranks of this node, shows what the first one says, and ends them all when one fails.

    python -m ernie.launching.launcher --logs DIR --marks DIR [--nnodes N --rank R --master H:P] [--devices 0,1] \\
        -- SCRIPT ...

The ranks find one another by the environment variables that ``paddle.distributed.launch`` sets, so that fleet works as
under Paddle's own launcher; a script may be started by either. Beyond it, this one finds a master by name, waits for a
bounded time, keeps no copy of the environment on disk, leaves ranks that were asked to stop the time to save, tells
which rank failed first, and ends all nodes when one of them fails. No paddle.
"""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ernie.launching import cards, cluster, rendezvous
from ernie.training.watchdog import DIVERGED, FAILED, STOPPED, explain
from ernie.utils import progress
from ernie.utils.arguments import Parser, within
from ernie.utils.console import LOG, LossyStream, show_log
from ernie.utils.files import lock, told
from ernie.utils.limits import Seconds
from ernie.utils.paddle_setup import share_cpu
from reader.utils.errors import InputError

FINAL = (2, DIVERGED)  # what is wrong would be wrong again
LAST_WORDS = 3.0  # seconds that the other ranks have to say what they saw when one has failed
POLL = 0.2


class Launcher:
    """The ranks of one node.

    Args:
        where: nodes and devices. logs: directory for workerlog.<k>, created. marks: directory in which ranks leave
            marks, read when one has failed. script: what every rank runs: a Python file and its arguments.
        timeout: seconds to wait for the other nodes. stop_file: its existence asks the ranks to save and end.
        on_failure: said before the reason when a rank has failed.
    """

    def __init__(self, where: cluster.Cluster, logs: Path, marks: Path, script: list[str], timeout: float,
                 stop_file: Path, on_failure: str = ""):
        self.where, self.logs, self.marks, self.script = where, logs, marks, script
        self.timeout, self.stop_file, self.on_failure = timeout, stop_file, on_failure
        self.ranks: list[subprocess.Popen] = []
        self.died: dict[int, int] = {}  # exit code of each pid that had ended when a failure was first seen
        self.begun = time.time()

    def run(self) -> int:
        """Start the ranks, wait for their end. Returns 0, or the exit code of the rank that failed first.

        Raises:
            InputError: another launcher of this node works in the directory; nothing of it is touched.
        """
        with lock(self.logs, say=LOG.info, name=self.marks.parent):
            return self._run()

    def _run(self) -> int:
        for old in self.logs.glob("workerlog.*"):
            old.unlink(missing_ok=True)
        try:
            peers = self._meet()
        except rendezvous.Stopped:
            return STOPPED
        well = False
        try:
            with progress.shown(self.logs / "progress.json"), self._follow(self.logs / "workerlog.0"):
                self._start(peers.nodes)
                code = self._wait(peers)
            well = code in (0, STOPPED)  # all ranks agree to stop: those of other nodes end by themselves
        finally:
            self.kill()
            peers.end(well)
        if code in (0, STOPPED):
            return code
        if self.on_failure and code not in FINAL:
            LOG.error("%s", self.on_failure)
        return explain(self.marks, self.begun, code, self.logs, shown=0 if self.where.node_rank == 0 else None,
                       died=self.died)

    def _meet(self) -> rendezvous.Peers:
        where = self.where
        if where.nnodes == 1:  # several such jobs may run here
            store_port, *ports = free_ports(1 + where.nproc)
            return rendezvous.Peers([rendezvous.Node(0, "127.0.0.1", store_port, ports)], [])
        store_port, *ports = ports_of(1 + where.nproc, os.environ)
        return rendezvous.meet(where.node_rank, where.nnodes, where.master, store_port, ports, self.timeout,
                               asked_to_stop=self.stop_file.exists)

    def _start(self, nodes: list[rendezvous.Node]) -> None:
        for local in range(self.where.nproc):
            environment = rank_environment(nodes, self.where, local)
            with open(self.logs / f"workerlog.{local}", "wb") as log:
                self.ranks.append(subprocess.Popen(
                    [sys.executable, "-u", *self.script], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, **environment, "PADDLE_LOG_DIR": str(self.logs.resolve()),
                         "ERNIE_PARENT": str(os.getpid())}))

    def _wait(self, peers: rendezvous.Peers) -> int:
        """Until all have ended, or one has failed here or on another node."""
        while True:
            codes = [rank.poll() for rank in self.ranks]
            if any(code and code != STOPPED for code in codes) and STOPPED not in codes:
                self.died = {rank.pid: code for rank, code in zip(self.ranks, codes) if code}
                self._let_speak()
                return first_of([rank.poll() for rank in self.ranks])
            if None not in codes:
                return first_of(codes)
            if peers.failed():
                self._let_speak()
                LOG.error("another node has failed or was stopped; its own log says why")
                return FAILED
            time.sleep(POLL)

    def _let_speak(self) -> None:
        deadline = time.monotonic() + LAST_WORDS
        while time.monotonic() < deadline and any(rank.poll() is None for rank in self.ranks):
            time.sleep(POLL / 2)

    def kill(self) -> None:
        """End every rank that is left, where it stands."""
        for rank in self.ranks:
            with contextlib.suppress(ProcessLookupError):
                rank.kill()
        for rank in self.ranks:
            rank.wait()

    @contextlib.contextmanager
    def _follow(self, log: Path) -> Iterator[None]:
        """Show what a log file says as it grows."""
        log.touch()
        ended = threading.Event()

        def show() -> None:
            with open(log, encoding="utf-8", errors="replace") as file:
                last = False
                while not last:
                    last = ended.wait(POLL)
                    while text := file.read(1 << 16):
                        sys.stdout.write(text)
                        sys.stdout.flush()

        thread = threading.Thread(target=show, name="log follower", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def rank_environment(nodes: list[rendezvous.Node], where: cluster.Cluster, local: int) -> dict[str, str]:
    """Return what fleet reads of the environment; the names are those of ``paddle.distributed.launch``.

    Args:
        nodes: of the job, in rank order. where: this node. local: number of the process on this node.
    """
    endpoints = [f"{node.address}:{port}" for node in nodes for port in node.ports]
    total, rank = len(endpoints), sum(len(node.ports) for node in nodes[:where.node_rank]) + local
    environment = {
        "PADDLE_MASTER": f"{nodes[0].address}:{nodes[0].store_port}",
        "PADDLE_GLOBAL_SIZE": str(total), "PADDLE_LOCAL_SIZE": str(where.nproc),
        "PADDLE_GLOBAL_RANK": str(rank),
        "PADDLE_LOCAL_RANK": str(local), "PADDLE_NNODES": str(len(nodes)), "PADDLE_RANK_IN_NODE": str(local),
        "PADDLE_CURRENT_ENDPOINT": endpoints[rank], "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(total), "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "POD_IP": nodes[where.node_rank].address}
    chosen = cards.choose_cards(where.devices) if cards.visible_cards() else []
    if chosen:
        environment.update(cards.rank_settings(chosen[local]))
    else:
        environment["PADDLE_DISTRI_BACKEND"] = "gloo"
    return environment


def ports_of(count: int, environment: Mapping[str, str]) -> list[int]:
    """Return ``count`` ports of this node: from ``FLAGS_START_PORT`` upwards, as Paddle's own launcher, or free ones.

    Raises:
        InputError: the variable is no port from which so many can be counted.
    """
    start = environment.get("FLAGS_START_PORT", "")
    if not start:
        return free_ports(count)
    if not start.isdecimal() or not 0 < int(start) <= 65536 - count:
        raise InputError(f"FLAGS_START_PORT is {start!r}: expected a port, from which {count} are taken")
    return list(range(int(start), int(start) + count))


def free_ports(count: int) -> list[int]:
    """Return ports of this node that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def first_of(codes: list[int | None]) -> int:
    """Return the exit code to report of those of the ranks, as a shell writes it; None: still running.

    A rank aborts because another has gone; none is killed for that reason.
    """
    failures = [code for code in codes if code and code != STOPPED]
    if not failures:
        return max(code or 0 for code in codes)
    failed = -signal.SIGKILL if -signal.SIGKILL in failures else failures[0]
    return 128 - failed if failed < 0 else failed


def main(arguments: list[str]) -> int:
    """Run the launcher; the exit code tells the shell whether to start again (see ernie/training/watchdog.py)."""
    own, script = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    parser = Parser(prog="launcher", description=__doc__)
    cluster.add_arguments(parser)
    parser.add_argument("--logs", type=Path, required=True, help="directory of the ranks' logs")
    parser.add_argument("--marks", type=Path, required=True, help="directory of the ranks' marks")
    parser.add_argument("--rendezvous-timeout", type=within(Seconds), default=600,
                        help="seconds to wait for the other nodes")
    parser.add_argument("--on-failure", default="", help="said before the reason when a rank has failed")
    flags = parser.parse_args(own)
    sys.stdout, sys.stderr = LossyStream(sys.stdout), LossyStream(sys.stderr)
    show_log()
    try:
        where = cluster.from_flags(flags)
        if "ERNIE_STOP_FILE" not in os.environ:  # started by hand: what an earlier job was asked is over
            os.environ["ERNIE_STOP_FILE"] = str(flags.logs / "stop")
            (flags.logs / "stop").unlink(missing_ok=True)
        stop_file = Path(os.environ["ERNIE_STOP_FILE"])
        chosen = share_cpu(where.nproc)
        if chosen and not os.environ.get("ERNIE_CPU_TOLD"):
            LOG.info("%s (set them yourself to choose otherwise)", ", ".join(chosen))
        launcher = Launcher(where, flags.logs, flags.marks, script, flags.rendezvous_timeout, stop_file,
                            flags.on_failure)
        _pass_on_stops(stop_file)
        return launcher.run()
    except InputError as error:
        LOG.error("%s", error)
        return 2
    except OSError as error:  # of the logs' directory: another user's, a full disk
        line = told(error)
        if line is None:
            raise
        LOG.error("%s", line[0])
        return line[1]


def _pass_on_stops(stop_file: Path) -> None:
    """A signal that a scheduler sent to every process is the same wish as the stop file of the shell.

    A second one ends everything where it stands.
    """
    received: list[int] = []

    def ask(number: int, frame: object) -> None:
        if received:
            sys.exit(128 + number)  # the launcher kills its ranks on the way out
        received.append(number)
        with contextlib.suppress(OSError):
            stop_file.write_text(signal.Signals(number).name + "\n", "utf-8")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
