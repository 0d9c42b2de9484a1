"""The shell commands of README and docs: fenced, indented, and those in the running text."""
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from tests.ernie.runs import ROOT

PAGES = ("README.md", "README.zh.md", "CONTRIBUTING.md",
         *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))))
PROGRAMS = ("ernie", "bash", "python", "python3", "pip", "pytest", "make", "git", "sbatch", "kubectl", "docker",
            "source", "pre-commit")
LANGUAGES = ("bash", "sh", "shell", "console", "")  # of fences that hold commands
STARTS = rf"(?:[A-Z_0-9]+=\S+ )*(?:\S*/bin/)?(?:{'|'.join(PROGRAMS)}) \S"


class Command(NamedTuple):
    """A command as the reader would type it, and where it stands."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.rpartition('/')[2].removesuffix('.md')}: {self.text[:70]}"


def joined(text: str) -> Iterator[str]:
    """Lines of a shell block, continued ones in one, without comments and prompts."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        command = re.sub(r"\s+#.*$", "", line).strip().removeprefix("$ ")
        if command and not command.startswith("#"):
            yield command


def of_page(page: str) -> Iterator[Command]:
    """The commands of fences and of indented lines, as they follow one another."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.compile(r"^```(?P<language>[a-z]*)[^\n]*\n(?P<fenced>.*?)^```"
                        r"|(?P<indented>(?:^    \S.*\n)+(?:^ {5,}\S.*\n)*)", re.M | re.S)
    for block in blocks.finditer(text):
        if block["fenced"] is not None and block["language"] not in LANGUAGES:
            continue
        sure = block["fenced"] is not None and block["language"] != ""
        for command in joined(block["fenced"] or block["indented"] or ""):
            if sure or re.match(STARTS, command):
                yield Command(page, command)


def inline(page: str) -> Iterator[Command]:
    """Commands in the running text and in tables: spans of code that begin with a program and have an argument."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.S)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        span = " ".join(span.split())
        if re.match(STARTS, span) and not re.search(r"[<{]", span):
            yield Command(page, span)


def words(command: str) -> list[str]:
    """The words of a command without what sets its environment, and without what only stands for more of them."""
    found = shlex.split(command)
    while re.match(r"[A-Z_0-9]+=", found[0]):
        found = found[1:]
    return [word for word in found if word != "..."]


SHOWN = list(dict.fromkeys(command for page in PAGES for command in of_page(page)))
MENTIONED = [command for command in dict.fromkeys(command for page in PAGES for command in inline(page))
             if command not in SHOWN]
