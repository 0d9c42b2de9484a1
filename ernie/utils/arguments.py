"""Command-line arguments."""
from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that reports bad usage in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with 2."""
        self.exit(2, f"ernie: {message} (see {self.prog} --help)\n")
