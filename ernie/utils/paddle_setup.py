"""The one place where Paddle is imported first: in the right order, on a tuned CPU, and without its chatter."""
from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import os
import sys
import warnings
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from types import ModuleType

from reader.utils.errors import InputError

MISSING = ("PaddlePaddle is not installed: pip install 'ernie-pretrain[cpu]' (or [gpu]; wheels of other CUDA versions "
           "are listed at https://www.paddlepaddle.org.cn)")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # options of mallopt, see malloc.h
_chosen: list[str] = []  # variables that tune_this_process set, until import_paddle has told of them


class MissingPaddle(InputError):
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


def usable_cores() -> int:
    """Return how many cores this process may use: by its affinity, and by the quota of its control group.

    A share of a big host, such as a scheduler gives, shows in these and not in the number of processors.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("/sys/fs/cgroup/cpu.max",),
                  ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join(Path(file).read_text("utf-8") for file in files).split()
            if quota not in ("max", "-1"):
                cores = min(cores, max(1, round(int(quota) / int(period))))
        except (OSError, ValueError, ZeroDivisionError):  # no such control group
            continue
    return max(1, cores)


def tune_cpu(environment: MutableMapping[str, str] = os.environ, processor: str | Path = "/proc/cpuinfo") -> list[str]:
    """Set what a process started by hand lacks; the launchers set the same for their ranks. Returns what was set.

    Paddle falls to one thread unless told otherwise, and the MKL in its wheels takes a slow path on AMD processors
    unless an undocumented switch names the right one. What the user has set stays.
    """
    before = dict(environment)
    environment.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    try:
        with open(processor, encoding="utf-8") as file:
            words = set(file.read().split())
    except OSError:  # not Linux
        words = set()
    if "AuthenticAMD" in words and words & {"avx512f", "avx2"}:
        environment.setdefault("MKL_DEBUG_CPU_TYPE", "7" if "avx512f" in words else "5")
    return [f"{name}={value}" for name, value in environment.items() if before.get(name) != value]


def tune_this_process() -> None:
    """Call ``tune_cpu`` for this process while it can still matter: before paddle is imported."""
    if "paddle" not in sys.modules:
        _chosen.extend(tune_cpu())


def share_cpu(processes: int) -> list[str]:
    """Set what ``processes`` processes to be started from this one lack, each with its share of the cores.

    Returns what was set, by this call or for this process before; what the user has set stays.
    """
    tune_this_process()
    if any(setting.startswith("OMP_NUM_THREADS=") for setting in _chosen):
        _chosen[:] = [setting for setting in _chosen if not setting.startswith("OMP_NUM_THREADS=")]
        os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // processes))
        _chosen.append(f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")
    return list(_chosen)


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell glibc's malloc to keep what is freed: Paddle's large arrays are not faulted in page by page each time.

    Changes no result. What the user has set for malloc stays.

    Returns: whether malloc was told; False without glibc, or where the user chose.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:  # another C library
        return False
    # no array in a mapping of its own; the heap is not given back; and it grows by 64 MB at a time
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2 ** 31 - 1), mallopt(M_TOP_PAD, 2 ** 26)])


def require_paddle() -> None:
    """Raise MissingPaddle where Paddle cannot be imported; imports nothing."""
    if "paddle" not in sys.modules and importlib.util.find_spec("paddle") is None:
        raise MissingPaddle(MISSING)


def import_paddle(tell: bool = True) -> ModuleType:
    """Import paddle, dropping the advice it prints about threads (set on purpose) and compilers (not used).

    Args:
        tell: say on the standard error stream which variables were set for speed.
    Raises:
        MissingPaddle: Paddle is not installed, or lacks something that it needs.
    """
    require_paddle()
    tune_this_process()
    keep_freed_memory()
    if tell and _chosen and not os.environ.get("ERNIE_CPU_TOLD"):
        print(f"ernie: {', '.join(_chosen)} (set them yourself to choose otherwise)", file=sys.stderr)
    _chosen.clear()
    with warnings.catch_warnings(), quiet():
        warnings.filterwarnings("ignore", message="No ccache found")
        try:
            import paddle
        except (ImportError, OSError) as error:  # the GPU wheel of 2.6.2 lacks setuptools on Python 3.12, for example
            raise MissingPaddle(f"Paddle is installed but cannot be imported: {error} (docs/gpu.md says what it needs)"
                                ) from error
    return paddle
