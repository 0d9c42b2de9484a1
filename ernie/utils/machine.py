"""Record versions, commit and machine of a launch beside the run, a line for each launch."""
from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ernie.utils.config_io import build
from ernie.utils.resources import ROOT
from reader.utils.errors import InputError

FILE = "launches.jsonl"


@dataclass
class Launch:
    """One launch of a run: ``time`` in seconds since the epoch, ``of`` what was trained ("stage 2", "seed 1")."""

    time: float
    of: str
    ernie: str
    commit: str
    python: str
    paddle: str
    numpy: str
    platform: str
    processor: str
    device: str
    processes: int
    threads: int
    memory_gib: float

    @property
    def facts(self) -> dict[str, str]:
        """Return what is the same in launches on one machine with one version, as text."""
        return {"ernie": self.ernie + (f", commit {self.commit}" if self.commit else ""),
                "Paddle": self.paddle, "Python": self.python, "numpy": self.numpy, "system": self.platform,
                "machine": f"{self.processor}, {self.memory_gib:.0f} GiB", "device": self.device,
                "processes": str(self.processes), "threads of each": str(self.threads)}


def record_launch(directory: Path, of: str, processes: int) -> None:
    """Append a line about this process to ``launches.jsonl`` of a run directory."""
    with open(directory / FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(this_launch(of, processes))) + "\n")


def this_launch(of: str, processes: int) -> Launch:
    """Look at this process and its machine."""
    import numpy
    import paddle

    version = sys.modules["ernie"].__version__  # this room imports none of the package's other rooms
    return Launch(time.time(), of, version, commit(), platform.python_version(), paddle.__version__,
                  numpy.__version__, platform.platform(), _processor(), paddle.device.get_device(), processes,
                  int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
                  os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def read_launches(directory: Path) -> list[Launch]:
    """Read what ``record_launch`` wrote; lines that are damaged are left out."""
    file, found = directory / FILE, []
    if file.exists():
        for text in file.read_text("utf-8", errors="replace").splitlines():
            try:
                found.append(build(Launch, json.loads(text), str(file), strict=False))
            except (ValueError, RecursionError, InputError):
                continue
    return found


def commit() -> str:
    """Return the commit of the checkout, with "+" where files differ from it; "" for an installed package."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        said = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--exclude=*",
                               "--dirty=+"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # no git, or a very slow file system: the page does without
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.machine())
