"""Every shell command in README and docs: run by a test or by CI, or else read by the program that it calls.

``RUN`` says where a command is run. All others must be understood by the parser of the command that they call, for the
reason that ``READ`` gives: so a flag that was renamed, a curriculum that is gone or a file that moved is found.
"""
import re
import shlex
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from ernie import cli
from ernie.utils.resources import locate_curriculum
from tests.ernie.runs import ROOT

FILES = ("README.md", "README.zh.md", "CONTRIBUTING.md",
         *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))))
README, CI = "tests/test_readme.py", ".ci/run"
# beginning of a command -> (file in which it is run, pattern of the line there that runs it)
RUN = {
    "bash run_pretrain.sh": (CI, r"bash run_pretrain\.sh --output"),
    "make test": (CI, r"make test PYTEST_ARGS"),
    "pip install ernie_pretrain": (CI, r"dist/\*\.whl\)\[cpu,zh\]"),
    "ernie launch pretrain --config demo_zh": (CI, r"ernie launch pretrain --config demo_zh"),
    "ernie demo-data --kind reviews": (CI, r"ernie demo-data --kind reviews"),
    "ernie build-vocab --input texts/ --language en": (README, r'block\("Your own text'),
    "ernie build-corpus --input texts/ --language en": (README, r'block\("Your own text'),
    "ernie inspect --corpus store/mine": (README, r'block\("Your own text'),
    "ernie launch pretrain --config own_small --corpus store/mine": (README, r'block\("Your own text'),
    "ernie plan --config ernie2_en": (README, r'block\("The paper.s recipe'),
    "bash run_pretrain.sh --config configs/curriculum/ernie2_en.yaml": (README, r"--dry-run"),
    "bash run_finetune.sh chnsenticorp": (README, r'block\("Fine-tuning'),
    "ernie predict --model output/reviews": (README, r'block\("Fine-tuning'),
    "ernie report": ("tests/test_browser.py", r'"report", str\(path\), "--watch", "--serve"'),
}
# program -> why its other commands are not run, and who reads them instead
READ = {
    "ernie": "needs a corpus, labels or cards that no test machine has; read by the command's own parser",
    "bash": "as ernie; read by the launcher's help",
    "python": "measures for many minutes; the file and its flags exist",
    "python3": "makes an environment, as CI does", "pip": "CI installs in six environments",
    "make": "the target exists", "git": "a clone of a repository whose address the page cannot know",
    "sbatch": "needs SLURM; tests/test_operators.py runs the job file",
    "kubectl": "needs a cluster; tests/test_operators.py validates the file",
    "docker": "needs Docker; tests/test_operators.py lints the file", "source": "a line for the reader's shell",
    "cd": "a line for the reader's shell", "pre-commit": "needs its own downloads from a forge",
}


def joined(text):
    """Lines of a shell block, continued ones in one, without comments."""
    for text_line in re.sub(r"\\\n\s*", " ", text).splitlines():
        command = re.sub(r"\s+#.*$", "", text_line).strip()
        if command and not command.startswith("#"):
            yield command


def commands():
    """(file, command) of every fenced shell block, and of every indented line that begins with a program's name."""
    for file in FILES:
        text = (ROOT / file).read_text("utf-8")
        for block in re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, re.M | re.S):
            yield from ((file, command) for command in joined(block))
        outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for block in re.findall(r"(?:^    \S.*\n)+(?:^ {5,}\S.*\n)*", outside, re.M):
            yield from ((file, command) for command in joined(block) if re.match(
                rf"(?:[A-Z_]+=\S+ )*({'|'.join(READ)}) ", command))


def words(command):
    """The words of a command without what sets its environment, and without what only stands for more of them."""
    found = shlex.split(command)
    while re.match(r"[A-Z_]+=", found[0]):
        found = found[1:]
    return [word for word in found if word != "..."]


def described(file, command):
    return f"{Path(file).stem}: {command[:60]}"


ALL = list(dict.fromkeys(commands()))


def test_commands_are_found():
    assert len(ALL) > 60 and ("README.md", "make test") in ALL


@pytest.mark.parametrize("file, command", ALL, ids=[described(*entry) for entry in ALL])
def test_a_command_is_run_or_read_by_its_parser(file, command):
    for part in re.sub(r"<[^>]+>", "PLACE", command).split("&&"):
        check(words(part))


def check(found):
    program = found[0].rpartition("/")[2]
    assert program in READ, f"unknown program {program}: run it in a test, and name it here"
    if program == "ernie":
        check_ernie(found[1:])
    elif program == "bash":
        assert (ROOT / found[1]).is_file(), found[1]
        if found[1] in ("run_pretrain.sh", "run_finetune.sh"):
            check_ernie(["launch", found[1][4:-3], *found[2:]])
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert all(word in targets for word in found[1:] if not re.match(r"[A-Z_]+=", word))
    elif program == "python" and found[1] != "-m":
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


def check_ernie(found):
    """Flags and curricula exist. The value of a flag is not looked at where it is a file of the reader's."""
    if found[0] in ("--help", "--version", "--completion"):
        return
    if found[0] == "launch":
        known = launcher_flags(found[1])
        assert {word for word in found[2:] if word.startswith("--")} <= known, f"ernie launch {found[1]}: {known}"
    else:
        assert found[0] in cli.COMMANDS, found[0]
        cli.parser_of(found[0]).parse_args(found[1:])
    for flag, value in zip(found, found[1:]):
        if flag == "--config" and value.isidentifier() or value.startswith("configs/"):
            assert locate_curriculum(value) if flag == "--config" and value.isidentifier() else (ROOT / value).is_file()


@pytest.mark.parametrize("beginning", RUN)
def test_what_is_said_to_be_run_is_run_there_and_stands_in_a_page(beginning):
    file, pattern = RUN[beginning]
    assert re.search(pattern, (ROOT / file).read_text("utf-8"))
    shown = [" ".join(words(command)) for _, command in ALL]
    assert any(command.startswith(" ".join(shlex.split(beginning))) for command in shown)
