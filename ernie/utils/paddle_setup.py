"""The one place where Paddle is imported first: in the right order, on a tuned CPU, and without its chatter."""
from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import warnings
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import ModuleType

from reader.utils.errors import InputError

MISSING = ("PaddlePaddle is not installed: pip install 'ernie-pretrain[cpu]' (or [gpu]; wheels of other CUDA versions "
           "are listed at https://www.paddlepaddle.org.cn)")
_chosen: list[str] = []  # variables that tune_this_process set, until import_paddle has told of them


class MissingPaddle(InputError, ImportError):
    """Paddle is not installed; the message says what to install."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is written to the standard error stream, unless the block ends in an error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


def tune_cpu(environment: MutableMapping[str, str] = os.environ, processor: str | Path = "/proc/cpuinfo") -> list[str]:
    """Set what a process started by hand lacks; the launchers set the same for their ranks. Returns what was set.

    Paddle falls to one thread unless told otherwise, and the MKL in its wheels takes a slow path on AMD processors
    unless an undocumented switch names the right one. What the user has set stays.
    """
    before = dict(environment)
    environment.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    try:
        with open(processor, encoding="utf-8") as file:
            words = set(file.read().split())
    except OSError:  # not Linux
        words = set()
    if "AuthenticAMD" in words and words & {"avx512f", "avx2"}:
        environment.setdefault("MKL_DEBUG_CPU_TYPE", "7" if "avx512f" in words else "5")
    return [f"{name}={value}" for name, value in environment.items() if before.get(name) != value]


def tune_this_process() -> None:
    """``tune_cpu`` for this process, once, and only while it can still matter: before paddle is imported."""
    if "paddle" not in sys.modules:
        _chosen.extend(tune_cpu())


def require_paddle() -> None:
    """Raise MissingPaddle where Paddle cannot be imported; imports nothing."""
    if "paddle" not in sys.modules and importlib.util.find_spec("paddle") is None:
        raise MissingPaddle(MISSING)


def import_paddle(tell: bool = True) -> ModuleType:
    """Import paddle, dropping the advice it prints about threads (set on purpose) and compilers (not used).

    Args:
        tell: say on the standard error stream which variables were set for speed.
    Raises:
        MissingPaddle: Paddle is not installed.
    """
    require_paddle()
    tune_this_process()
    if tell and _chosen:
        print(f"ernie: {', '.join(_chosen)} (set them yourself to choose otherwise)", file=sys.stderr)
    _chosen.clear()
    with warnings.catch_warnings(), quiet():
        warnings.filterwarnings("ignore", message="No ccache found")
        import paddle
    return paddle
