"""The launchers of the 2019 release, ``finetune_launch.py`` and ``pretrain_launch.py``, over those of today.

Without a GPU a launcher starts one process, which takes the batch of all cards.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ernie.release2019.flags import CARDS, TEXT, epilog
from ernie.utils.arguments import Parser, within
from ernie.utils.limits import Natural, Processes
from ernie.utils.resources import PACKAGE

PLACES = "ERNIE_2019_PLACES"  # for train.py: the flags of run_pretrain.sh that say where it runs

WITHOUT_MEANING = ("current_node_ip", "log_prefix", "print_config")


def parse(argv: list[str], description: str) -> argparse.Namespace:
    """Parse the flags of 2019, then the script and its own flags."""
    return parser_of(description).parse_args(argv)


def parser_of(description: str) -> Parser:
    """Return the parser of a launcher whose module says ``description``."""
    kind = "pretrain" if "pre-training" in description else "finetune"
    script = "train.py" if kind == "pretrain" else "run_classifier.py"
    parser = Parser(prog=f"{kind}_launch.py", description=f"""{description}

example: python ernie/{kind}_launch.py --nproc_per_node 8 ernie/{script} --help""", epilog=epilog(WITHOUT_MEANING))
    parser.add_argument("--nproc_per_node", type=within(Processes), default=8, help="processes on each node")
    parser.add_argument("--selected_gpus", default="0,1,2,3,4,5,6,7", help="the cards of this node")
    parser.add_argument("--node_ips", help="addresses of the nodes, separated by commas")
    parser.add_argument("--node_id", type=within(Natural), default=0, help="which of them this is")
    parser.add_argument("--split_log_path", default="log", help="where every process writes its log")
    for name in WITHOUT_MEANING:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("script", help="the program to start")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its own flags")
    return parser


def command(args: argparse.Namespace, gpus: bool, pretraining: bool = False) -> tuple[list[str], dict[str, str]]:
    """Return (what to execute, environment to add).

    Args:
        pretraining: the script is ``train.py``, which starts the processes itself once the data is prepared.
    """
    nodes = [address.strip() for address in (args.node_ips or "").split(",") if address.strip()]
    script = [args.script, *args.arguments]
    cards = {CARDS: str(args.nproc_per_node * max(1, len(nodes)))}
    if not gpus:
        return [sys.executable, "-u", *script], cards
    devices = ",".join(args.selected_gpus.split(",")[:args.nproc_per_node])
    several = ["--nnodes", str(len(nodes)), "--rank", str(args.node_id), "--master", f"{nodes[0]}:6170"] \
        if len(nodes) > 1 else ["--nnodes", "1"]
    if pretraining:
        return [sys.executable, "-u", *script], {**cards, PLACES: " ".join(["--devices", devices, *several])}
    launch = [sys.executable, "-m", "ernie.launching.launcher", "--devices", devices, "--logs", args.split_log_path,
              "--marks", str(marks(args.arguments)), *several]
    return [*launch, "--", *script], {"PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE.parent),
                                                                                  os.environ.get("PYTHONPATH")]))}


def marks(arguments: list[str]) -> Path:
    """Return where the ranks of a fine-tuning program leave their marks: beside the models that its flags ask for."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--checkpoints", default=TEXT["checkpoints"])
    return Path(parser.parse_known_args(arguments)[0].checkpoints) / "alive"


def main(description: str, pretraining: bool = False) -> int:
    """Start the script; returns its exit code. With several processes the launcher takes the place of this one."""
    args = parse(sys.argv[1:], description)
    from ernie.utils.paddle_setup import import_paddle
    gpus = import_paddle().device.get_device().startswith("gpu")
    if not gpus:
        print(f"no GPU here: one process on the CPU takes the batch of {args.nproc_per_node} cards", flush=True)
    what, environment = command(args, gpus, pretraining)
    if "ernie.launching.launcher" in what:
        sys.stdout.flush()
        os.execve(what[0], what, {**os.environ, **environment})  # signals reach it without a go-between
    return subprocess.run(what, env={**os.environ, **environment}).returncode
