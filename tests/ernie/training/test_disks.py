"""Disks that are full or cannot be written, as file systems of their own: a line, and what was whole stays whole."""
import os
import shutil
import subprocess
import sys

import pytest

from ernie.checkpoints import checkpoint
from tests.ernie import runs
from tests.ernie.training.test_life_cycle import side  # noqa: F401  (a fixture)

# Runs "$@" with a file system of its own at $PLACE, and copies to $FOUND what it left there.
MOUNTED = 'mount -t tmpfs -o "$OPTIONS" none "$PLACE" || exit 99; "$@"; code=$?; cp -r "$PLACE" "$FOUND"; exit $code'
SMALLEST = {"pretrain": 900, "finetune": 200}  # KiB; no room for one more than are kept


def on_a_disk(options: str, place, *command, **environment) -> subprocess.CompletedProcess:
    """Run a command while a tmpfs is mounted at ``place``, seen by it alone."""
    unshare = shutil.which("unshare")
    if not unshare:
        pytest.skip("no unshare on this system")
    place.mkdir()
    done = subprocess.run(
        [unshare, "-m", *(["-r"] if os.getuid() else []), "sh", "-c", MOUNTED, "sh", *command], cwd=runs.ROOT,
        capture_output=True, text=True, timeout=500, env={**runs.ENVIRONMENT, "OPTIONS": options, "PLACE": str(place),
                                                          "FOUND": f"{place}.found", **environment})
    if "unshare failed" in done.stderr or done.returncode == 99:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    return done


def test_a_full_disk_is_called_one_and_keeps_the_last_good_checkpoint(side):  # noqa: F811
    done = on_a_disk(f"size={SMALLEST[side.kind]}k", side.output, sys.executable, "-m", "ernie", *side.direct,
                     "--set", "checkpoint_every=4", ERNIE_SCALARS="none")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "could not be written ([Errno 28] No space left on device" in done.stdout
    assert "the one before it is intact" in done.stdout  # and training went on
    last = done.stderr.splitlines()[-1]
    assert last.endswith("step-00000024: the checkpoint could not be written (No space left on device)"), last
    found = side.output.with_name("run.found") / side.resumable.name
    assert checkpoint.newest(found, pytest.fail), sorted(found.iterdir())
    assert not list(found.glob("*.partial"))


@pytest.mark.parametrize("how", ["direct", "shell"])
@pytest.mark.parametrize("below", ["", "new"])
def test_a_disk_that_cannot_be_written_is_one_line(side, how, below):  # noqa: F811
    command = [sys.executable, "-m", "ernie", *side.direct] if how == "direct" else side.shell
    command = [f"{word}/{below}" if word == str(side.output) else word for word in command]
    done = on_a_disk("ro", side.output, *command)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("ernie: ") and done.stderr.count("\n") == 1, done.stderr
    assert str(side.output) in done.stderr and "read-only file system" in done.stderr.lower()


def test_logs_of_another_user_are_one_line(side):  # noqa: F811
    """Without the rights of root, where these tests are root's."""
    command = side.shell
    if os.getuid() == 0:
        setpriv = shutil.which("setpriv")
        if not setpriv:
            pytest.skip("no setpriv on this system, and root may write anywhere")
        command = [setpriv, "--inh-caps=-all", "--bounding-set=-all", *command]
    logs = (side.output if side.kind == "finetune" else side.resumable) / "logs-node0"
    logs.mkdir(parents=True)
    logs.chmod(0o555)
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, timeout=400, env=runs.ENVIRONMENT)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == f"ernie: {logs}/.lock: Permission denied"
    assert "Traceback" not in done.stderr and "again" not in done.stderr


def test_an_output_that_begins_with_a_hyphen(side):  # noqa: F811
    command = [str(runs.ROOT / word) if word.startswith("run_") else word for word in side.shell]
    place = command.index("--output") + 1
    command[place] = "-x"
    done = subprocess.run(command, cwd=side.folder, capture_output=True, text=True, timeout=500, env=runs.ENVIRONMENT)
    assert done.returncode == 0 and "rm: " not in done.stderr, done.stderr
    assert (side.folder / "-x" / side.resumable.name / "log.jsonl").exists()
    assert not list((side.folder / "-x").rglob("stop-*"))
