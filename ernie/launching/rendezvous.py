"""Rendezvous of the nodes of a job, and notice of a node that fails. Sockets only, no paddle.

Node 0 listens at the master's port; the others connect to it, each says who it is, and all get the same table of
addresses. The connections stay open while the ranks train: a node that fails, or whose launcher is gone, ends the job
on all nodes at once instead of after the time-out of a collective operation.
"""
from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ernie.launching.cluster import check_master
from ernie.utils.console import LOG
from reader.utils.errors import InputError

LIMIT = 1 << 16   # bytes of a message
REMIND = 30.0     # seconds between two lines about who is missing
RETRY = 0.5       # seconds between two attempts
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}  # a host without power is noticed in 90 s


class Stopped(Exception):
    """A stop was asked for while the nodes were waiting for one another."""


@dataclass(frozen=True)
class Node:
    """The description of a node; its address is where the others saw it come from."""

    rank: int
    address: str
    store_port: int   # for Paddle's own store, if this is node 0
    ports: list[int]  # one for each process on this node


class Peers:
    """The table of nodes, and the connections to those whose end is to be noticed.

    Attributes:
        nodes: of all ranks, in rank order.
    """

    def __init__(self, nodes: list[Node], connections: list[socket.socket]):
        self.nodes, self._open = nodes, list(connections)

    def failed(self) -> bool:
        """Tell whether another node has failed or vanished since the last call."""
        ready, _, _ = select.select(self._open, [], [], 0) if self._open else ([], [], [])
        for connection in ready:
            self._open.remove(connection)
            if _receive(connection) != {"ended": "well"}:
                return True
        return False

    def end(self, well: bool) -> None:
        """Tell the others how this node ended, and part from them. Node 0 passes a failure of one on to all."""
        for connection in self._open:
            _say(connection, {"ended": "well" if well else "badly"})
            connection.close()
        self._open = []


def meet(rank: int, nnodes: int, master: str, store_port: int, ports: list[int], timeout: float, *,
         asked_to_stop: Callable[[], bool] = lambda: False) -> Peers:
    """Wait until all nodes are there; return who they are.

    Args:
        rank: of this node. master: "host:port", a name or an address of node 0. store_port, ports: free ports of this
            node, see ``Node``. timeout: seconds to wait.
    Raises:
        InputError: the master's port is taken, nodes disagree, or its name or the nodes do not come in time.
        Stopped: ``asked_to_stop`` said so.
    """
    host, port = check_master(master)
    waiting = _Waiting(f"{nnodes} nodes at {master}", timeout, asked_to_stop)
    address = _resolve(host, port, rank, waiting)
    waiting.what += "" if address == host else f" ({address})"
    mine = Node(rank, address, store_port, ports)
    if rank:
        return _join(mine, nnodes, address, port, waiting)
    # Debian gives a host's own name the address 127.0.1.1 on that host: nobody outside would come through there
    everywhere = own_only(address) and host not in (address, "localhost")
    return _serve(mine, nnodes, port, waiting, "" if everywhere else address)


def own_only(address: str) -> bool:
    """Tell whether an address leads to the host itself, whoever asks."""
    return address.startswith("127.")


class _Waiting:
    """Patience with an end: says what is waited for, and stops when it is told to."""

    def __init__(self, what: str, timeout: float, asked_to_stop: Callable[[], bool]):
        self.what, self.timeout, self.asked_to_stop = what, timeout, asked_to_stop
        self.begun, self.told = time.monotonic(), -REMIND

    def check(self, missing: str) -> None:
        """To be called often; ``missing`` completes the lines."""
        if self.asked_to_stop():
            raise Stopped
        waited = time.monotonic() - self.begun
        if waited > self.timeout:
            raise InputError(f"waited {waited:.0f} s for {self.what}; {missing}. The same command must be started on "
                             "every node, each with its own --rank (under SLURM: srun --ntasks-per-node=1)")
        if waited - self.told >= REMIND:
            self.told = waited
            LOG.info("waiting for %s; %s", self.what, missing)


def _resolve(host: str, port: int, rank: int, waiting: _Waiting) -> str:
    """The address of the master; its name may come later than this node, as that of a pod does that still starts."""
    while True:
        try:
            return str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except OSError as error:
            waiting.check(f"node {rank} does not know this host ({error.strerror or error})")
            time.sleep(RETRY)


def _serve(mine: Node, nnodes: int, port: int, waiting: _Waiting, listen_at: str) -> Peers:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((listen_at, port))
        except OSError as error:
            raise InputError(f"--master {mine.address}:{port}: node 0 cannot listen there ({error.strerror}): another "
                             "job has the port, or this is not the host that --rank 0 was given to") from None
        server.listen(nnodes)
        server.settimeout(0.5)
        found: dict[int, tuple[Node, socket.socket]] = {}
        while len(found) < nnodes - 1:
            missing = sorted(set(range(1, nnodes)) - set(found))
            waiting.check("missing: node " + ", ".join(map(str, missing)))
            try:
                connection, (address, _) = server.accept()
            except socket.timeout:
                continue
            connection.settimeout(5)
            _keep_alive(connection)
            hello = _receive(connection)
            wrong = _wrong(hello, nnodes, found)
            if wrong:
                _say(connection, {"refused": wrong})
                connection.close()
                LOG.warning("a node at %s was refused: %s", address, wrong)
                continue
            found[hello["rank"]] = Node(hello["rank"], address, hello["store_port"], hello["ports"]), connection
        others = [found[rank] for rank in sorted(found)]
        nodes = _seen_from_outside([mine, *(node for node, _ in others)],
                                   [connection.getsockname()[0] for _, connection in others])
        for _, connection in found.values():
            _say(connection, {"nodes": [asdict(node) for node in nodes]})
        return Peers(nodes, [connection for _, connection in found.values()])


def _seen_from_outside(nodes: list[Node], reached: list[str]) -> list[Node]:
    """Give nodes on this host, known by an address of its own, the one at which others have ``reached`` it, if any."""
    outside = next((address for address in reached if not own_only(address)), None)
    return [replace(node, address=outside) if outside and own_only(node.address) else node for node in nodes]


def _wrong(hello: dict, nnodes: int, found: dict) -> str:
    numbers = [hello.get("rank"), hello.get("nnodes"), hello.get("store_port"), *(hello.get("ports") or [None])]
    if any(type(number) is not int for number in numbers):
        return "it does not speak like a launcher of this project"
    if hello["nnodes"] != nnodes:
        return f"it was started with --nnodes {hello['nnodes']}, node 0 with {nnodes}"
    if not 0 < hello["rank"] < nnodes or hello["rank"] in found:
        return f"there is another node with --rank {hello['rank']}"
    return ""


def _join(mine: Node, nnodes: int, address: str, port: int, waiting: _Waiting) -> Peers:
    while True:
        waiting.check("node 0 does not answer yet")
        try:
            connection = socket.create_connection((address, port), timeout=5)
        except OSError:
            time.sleep(RETRY)
            continue
        _keep_alive(connection)
        _say(connection, {"nnodes": nnodes, "rank": mine.rank, "store_port": mine.store_port, "ports": mine.ports})
        while True:
            waiting.check("node 0 waits for others")
            if select.select([connection], [], [], 0.5)[0]:
                break
        answer = _receive(connection)
        if "refused" in answer:
            raise InputError(f"node 0 refused this node: {answer['refused']}")
        if "nodes" in answer:
            return Peers([Node(**node) for node in answer["nodes"]], [connection])
        connection.close()  # node 0 ended while it was waiting; another attempt of it may follow
        time.sleep(RETRY)


def _keep_alive(connection: socket.socket) -> None:
    """Have the system ask the other end whether it is there: a host that loses its power does not say that it goes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _say(connection: socket.socket, content: dict) -> None:
    with contextlib.suppress(OSError):  # whoever it was has gone; the reading side notices
        connection.sendall(json.dumps(content).encode() + b"\n")


def _receive(connection: socket.socket) -> dict[str, Any]:
    """One message; {} when the connection has ended or says something else."""
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < LIMIT:
            more = connection.recv(4096)
            if not more:
                return {}
            line += more
        content = json.loads(line)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
