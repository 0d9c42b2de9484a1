"""The command line: one module of ``ernie.commands`` for each subcommand, imported only when it is called."""
from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from types import ModuleType

from ernie.utils.arguments import Parser
from ernie.utils.console import LOG, show_log
from ernie.utils.files import check_output, told
from ernie.utils.neighbours import check_neighbours
from ernie.utils.resources import ROOT
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

GROUPS = {
    "Text to training data": {
        "build-vocab": "raw text to a WordPiece vocabulary",
        "build-corpus": "raw text to a memory-mapped corpus store",
        "join-corpus": "one store of several, such as the shards of many machines",
        "build-pairs": "pair stores for discourse relation and IR relevance",
        "build-threads": "comments of a forum to dialogues",
        "demo-data": "real text that a dependency ships, as training data",
        "inspect": "print real decoded examples of a task with their labels",
        "audit": "what shallow features give away of a task's labels",
    },
    "Training": {
        "launch": "run_pretrain.sh and run_finetune.sh, from any folder",
        "plan": "what a curriculum will take: steps, memory, time",
        "stages": "the stages of a curriculum, and which are left to train",
        "pretrain": "train one stage: one process of run_pretrain.sh",
        "finetune": "fine-tune on one task: one process of run_finetune.sh",
        "compare": "curricula at equal budgets, on one page",
        "report": "one HTML page about a run",
    },
    "Using models": {
        "predict": "labels, spans or tags for a file, from a fine-tuned model",
        "evaluate": "metrics and errors of a fine-tuned model on a labelled file",
        "encode": "sentence and token vectors for a text file",
        "convert": "between the families of released checkpoints",
        "export": "static inference model or ONNX",
        "verify": "a store, run, checkpoint or exported model is whole",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}
# Page of docs/ that explains a command.
PAGES = {"build-vocab": "own_text.md", "build-corpus": "own_text.md", "join-corpus": "corpora.md",
         "build-pairs": "corpora.md", "build-threads": "corpora.md", "demo-data": "own_text.md",
         "report": "planning.md", "plan": "planning.md", "predict": "finetuning.md", "finetune": "finetuning.md",
         "evaluate": "finetuning.md",
         "encode": "checkpoints.md", "convert": "checkpoints.md", "export": "checkpoints.md", "inspect": "tasks.md",
         "audit": "tasks.md", "compare": "comparison.md", "pretrain": "architecture.md",
         "stages": "architecture.md", "launch": "cluster.md", "verify": "reliability.md"}


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand. Returns 0 done, 2 bad usage or bad input (one line, no traceback); other errors raise."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        check_neighbours()
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    show_log()
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0
    if argv[0] in ("-V", "--version"):
        print(version())
        return 0
    if argv[0] == "--completion":
        return print_completion(argv[1:])
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS or not _exists(name):
        LOG.error("unknown command %r%s", name, did_you_mean(name, filter(_exists, COMMANDS)))
        return 2
    module = importlib.import_module(_module(name))
    try:
        args = parser_of(name, module).parse_args(rest)
        if name != "plan" and not (name == "stages" and (args.dry_run or args.table)):  # which only look
            for output in filter(None, (getattr(args, key, None) for key in ("output", "target"))):
                if output != "-":
                    check_output(output, folder=name in FOLDERS)
        return module.run(args) or 0
    except InputError as error:
        LOG.error("%s", error)
        return 2
    except BrokenPipeError:  # the reader of our output (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        line = told(error)
        if line is None or os.environ.get("ERNIE_TRACEBACK"):
            raise
        LOG.error("%s", line[0])
        return line[1]


FOLDERS = ("compare", "finetune", "pretrain", "stages")  # commands whose output is a directory that may be there


def parser_of(name: str, module: ModuleType | None = None) -> argparse.ArgumentParser:
    """Return the argument parser of a command; its help ends with the page that explains it."""
    module = module or importlib.import_module(_module(name))
    page = ROOT / "docs" / PAGES[name]
    parser = Parser(prog=f"ernie {name}", description=module.__doc__, epilog=f"documentation: {page}")
    module.add_arguments(parser)
    return parser


def print_completion(shells: list[str]) -> int:
    """Print what makes a shell complete commands and flags; needs the shtab package."""
    if len(shells) != 1 or shells[0] not in ("bash", "zsh", "tcsh"):
        LOG.error('--completion takes one of bash, zsh, tcsh: eval "$(ernie --completion bash)"')
        return 2
    try:
        import shtab
    except ImportError:
        LOG.error("--completion needs the shtab package: %s -m pip install shtab", sys.executable)
        return 2
    whole = argparse.ArgumentParser(prog="ernie", description="ERNIE 2.0 on PaddlePaddle")
    commands = whole.add_subparsers(dest="command")
    for name in filter(_exists, COMMANDS):
        module = importlib.import_module(_module(name))
        module.add_arguments(commands.add_parser(name, help=COMMANDS[name].replace("%", "%%")))
    print(shtab.complete(whole, shells[0]))
    return 0


def overview() -> str:
    """Return what ``ernie --help`` prints: every command in a line."""
    lines = ["ERNIE 2.0 on PaddlePaddle: pre-training, fine-tuning and checkpoints.", "",
             "usage: ernie COMMAND [--help] ...", "       ernie --version",
             "       ernie --completion bash      # eval \"$(ernie --completion bash)\""]
    for group, commands in GROUPS.items():
        lines += ["", group, *(f"  {name:14}{text}" for name, text in commands.items() if _exists(name))]
    return "\n".join([*lines, "", "example: ernie launch pretrain --output output/demo",
                      f"documentation: {ROOT / 'docs' / 'index.md'}"])


def version() -> str:
    """Return the versions of this package, Python and Paddle, and where a command would compute."""
    from ernie import __version__
    lines = [f"ernie {__version__} ({ROOT})", f"Python {platform.python_version()} on {platform.platform()}"]
    try:
        from ernie.utils.paddle_setup import import_paddle
        paddle = import_paddle(tell=False)
    except InputError as error:
        return "\n".join([*lines, str(error)])
    place = paddle.device.get_device()
    cores = f", {os.cpu_count()} cores" if place == "cpu" else f", CUDA {paddle.version.cuda()}"
    return "\n".join([*lines, f"PaddlePaddle {paddle.__version__} on {place}{cores}"])


def _module(name: str) -> str:
    return "ernie.commands." + name.replace("-", "_")


def _exists(name: str) -> bool:
    return importlib.util.find_spec(_module(name)) is not None
