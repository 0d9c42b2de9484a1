"""Command-line arguments."""
from __future__ import annotations

import argparse
import typing
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that reports bad usage in one line and exits with 2."""

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
