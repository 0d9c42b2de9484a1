"""Command-line arguments."""
from __future__ import annotations

import argparse


class Parser(argparse.ArgumentParser):
    """Bad usage is one line, like any other mistake; the usage is what --help is for."""

    def error(self, message: str) -> None:
        self.exit(2, f"ernie: {message} (see {self.prog} --help)\n")
