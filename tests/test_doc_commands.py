"""Every shell command of README and docs is understood by the program that it calls.

``tests/docs/test_runs.py`` (slow) runs them; here each is read by its own parser, so that a flag that was renamed, a
curriculum that is gone or a file that moved is found in seconds.
"""
import re
import subprocess
from functools import lru_cache

import pytest

from ernie import cli
from ernie.utils.resources import locate_curriculum
from tests.docs.commands import MENTIONED, PROGRAMS, SHOWN, words
from tests.ernie.runs import ROOT


def test_commands_are_found():
    shown = [tuple(command) for command in SHOWN]
    assert len(shown) > 100 and ("README.md", "make test") in shown and len(MENTIONED) > 80


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_a_command_is_read_by_its_parser(command):
    for part in re.sub(r"<[^>]+>", "PLACE", command.text).split("&&"):
        check(words(part), whole=True)


@pytest.mark.parametrize("command", MENTIONED, ids=str)
def test_a_command_in_the_running_text_has_flags_that_exist(command):
    check(words(command.text), whole=False)


def check(found, whole):
    """``whole``: nothing that the command requires is left out."""
    program = found[0].rpartition("/")[2]
    assert program in PROGRAMS or program == "cd", f"unknown program {program}"
    if program == "ernie":
        check_ernie(found[1:], whole)
    elif program == "bash":
        assert (ROOT / found[1]).is_file(), found[1]
        if found[1] in ("run_pretrain.sh", "run_finetune.sh"):
            check_ernie(["launch", found[1][4:-3], *found[2:]], whole)
    elif program == "pytest":
        assert all((ROOT / word).exists() for word in found[1:] if "/" in word), found
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert all(word in targets for word in found[1:] if not re.match(r"[A-Z_]+=", word))
    elif program == "python" and found[1:3] == ["-m", "ernie"]:
        check_ernie(found[3:], whole)
    elif program == "python" and found[1] == "-m" and found[2].startswith("ernie."):
        assert (ROOT / f"{found[2].replace('.', '/')}.py").is_file(), found[2]
    elif program == "python" and found[1].endswith(".py"):
        assert (ROOT / found[1]).is_file(), found[1]
        text = (ROOT / found[1]).read_text()
        if "common.add_run_arguments" in text:
            text += (ROOT / "ernie" / "commands" / "common.py").read_text()
        if "import paired" in text:
            text += (ROOT / "benchmarks" / "peers" / "paired.py").read_text()
        flags = set(re.findall(r'"(--[a-z][a-z-]*)"', text))
        assert {word for word in found[2:] if word.startswith("--")} <= flags, f"{found[1]}: {sorted(flags)}"


@lru_cache
def launcher_flags(kind):
    """Flags that ``ernie launch KIND --help`` names."""
    said = subprocess.run(["bash", str(ROOT / f"run_{kind}.sh"), "--help"], capture_output=True, text=True)
    return set(re.findall(r"--[a-z][a-z-]*", said.stdout))


def check_ernie(found, whole):
    """Flags and curricula exist. The value of a flag is not looked at where it is a file of the reader's."""
    if found[0] in ("--help", "--version", "--completion"):
        return
    if found[0] == "launch":
        known = launcher_flags(found[1])
        assert {word for word in found[2:] if word.startswith("--")} <= known, f"ernie launch {found[1]}: {known}"
    elif whole:
        assert found[0] in cli.COMMANDS, found[0]
        cli.parser_of(found[0]).parse_args(found[1:])
    else:
        assert found[0] in cli.COMMANDS, found[0]
        parser = cli.parser_of(found[0])
        assert {word for word in found if word.startswith("--")} <= set(parser._option_string_actions), found
    for flag, value in zip(found, found[1:]):
        if flag == "--config" and value.isidentifier() or value.startswith("configs/"):
            assert locate_curriculum(value) if flag == "--config" and value.isidentifier() else (ROOT / value).is_file()
