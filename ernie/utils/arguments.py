"""Command-line arguments."""
from __future__ import annotations

import argparse
import re
import textwrap
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

WIDEST = 100  # columns of prose that an eye follows
WORD = r"""(?:"[^"]*"|'[^']*'|\S)+"""
COMMAND_WORD = rf"-\S+ (?!-){WORD}|{WORD}"  # a flag with its first value, or any word


class HelpFormatter(argparse.HelpFormatter):
    """Help no wider than the terminal: prose is filled, and commands are folded so that they can still be pasted.

    Blank lines part blocks. A block that opens with ``example:`` or a space holds one command a line.
    """

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 24, width: int | None = None):
        super().__init__(prog, indent_increment, max_help_position, width)
        if width is None:
            self._width = min(self._width, WIDEST)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = re.split(r"\n[ ]*\n", text.strip("\n"))
        return "\n\n".join(self._commands(block, width) if block.startswith((" ", "example:"))
                           else "\n".join(self._split_lines(block, width)) for block in blocks)

    def _commands(self, block: str, width: int) -> str:
        block = re.sub(r"\\\n *", "", block)  # folded by hand
        return "\n".join(self._folded(line, width) for line in block.splitlines())

    def _folded(self, line: str, width: int) -> str:
        if len(line) <= width:
            return line
        before = re.match(r"(example:)? *", line)
        assert before is not None
        indent = " " * (before.end() + 4)
        rows, row = [], before.group()
        for word in re.findall(COMMAND_WORD, line[before.end():]):
            if len(row) + len(word) + 2 > width and row.strip():
                rows.append(row)
                row = indent
            row += word + " "
        return "\\\n".join([*rows, row.rstrip()])

    def _split_lines(self, text: str, width: int) -> list[str]:
        # the names of flags and files are never broken
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports bad usage in one line and exits with 2; its help fits the terminal."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"formatter_class": HelpFormatter, **kwargs})

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with 2."""
        self.exit(2, f"ernie: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse as usual; a word after an option that takes one is its value though it begins with a hyphen.

        Unless it is an option itself, or stands after ``--``.
        """
        return super().parse_known_args(args if args is None else self._joined(args), namespace)

    def _joined(self, words: Sequence[str]) -> list[str]:
        joined: list[str] = []
        for number, word in enumerate(words):
            before = self._option_string_actions.get(joined[-1]) if joined else None
            if word == "--":
                return [*joined, *words[number:]]
            if (before is not None and before.nargs is None and joined[-1].startswith("--") and word.startswith("-")
                    and word.partition("=")[0] not in self._option_string_actions and len(word) > 1):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return joined


class Within:
    """An argparse ``type`` that reads a number and holds it to its limits.

    Args:
        limited: one of the types of ``ernie.utils.limits``, such as ``Count``.
    """

    def __init__(self, limited: Any):
        self.limited = limited

    def __call__(self, text: str) -> Any:
        kind, limit = typing.get_args(self.limited)
        try:
            value = kind(text)
            fault = limit.fault(value)
        except (ValueError, OverflowError):
            fault = "is not a number" if kind is float else "is not a whole number"
        if fault:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} {fault}")
        return value


def within(limited: Any) -> Within:
    """Return an argparse ``type`` that reads a number and holds it to its limits; see ``Within``."""
    return Within(limited)
