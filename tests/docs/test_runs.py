"""Every command of a page is run as it stands there, one after the other, in a folder without the checkout.

``tests/docs/pages.py`` and ``text_pages.py`` say what the commands find and which are left out. Of the running text
those are run that a reader could type: whole ones. README.md, add_a_task.md and cluster.md have tests of their own
(tests/test_readme.py, test_add_a_task.py, test_dry_run.py).
"""
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ernie import cli
from ernie.utils.launchers import environment
from tests.docs import pages, text_pages
from tests.docs.commands import MENTIONED, SHOWN, Command, words
from tests.docs.pages import EVERYWHERE, NOT_HERE

pytest.importorskip("paddle")
PAGES = {**pages.PAGES, **text_pages.PAGES}
SHELL = "".join(f'{name}() {{ "{sys.executable}" {more} "$@"; }}\n' for name, more in (("ernie", "-m ernie"),
                                                                                      ("python", "")))


def whole(command: Command) -> bool:
    """Whether nothing that the command requires is left out; only "ernie" is asked."""
    found = words(command.text)
    if found[0] != "ernie" or found[1] not in cli.COMMANDS:
        return True
    try:
        cli.parser_of(found[1]).parse_args(found[2:])
    except SystemExit:
        return False
    return True


def reason(command: Command) -> str:
    """Why a command is not run; "" where it is."""
    for start, why in {**NOT_HERE, **PAGES[command.page].left_out}.items():
        needed = why.removeprefix("needs ") if why.startswith("needs ") and why.count(" ") == 1 else None
        if re.match(start, command.text) and not (needed and importlib.util.find_spec(needed)):
            return why
    return ""


def typed(text: str, page: str) -> str:
    """A command with what the reader would put in place of names, and with what makes it small."""
    for old, new in {**PAGES[page].replace, **EVERYWHERE}.items():
        text = text.replace(old, new)
    return text + "".join(f" {more}" for start, more in PAGES[page].more.items() if re.match(start, text))


class Reader:
    """Types the commands of a page in their order, each once."""

    def __init__(self, page: str, folder: Path):
        self.folder, self.found = folder, {}
        self.waiting = [command for command in COMMANDS if command.page == page and not reason(command)]
        PAGES[page].lay(folder)
        for text in PAGES[page].before:
            code, said = self.run(typed(text, page))
            assert code == 0, f"{text}\n{said}"

    def run(self, text: str) -> tuple[int, str]:
        """(exit code, what was said) of one command."""
        done = subprocess.run(["bash", "-c", SHELL + text], cwd=self.folder, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={**environment(), "OMP_NUM_THREADS": "1"}, timeout=400)
        return done.returncode, done.stdout

    def up_to(self, command: Command) -> tuple[int, str]:
        """The same of a command of the page, after those before it, which may have made what it reads."""
        while command not in self.found:
            following = self.waiting.pop(0)
            self.found[following] = self.run(typed(following.text, following.page))
        return self.found[command]


COMMANDS = [command for command in [*SHOWN, *filter(whole, MENTIONED)] if command.page in PAGES]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """reader(page) is the one that types the page's commands."""
    readers: dict[str, Reader] = {}

    def find(page: str) -> Reader:
        if page not in readers:
            readers[page] = Reader(page, tmp_path_factory.mktemp(Path(page).stem))
        return readers[page]
    return find


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_runs(reader, command):
    if reason(command):
        pytest.skip(reason(command))
    code, said = reader(command.page).up_to(command)
    assert code == 0 and "Traceback" not in said, said


@pytest.mark.parametrize("page", PAGES)
def test_what_is_said_about_a_page_is_needed(page):
    texts = [command.text for command in COMMANDS if command.page == page]
    given = [typed(text, page) for text in texts]
    assert all(any(old in text for text in texts) for old in PAGES[page].replace)
    assert all(any(re.match(start, text) for text in given) for start in PAGES[page].more)
    assert all(any(re.match(start, text) for text in texts) for start in PAGES[page].left_out)
