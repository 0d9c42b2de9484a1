"""Start the shell launchers from Python, on the interpreter and the package that are running."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable

from ernie.utils.resources import PACKAGE, ROOT
from reader.utils.errors import InputError

KEPT = 30  # last lines of output that a failure shows


def command(launcher: str, arguments: Iterable[str]) -> list[str]:
    """Return the command line of run_<launcher>.sh."""
    return ["bash", str(ROOT / f"run_{launcher}.sh"), *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment with what makes a launcher use this interpreter and this package."""
    found = {**os.environ, "PYTHON": sys.executable, "ERNIE_MAIN": str(PACKAGE / "__main__.py")}
    found.pop("VIRTUAL_ENV", None)  # scripts/environment.sh looks there first
    before = found.get("PYTHONPATH")
    found["PYTHONPATH"] = str(PACKAGE.parent) + (os.pathsep + before if before else "")
    return found


def run(launcher: str, arguments: Iterable[str], quiet: bool = False) -> None:
    """Run a launcher to its end; its lines are printed as they come, also in a notebook.

    An interrupt asks it once to save and stop; then KeyboardInterrupt is raised.

    Raises:
        InputError: it refused its input; the message is its own.
        RuntimeError: it failed; the message holds its last lines.
    """
    process = subprocess.Popen(command(launcher, arguments), env=environment(), text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True, encoding="utf-8", errors="replace")
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=KEPT)
    interrupted = False
    while True:
        try:
            line = process.stdout.readline()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            interrupted = True
            continue
        if not line:
            break
        last.append(line)
        if not quiet:
            print(line, end="", flush=True)
    code = process.wait()
    if interrupted:
        raise KeyboardInterrupt
    if code == 2:
        told = [line for line in last if line.startswith("ernie: ")] or list(last)
        raise InputError(told[-1].removeprefix("ernie: ").strip() if told else f"{launcher} refused its arguments")
    if code:
        raise RuntimeError(f"{launcher} failed with exit code {code}:\n{''.join(last)}")
