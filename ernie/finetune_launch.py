"""The launcher of Baidu's 2019 release, with its flags, over Paddle's launcher of today.

Without a GPU it starts one process, which takes the batch of all cards.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def parse(argv: list) -> argparse.Namespace:
    """The flags of 2019, then the script and its own flags."""
    from ernie.cli import Parser
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nproc_per_node", type=int, default=8, help="processes on each node")
    parser.add_argument("--selected_gpus", default="0,1,2,3,4,5,6,7", help="the cards of this node")
    parser.add_argument("--node_ips", help="addresses of the nodes, separated by commas")
    parser.add_argument("--node_id", type=int, default=0, help="which of them this is")
    parser.add_argument("--split_log_path", default="log", help="where every process writes its log")
    for name in ("current_node_ip", "log_prefix", "print_config"):
        parser.add_argument(f"--{name}", help="accepted, without meaning today")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(argv)


def command(args: argparse.Namespace, gpus: bool) -> tuple[list, dict]:
    """(what to execute, environment to add)."""
    nodes = [address.strip() for address in (args.node_ips or "").split(",") if address.strip()]
    if not gpus:
        cards = args.nproc_per_node * max(1, len(nodes))
        return [sys.executable, "-u", args.script, *args.arguments], {"ERNIE_2019_CARDS": str(cards)}
    devices = ",".join(args.selected_gpus.split(",")[:args.nproc_per_node])
    launch = [sys.executable, "-m", "paddle.distributed.launch", "--devices", devices, "--log_dir", args.split_log_path]
    if len(nodes) > 1:
        launch += ["--master", f"{nodes[0]}:6170", "--nnodes", str(len(nodes)), "--rank", str(args.node_id)]
    return [*launch, args.script, *args.arguments], {}


def main() -> int:
    """Start the script; returns its exit code."""
    args = parse(sys.argv[1:])
    from ernie.utils.paddle_setup import import_paddle
    gpus = import_paddle().device.get_device().startswith("gpu")
    if not gpus:
        print(f"no GPU here: one process on the CPU takes the batch of {args.nproc_per_node} cards")
    what, environment = command(args, gpus)
    return subprocess.run(what, env={**os.environ, **environment}).returncode


if __name__ == "__main__":
    HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(HERE.parent)] + [place for place in sys.path if Path(place or ".").resolve() != HERE]
    sys.exit(main())
