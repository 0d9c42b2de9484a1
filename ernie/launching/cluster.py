"""Determine the nodes and devices that take part, from the flags of the launchers or the environment of a scheduler.

``python -m ernie.launching.cluster FLAGS`` prints shell assignments (nnodes, node_rank, master, devices, nproc) for the
launchers. No paddle.
"""
from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ernie.launching import cards
from ernie.utils.arguments import Parser
from ernie.utils.console import LOG, show_log
from reader.utils.errors import InputError

PORT = 29500  # where node 0 listens while the nodes find one another, unless the user or ERNIE_PORT says otherwise
NODE_RANKS = ("PADDLE_RANK", "PADDLE_NODE_RANK", "PADDLE_TRAINER_ID")  # of Paddle's launcher, of users, of PaddleCloud


@dataclass(frozen=True)
class Cluster:
    """The nodes of a job and the processes of this one.

    Attributes:
        nnodes: number of nodes. node_rank: which of them this is, from 0. master: "host:port" of node 0, or "" for one
            node. devices: labels of this node's cards, see ``ernie.launching.cards``, or what was asked for on a CPU.
            nproc: processes on this node.
    """

    nnodes: int
    node_rank: int
    master: str
    devices: str
    nproc: int


def from_flags(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Cluster:
    """Complete the launchers' flags by what Paddle, SLURM or Open MPI put into the environment.

    Args:
        flags: nnodes, rank, master, devices; text or None.
    Raises:
        InputError: a value cannot be used, or several nodes lack a rank or a master.
    """
    nnodes, rank, master = flags.nnodes, flags.rank, flags.master
    if nnodes is None:
        nnodes, rank, master = _scheduled(rank, master, environment)
    if not nnodes.isdecimal() or int(nnodes) < 1:
        raise InputError(f"--nnodes {nnodes} is not a number of nodes")
    count = int(nnodes)
    if count > 1:
        if not rank or not master:
            raise InputError(f"{count} nodes need --rank (0 to {count - 1}) and --master HOST:PORT")
        if not rank.isdecimal() or int(rank) >= count:
            raise InputError(f"--rank {rank} is not one of 0 to {count - 1}")
        check_master(master)
    devices = flags.devices or environment.get("PADDLE_DEVICES") or ""
    if cards.visible_cards(environment):
        devices = ",".join(card.label for card in cards.choose_cards(devices, environment))
    elif devices and not re.fullmatch(r"\d+(,\d+)*", devices):
        raise InputError(f"--devices {devices}: expected numbers separated by commas, for example 0,1")
    nproc = len(devices.split(",")) if devices else 1
    return Cluster(count, int(rank) if count > 1 and rank else 0, master or "" if count > 1 else "", devices, nproc)


def check_master(master: str) -> tuple[str, int]:
    """Return (host, port) of ``HOST:PORT``; InputError if it is neither."""
    host, sign, port = master.rpartition(":")
    if not sign or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--master {master} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _scheduled(rank: str | None, master: str | None,
               environment: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    """(nnodes, rank, master) as the environment knows them; flags come first."""
    node = next((environment[name] for name in NODE_RANKS if environment.get(name)), None)
    if environment.get("PADDLE_NNODES"):  # as Paddle's own launcher reads it
        return environment["PADDLE_NNODES"], rank or node, master or environment.get("PADDLE_MASTER")
    addresses = [address.strip() for address in environment.get("PADDLE_TRAINERS", "").split(",") if address.strip()]
    if len(addresses) > 1:  # PaddleCloud
        port = environment.get("ERNIE_PORT") or environment.get("PADDLE_PORT") or PORT
        return str(len(addresses)), rank or node, master or f"{addresses[0]}:{port}"
    slurm = environment.get("SLURM_NNODES") or environment.get("SLURM_JOB_NUM_NODES")
    if slurm:
        _refuse_several_tasks(environment)
    if slurm and slurm != "1":
        return slurm, rank or environment.get("SLURM_NODEID"), master or _slurm_master(environment)
    if environment.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        if environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1") != "1":
            raise InputError(f"Open MPI started {environment['OMPI_COMM_WORLD_LOCAL_SIZE']} copies of the launcher on "
                             "this node; it starts the processes of a node itself: mpirun --map-by ppr:1:node")
        return (environment["OMPI_COMM_WORLD_SIZE"], rank or environment.get("OMPI_COMM_WORLD_RANK"),
                master or environment.get("ERNIE_MASTER"))
    return "1", rank, master


def _refuse_several_tasks(environment: Mapping[str, str]) -> None:
    here = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", "1")))
    if here and int(here[0]) > 1 and environment.get("SLURM_STEP_ID", "") != "":
        raise InputError(f"SLURM starts {here[0]} copies of the launcher on a node; it starts the processes of a node "
                         "itself: srun --ntasks-per-node=1")


def _slurm_master(environment: Mapping[str, str]) -> str:
    nodes = environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST") or ""
    host = first_host(nodes)
    if not host and shutil.which("scontrol"):
        answer = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True)
        host = answer.stdout.split("\n")[0].strip()
    if not host:
        raise InputError(f"SLURM names the nodes {nodes!r}, in which no first node could be found, and there is no "
                         "scontrol here that could: give --master HOST:PORT")
    return f"{host}:{environment.get('ERNIE_PORT', PORT)}"


def first_host(nodes: str) -> str:
    """Return the first host of a SLURM node list such as ``gpu[07-10,12],login1``; "" if it cannot be read."""
    found = re.match(r"([\w.-]+)(?:\[(\d+)[\d,-]*\]([\w.-]*))?(?:,|$)", nodes)
    return "" if not found else found[1] + (found[2] or "") + (found[3] or "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --nnodes, --rank, --master and --devices."""
    parser.add_argument("--nnodes", help="number of nodes")
    parser.add_argument("--rank", help="which of them this is, from 0")
    parser.add_argument("--master", help="HOST:PORT of node 0")
    parser.add_argument("--devices", help="cards of this node; on a CPU, as many processes")


def main(arguments: list[str]) -> int:
    """Print the shell assignments; exit code 2 and one line where the flags cannot be used."""
    show_log()
    parser = Parser(prog="cluster", description=__doc__)
    add_arguments(parser)
    try:
        found = from_flags(parser.parse_args([word for word in arguments if word]))
    except InputError as error:
        LOG.error("%s", error)
        return 2
    for name, value in vars(found).items():
        print(f"{name}={shlex.quote(str(value))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
