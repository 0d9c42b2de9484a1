"""The one place where a command imports Paddle first: in the right order, and without its chatter."""
from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)


@contextlib.contextmanager
def quiet():
    """Drops what is written to the standard error stream, unless it ends in an error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


def tune_cpu(environment=os.environ, processor="/proc/cpuinfo") -> list[str]:
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


def import_paddle():
    """Import paddle, dropping the advice it prints about threads (set on purpose) and compilers (not used)."""
    if "paddle" not in sys.modules and (chosen := tune_cpu()):
        print(f"ernie: {', '.join(chosen)} (set them yourself to choose otherwise)", file=sys.stderr)
    warnings.filterwarnings("ignore", message="No ccache found")
    with quiet():
        import paddle
    return paddle
