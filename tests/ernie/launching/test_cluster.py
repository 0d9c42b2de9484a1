"""Nodes and devices, from flags or from what schedulers say; and how nodes find one another."""
import argparse
import socket
import subprocess
import threading
import time

import pytest

from ernie.launching import rendezvous
from ernie.launching.cluster import first_host, from_flags
from ernie.launching.launcher import first_of, free_ports, ports_of, rank_environment
from ernie.utils.console import show_log
from reader.utils.errors import InputError
from tests.ernie import runs


def cluster(environment=None, **flags):
    """"nodes|rank|master|devices|processes"."""
    named = argparse.Namespace(**{name: flags.get(name) for name in ("nnodes", "rank", "master", "devices")})
    found = from_flags(named, environment or {})
    return f"{found.nnodes}|{found.node_rank}|{found.master}|{found.devices}|{found.nproc}"


@pytest.mark.parametrize("flags, environment, expected", [
    ({}, {}, "1|0|||1"),
    ({"devices": "0,1,3"}, {}, "1|0||0,1,3|3"),
    ({"nnodes": "2", "rank": "1", "master": "a:1", "devices": "0"}, {}, "2|1|a:1|0|1"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_NODELIST": "gpu[07-08]"}, "2|1|gpu07:29500||1"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "gpu[07-08]", "ERNIE_PORT": "7000"},
     "2|0|gpu07:7000||1"),
    ({}, {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "gpu07"}, "1|0|||1"),
    ({}, {"PADDLE_NNODES": "4", "PADDLE_NODE_RANK": "3", "PADDLE_MASTER": "m:8"}, "4|3|m:8||1"),
    ({}, {"PADDLE_NNODES": "4", "PADDLE_TRAINER_ID": "2", "PADDLE_MASTER": "m:8"}, "4|2|m:8||1"),
    ({}, {"PADDLE_NNODES": "4", "PADDLE_RANK": "1", "PADDLE_MASTER": "m:8", "PADDLE_DEVICES": "0,1"}, "4|1|m:8|0,1|2"),
    ({"devices": "3"}, {"PADDLE_DEVICES": "0,1"}, "1|0||3|1"),
    ({}, {"PADDLE_TRAINERS": "10.0.0.1,10.0.0.2", "PADDLE_TRAINER_ID": "1", "POD_IP": "10.0.0.2", "PADDLE_PORT": "6170",
          "PADDLE_TRAINERS_NUM": "2", "TRAINER_PORTS_NUM": "8"}, "2|1|10.0.0.1:6170||1"),
    ({}, {"PADDLE_TRAINERS": "10.0.0.1,10.0.0.2", "PADDLE_TRAINER_ID": "0"}, "2|0|10.0.0.1:29500||1"),
    ({}, {"PADDLE_TRAINERS": "10.0.0.1", "PADDLE_TRAINER_ID": "0"}, "1|0|||1"),
    ({}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "ERNIE_MASTER": "m:9"}, "2|1|m:9||1"),
    ({"nnodes": "2", "rank": "0", "master": "mine:5"},
     {"SLURM_NNODES": "8", "SLURM_NODEID": "7", "SLURM_JOB_NODELIST": "gpu[07-08]"}, "2|0|mine:5||1"),
])
def test_flags_come_before_the_scheduler(flags, environment, expected):
    assert cluster(environment, **flags) == expected


@pytest.mark.parametrize("nodes, first", [
    ("gpu07", "gpu07"), ("gpu[07-08]", "gpu07"), ("gpu[3,5-9],login", "gpu3"), ("a-1.s[001-099]x,b2", "a-1.s001x"),
    ("login1,gpu[1-2]", "login1"), ("", ""), ("[1-2]", ""), ("rack[1-2]node[1-2]", "")])
def test_the_first_of_slurms_nodes_is_read_without_scontrol(nodes, first):
    assert first_host(nodes) == first


@pytest.mark.parametrize("flags, environment, words", [
    ({"nnodes": "2"}, {}, "2 nodes need --rank (0 to 1) and --master HOST:PORT"),
    ({}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "2 nodes need --rank"),
    ({"devices": "0,,1"}, {}, "--devices 0,,1: expected numbers separated by commas"),
    ({"devices": "gpu0"}, {}, "--devices gpu0: expected numbers separated by commas"),
    ({"nnodes": "two"}, {}, "--nnodes two is not a number"),
    ({"nnodes": "2", "rank": "2", "master": "m:1"}, {}, "--rank 2 is not one of 0 to 1"),
    ({"nnodes": "2", "rank": "0", "master": "m"}, {}, "--master m is not HOST:PORT"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_NODELIST": "r[1-2]n[1-2]"},
     "SLURM names the nodes 'r[1-2]n[1-2]', in which no first node could be found"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
          "SLURM_JOB_NODELIST": "n[1-2]"}, "SLURM starts 8 copies of the launcher on a node"),
    ({}, {"OMPI_COMM_WORLD_SIZE": "16", "OMPI_COMM_WORLD_LOCAL_SIZE": "8"}, "Open MPI started 8 copies"),
])
def test_mistakes_are_named(flags, environment, words):
    with pytest.raises(InputError) as error:
        cluster(environment, **flags)
    assert words in str(error.value)


def test_the_launchers_name_their_mistakes_before_it_starts_anything(tmp_path):
    for options, words in ((["--max-restarts", "x"], "--max-restarts x is not a whole number"),
                           (["--output"], "--output needs a value"), (["--outptu", "x"], "unknown option --outptu"),
                           (["--max-restarts=x"], "--max-restarts x is not a whole number")):
        for launcher in "run_pretrain.sh", "run_finetune.sh":
            done = subprocess.run(["bash", launcher, *options], cwd=runs.ROOT, capture_output=True, text=True)
            assert done.returncode == 2 and words in done.stderr


def meet(rank, nnodes=2, port=0, timeout=200.0, host="localhost", ports=(1,), stop=lambda: False):
    return rendezvous.meet(rank, nnodes, f"{host}:{port}", 4000 + rank, list(ports), timeout, asked_to_stop=stop)


def together(*calls):
    """What calls in threads of their own return or raise, in order."""
    found = [None] * len(calls)

    def one(k, call):
        try:
            found[k] = call()
        except Exception as error:
            found[k] = error

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return found


def test_ports_that_a_firewall_lets_through():
    assert ports_of(3, {"FLAGS_START_PORT": "6170"}) == [6170, 6171, 6172]
    assert ports_of(3, {"FLAGS_START_PORT": "65533"})[-1] == 65535
    free = ports_of(3, {})
    assert len(set(free)) == 3 and min(free) > 1023
    for start in "65534", "0", "-1", "a":
        with pytest.raises(InputError, match="FLAGS_START_PORT is"):
            ports_of(3, {"FLAGS_START_PORT": start})


def test_nodes_meet_at_a_host_name_and_all_get_the_same_table():
    port = free_ports(1)[0]
    found = together(lambda: meet(2, 3, port, ports=(7, 8)), lambda: meet(1, 3, port), lambda: meet(0, 3, port))
    assert found[0].nodes == found[1].nodes == found[2].nodes
    assert [(node.rank, node.address, node.store_port, node.ports) for node in found[0].nodes] == [
        (0, "127.0.0.1", 4000, [1]), (1, "127.0.0.1", 4001, [1]), (2, "127.0.0.1", 4002, [7, 8])]
    # global ranks follow the nodes' order, whatever the number of processes on each
    where = from_flags(argparse.Namespace(nnodes="3", rank="2", master=f"localhost:{port}", devices="0,1"), {})
    second = rank_environment(found[0].nodes, where, 1)
    assert second["PADDLE_TRAINER_ID"] == "3" and second["PADDLE_TRAINERS_NUM"] == "4"
    assert second["PADDLE_MASTER"] == "127.0.0.1:4000" and second["PADDLE_CURRENT_ENDPOINT"] == "127.0.0.1:8"
    assert second["PADDLE_TRAINER_ENDPOINTS"] == "127.0.0.1:1,127.0.0.1:1,127.0.0.1:7,127.0.0.1:8"
    # a node that ends badly, or vanishes, is noticed by all; one that ends well is not missed
    first, other, last = found[2], found[1], found[0]
    other.end(well=True)
    time.sleep(0.2)
    assert not first.failed()
    last.end(well=False)
    deadline = time.monotonic() + 60
    while not first.failed():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_master_whose_own_name_leads_to_itself_alone_is_reached_from_outside(monkeypatch):
    """As Debian's /etc/hosts has it; 127.0.0.2 stands for the address that the other hosts know."""
    monkeypatch.setattr(rendezvous, "own_only", lambda address: address == "127.0.1.1")
    monkeypatch.setattr(rendezvous, "_resolve", lambda host, port, rank, waiting: "127.0.0.2" if rank else "127.0.1.1")
    port = free_ports(1)[0]
    found = together(lambda: meet(0, port=port, host="first", timeout=60.0),
                     lambda: meet(1, port=port, host="first", timeout=60.0))
    for peers in found:
        assert not isinstance(peers, Exception), peers
        assert [node.address for node in peers.nodes] == ["127.0.0.2", "127.0.0.1"]


def test_nodes_of_one_host_keep_the_addresses_at_which_they_met():
    nodes = [rendezvous.Node(0, "127.0.1.1", 1, [2]), rendezvous.Node(1, "127.0.0.1", 3, [4]),
             rendezvous.Node(2, "10.0.0.2", 5, [6])]
    assert rendezvous._seen_from_outside(nodes[:2], ["127.0.1.1"]) == nodes[:2]
    found = rendezvous._seen_from_outside(nodes, ["127.0.1.1", "10.0.0.1"])
    assert [node.address for node in found] == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]


def test_nodes_that_do_not_come_are_named_after_a_bounded_wait(capsys):
    show_log()
    port = free_ports(1)[0]
    with pytest.raises(InputError, match=r"waited \d+ s for 3 nodes at localhost:\d+ \(127.0.0.1\); .* node 1, 2"):
        meet(0, 3, port, timeout=1.5)
    assert "ernie: waiting for 3 nodes at localhost:" in capsys.readouterr().err
    with pytest.raises(InputError, match="node 0 does not answer yet"):
        meet(1, 2, port, timeout=1.5)
    with pytest.raises(rendezvous.Stopped):
        meet(1, 2, port, stop=lambda: True)


def test_nodes_that_disagree_are_refused_with_the_reason(monkeypatch):
    port, judge = free_ports(1)[0], rendezvous._wrong
    accepted, over = threading.Event(), threading.Event()

    def wrong(*what):
        found = judge(*what)
        if not found:
            accepted.set()
        return found

    def late():
        """What is said to others after a good node 1 is there."""
        try:
            assert accepted.wait(100)
            said = []
            for nnodes in (2, 3):
                with pytest.raises(InputError) as error:
                    meet(1, nnodes, port)
                said.append(str(error.value))
            return said
        finally:
            over.set()

    monkeypatch.setattr(rendezvous, "_wrong", wrong)
    served, first, said = together(lambda: meet(0, 3, port, stop=over.is_set),
                                   lambda: meet(1, 3, port, stop=over.is_set), late)
    assert isinstance(served, rendezvous.Stopped) and isinstance(first, rendezvous.Stopped)  # node 2 did not come
    assert "was started with --nnodes 2, node 0 with 3" in said[0]
    assert "there is another node with --rank 1" in said[1]


def test_a_busy_port_and_an_unknown_host_are_one_line_each():
    port = free_ports(1)[0]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(InputError, match="node 0 cannot listen there"):
            meet(0, port=port, timeout=2)
    with pytest.raises(InputError, match=r"waited \d+ s for 2 nodes at no-such\S+; node 0 does not know this host"):
        meet(0, port=port, host="no-such-host.invalid", timeout=0.1)


def test_a_master_whose_name_is_not_known_yet_is_waited_for(monkeypatch):
    """As that of a pod which still starts."""
    asked = {0: 0, 1: 0}

    def addresses(host, port, *_):
        rank = int(threading.current_thread().name)
        asked[rank] += 1
        if asked[rank] < 3:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(rendezvous.socket, "getaddrinfo", addresses)
    port = free_ports(1)[0]

    def node(rank):
        threading.current_thread().name = str(rank)
        return meet(rank, port=port, host="ernie-0.ernie")

    found = together(lambda: node(0), lambda: node(1))
    assert [[node.rank for node in peers.nodes] for peers in found] == [[0, 1], [0, 1]]
    assert asked[0] == 3 and asked[1] > 3  # connecting asks once more
    for peers in found:  # and a host that loses its power is noticed, though nobody writes while training
        for connection in peers._open:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert 0 < connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        peers.end(well=True)


@pytest.mark.parametrize("codes, reported", [
    ([0, 0], 0), ([0, 75], 75), ([1, None], 1), ([-6, -9], 137), ([-9, -6], 137), ([-6, None], 134), ([2, 75], 2)])
def test_the_reason_of_a_failure_is_the_kill_and_not_the_abort_that_follows(codes, reported):
    assert first_of(codes) == reported
