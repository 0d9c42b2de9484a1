"""Progress: a bar on a terminal, plain lines everywhere else, never wider than the terminal."""
import os
import pty
import re
import subprocess
import threading

import pytest

from ernie.utils.progress import folded
from tests.ernie import runs


def test_lines_are_folded_between_their_parts():
    parts = ["stage 1  step 1/9", "masking 7.0 (5%)", "lr 1e-3", "9 tokens/s"]
    assert folded(parts, 200) == "  ".join(parts)
    assert folded(parts, 36) == "stage 1  step 1/9  masking 7.0 (5%)\n    lr 1e-3  9 tokens/s"
    assert folded(["x" * 50, "y"], 20) == "x" * 50 + "\n    y"


def on_a_terminal(command: list, columns: int, stdout=None, **environment) -> str:
    """Run a command whose standard error is a terminal; what the terminal was sent."""
    ours, theirs = pty.openpty()
    received = []

    def read() -> None:
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the other end is closed
                return
            if not chunk:
                return
            received.append(chunk)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout or theirs, stderr=theirs, cwd=runs.ROOT,
                               env={**runs.ENVIRONMENT, "TERM": "xterm", "COLUMNS": str(columns), **environment})
    os.close(theirs)
    assert process.wait(300) == 0, b"".join(received).decode()
    thread.join(60)
    os.close(ours)
    return b"".join(received).decode("utf-8", "replace")


@pytest.mark.parametrize("no_color", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_a_bar_where_there_is_a_terminal(tmp_path, no_color):
    pytest.importorskip("paddle")
    file = runs.declare(tmp_path, [{"knowledge_masking": 12}], log_every=4)
    output = on_a_terminal(["bash", str(runs.ROOT / "run_pretrain.sh"), "--config", str(file), "--output",
                            str(tmp_path / "run")], 100, NO_COLOR=no_color)
    assert "━" in output and re.search(r"\d+/12", output)
    coloured = re.search("\x1b\\[[0-9;]*3[0-7]m", output)
    assert bool(coloured) == (not no_color)
    plain = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", output)
    assert "step 12/12" in plain
    shown = [line for line in re.split("[\r\n]+", plain) if re.search(r"step \d+/", line) or "tokens/s" in line]
    assert max(map(len, shown)) <= 100
    assert not (tmp_path / "run" / "stage-1" / "logs-node0" / "progress.json").exists()


def test_plain_lines_in_a_pipe(tmp_path):
    pytest.importorskip("paddle")
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}], log_every=2)
    said = runs.run(file, tmp_path / "run")
    assert "step 4/4" in said and "━" not in said and "\x1b" not in said
    assert max(map(len, (line for line in said.splitlines() if "tokens/s" in line or "step 4/" in line))) <= 120


@pytest.mark.slow
def test_standard_output_stays_what_it_is_when_only_errors_go_to_the_terminal(tmp_path):
    pytest.importorskip("paddle")
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}], log_every=2)
    with open(tmp_path / "out", "w") as out:
        terminal = on_a_terminal(["bash", str(runs.ROOT / "run_pretrain.sh"), "--config", str(file), "--output",
                                  str(tmp_path / "run")], 90, stdout=out)
    assert "step 4/4" in (tmp_path / "out").read_text() and "━" in terminal
    assert "━" not in (tmp_path / "out").read_text()
