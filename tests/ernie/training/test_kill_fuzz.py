"""Processes are killed at random moments; the run must end with the very weights of one that was left alone.

Seeded by ERNIE_KILL_SEED; ERNIE_KILLS sets how many kills, ERNIE_KILL_RANKS how many ranks.
"""
import os
import random
import signal
import time

import pytest

from tests.ernie import runs

KILLS = int(os.environ.get("ERNIE_KILLS", "3"))
RANKS = int(os.environ.get("ERNIE_KILL_RANKS", "2"))
SEED = int(os.environ.get("ERNIE_KILL_SEED", "1"))
DEVICES = ["--devices", ",".join(map(str, range(RANKS))), "--max-restarts", "99"]
STAGES = [("knowledge_masking", "capitalization"), ("knowledge_masking", "sentence_reordering"),
          ("capitalization", "token_document")]
SHARE = 5 * max(4, KILLS)       # steps of each task in each stage
STEPS = 2 * len(STAGES) * SHARE


def progress(output) -> int:
    """Steps that are on record."""
    return sum(file.read_bytes().count(b"\n") for file in output.glob("stage-*/log.jsonl"))


def moments(random_source, output, kills: int):
    """(name, reached()) of a moment at which to strike, counted from now; in time for all the kills that are left."""
    begun, had = time.monotonic(), progress(output)
    delay = random_source.uniform(0, 15)
    most = max(1, (STEPS - had) // (KILLS - kills + 1))
    steps = random_source.randint(1, most)
    stages = len(list(output.glob("stage-*/done.json")))
    name, reached = random_source.choice([
        (f"{delay:.1f} s after the start", lambda: time.monotonic() - begun > delay),
        (f"{steps} steps on", lambda: progress(output) >= had + steps),
        ("while a checkpoint is written", lambda: next(output.glob("stage-*/*.partial"), None) is not None),
        ("between stages", lambda: len(list(output.glob("stage-*/done.json"))) > stages),
    ])
    return name, lambda: reached() or progress(output) >= had + most


def strike(random_source, shell) -> str:
    """Kill someone who is there; returns who."""
    found = runs.family(shell.pid)
    victim = random_source.choice([*(name for name in found if name != "others"), "all"])
    if victim == "all":
        runs.kill(found)
    else:
        os.kill(found[victim], signal.SIGKILL)
    return victim


@pytest.mark.timeout(0)  # has a deadline of its own, which grows with the kills
@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_one_that_was_left_alone(tmp_path, capsys):
    file = runs.declare(tmp_path, [dict.fromkeys(stage, SHARE) for stage in STAGES], workers=2, checkpoint_every=4)
    runs.run(file, tmp_path / "alone", *DEVICES, timeout=600 + 60 * KILLS)
    output, source, kills, shell = tmp_path / "killed", random.Random(SEED), 0, None
    deadline = time.monotonic() + 240 * (KILLS + 1)
    try:
        while time.monotonic() < deadline:
            if shell is None or shell.poll() is not None:
                if shell is not None and shell.returncode == 0:
                    break
                shell = runs.start(file, output, *DEVICES)
            if kills == KILLS:
                time.sleep(0.1)
                continue
            name, reached = moments(source, output, kills)
            while shell.poll() is None and not reached() and time.monotonic() < deadline:
                time.sleep(0.002)
            if shell.poll() is None:
                step, victim = progress(output), strike(source, shell)
                kills += 1
                with capsys.disabled():
                    print(f"\nkill {kills} of {KILLS}: {victim}, {name}, step {step} of {STEPS}", end="", flush=True)
                if victim in ("shell", "all"):
                    shell.wait()
    finally:
        runs.end(shell)
    assert shell.returncode == 0, runs.said(output)
    assert kills == KILLS, "the run was over before all kills were done"
    for stage in range(1, len(STAGES) + 1):
        assert runs.identical(runs.final(tmp_path / "alone", stage), runs.final(output, stage))
        assert runs.losses(tmp_path / "alone", stage) == runs.losses(output, stage)
