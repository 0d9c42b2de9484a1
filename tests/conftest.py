"""Shared fixtures. Absent data and peers are skipped visibly, unless ERNIE_REQUIRE says that they must be here."""
import functools
import os
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)
from pathlib import Path

import pytest

from ernie.utils.paddle_setup import tune_this_process
from tests import official

# Before a test module imports paddle: what runs in this process computes with the kernels, and so the bits, of those
# that are started by it.
tune_this_process()
DATA = Path(os.environ.get("ERNIE_TEST_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"))
REQUIRED = set(filter(None, os.environ.get("ERNIE_REQUIRE", "").split(",")))  # e.g. "data,transformers"


def absent(what: str, reason: str):
    """Skip with a reason, or fail where ERNIE_REQUIRE names ``what``."""
    if what in REQUIRED:
        pytest.fail(f"{reason} (ERNIE_REQUIRE={what})")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """data("glue/CoLA/train.tsv") is the path of a published file: a real one where ERNIE_TEST_DATA has it, otherwise
    one in the same form with rows written for the tests (see ``tests.official``), or a visible skip."""
    @functools.cache
    def written() -> Path:
        return official.write(tmp_path_factory.mktemp("official"))

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists() and "data" not in REQUIRED:
            path = written() / name
        if not path.exists():
            absent("data", f"real data not at hand: {name} (set ERNIE_TEST_DATA)")
        return path
    return find


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """text("en.txt") is a file of real text that a dependency ships; see ``tests.dependency_texts.FILES``."""
    from tests.dependency_texts import make
    folder = tmp_path_factory.mktemp("texts")
    return lambda name: make(name, folder)


@pytest.fixture(scope="session")
def peer():
    """peer("transformers") imports an oracle, or is a visible skip."""
    def find(module: str):
        try:
            return __import__(module)
        except ImportError as error:
            return absent(module, f"peer not installed: {error}")
    return find


@pytest.fixture
def four_cards(tmp_path, monkeypatch):
    """A node with four cards, for which a script answers in place of the driver's ``nvidia-smi``."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
