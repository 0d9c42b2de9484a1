"""scripts/cluster.sh: nodes and devices from flags, or from what schedulers say."""
import os
import subprocess

import pytest

from tests.ernie import runs

SHOW = ("ernie_root=. nnodes=$1 node_rank=$2 master=$3 devices=$4; . scripts/cluster.sh; ernie_cluster; "
        'echo "$nnodes|$node_rank|$master|$devices|$nproc"')


def cluster(tmp_path, nnodes="", rank="", master="", devices="", **environment):
    """(exit code, "nodes|rank|master|devices|processes", errors)."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[07-08]" ] && printf "gpu07\\ngpu08\\n"\n')
    scontrol.chmod(0o755)
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith(("SLURM", "PADDLE", "OMPI", "CUDA", "ERNIE"))}
    done = subprocess.run(["bash", "-c", SHOW, "-", nnodes, rank, master, devices], cwd=runs.ROOT, text=True,
                          capture_output=True, env={**clean, "PATH": f"{tmp_path}:{clean['PATH']}", **environment})
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("flags, environment, expected", [
    ({}, {}, "1||||1"),
    ({"devices": "0,1,3"}, {}, "1|||0,1,3|3"),
    ({"nnodes": "2", "rank": "1", "master": "a:1", "devices": "0"}, {}, "2|1|a:1|0|1"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_NODELIST": "gpu[07-08]"}, "2|1|gpu07:29500||1"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "gpu[07-08]", "ERNIE_PORT": "7000"},
     "2|0|gpu07:7000||1"),
    ({}, {"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "gpu07"}, "1||||1"),
    ({}, {"PADDLE_NNODES": "4", "PADDLE_NODE_RANK": "3", "PADDLE_MASTER": "m:8"}, "4|3|m:8||1"),
    ({}, {"PADDLE_NNODES": "4", "PADDLE_TRAINER_ID": "2", "PADDLE_MASTER": "m:8"}, "4|2|m:8||1"),
    ({}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "ERNIE_MASTER": "m:9"}, "2|1|m:9||1"),
    ({"nnodes": "2", "rank": "0", "master": "mine:5"},
     {"SLURM_NNODES": "8", "SLURM_NODEID": "7", "SLURM_JOB_NODELIST": "gpu[07-08]"}, "2|0|mine:5||1"),
])
def test_flags_come_before_the_scheduler(tmp_path, flags, environment, expected):
    assert cluster(tmp_path, **flags, **environment)[:2] == (0, expected)


@pytest.mark.parametrize("flags, environment, words", [
    ({"nnodes": "2"}, {}, "2 nodes need --rank (0 to 1) and --master HOST:PORT"),
    ({}, {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "2 nodes need --rank"),
    ({"devices": "0,,1"}, {}, "--devices 0,,1: expected numbers separated by commas"),
    ({"devices": "gpu0"}, {}, "--devices gpu0: expected numbers separated by commas"),
    ({"nnodes": "two"}, {}, "--nnodes two is not a number"),
    ({"nnodes": "2", "rank": "2", "master": "m:1"}, {}, "--rank 2 is not one of 0 to 1"),
    ({"nnodes": "2", "rank": "0", "master": "m"}, {}, "--master m is not HOST:PORT"),
    ({}, {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_NODELIST": "unknown"},
     "--master :29500 is not HOST:PORT"),
])
def test_mistakes_are_named(tmp_path, flags, environment, words):
    code, _, error = cluster(tmp_path, **flags, **environment)
    assert code == 2 and words in error


def test_run_pretrain_names_its_mistakes_before_it_starts_anything(tmp_path):
    for options, words in ((["--max-restarts", "x"], "--max-restarts x is not a number"),
                           (["--output"], "--output needs a value"), (["--outptu", "x"], "unknown option --outptu")):
        done = subprocess.run(["bash", "run_pretrain.sh", *options], cwd=runs.ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr
