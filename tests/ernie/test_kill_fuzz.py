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
STEPS = 30 * max(4, KILLS)  # of both stages


def progress(output) -> int:
    """Steps that are on record."""
    return sum(file.read_bytes().count(b"\n") for file in output.glob("stage-*/log.jsonl"))


def moments(random_source, output):
    """(name, reached()) of a moment at which to strike, counted from now."""
    begun, had = time.monotonic(), progress(output)
    delay, steps = random_source.uniform(0, 15), random_source.randint(1, 25)
    stages = len(list(output.glob("stage-*/done.json")))
    return random_source.choice([
        (f"{delay:.1f} s after the start", lambda: time.monotonic() - begun > delay),
        (f"{steps} steps on", lambda: progress(output) >= had + steps),
        ("while a checkpoint is written", lambda: next(output.glob("stage-*/*.partial"), None) is not None),
        ("between stages", lambda: len(list(output.glob("stage-*/done.json"))) > stages),
    ])


def strike(random_source, shell) -> str:
    """Kill someone who is there; returns who."""
    found = runs.family(shell.pid)
    victim = random_source.choice([*(name for name in found if name != "others"), "all"])
    if victim == "all":
        runs.kill(found)
    else:
        os.kill(found[victim], signal.SIGKILL)
    return victim


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_one_that_was_left_alone(tmp_path, capsys):
    half = STEPS // 4
    file = runs.declare(tmp_path, [{"knowledge_masking": half, "capitalization": half},
                                   {"knowledge_masking": half, "sentence_reordering": half}],
                        workers=2, checkpoint_every=4, log_every=1)
    runs.run(file, tmp_path / "alone", *DEVICES, timeout=600)
    output, source, kills, shell = tmp_path / "killed", random.Random(SEED), 0, None
    deadline = time.monotonic() + 120 * (KILLS + 1)
    try:
        while time.monotonic() < deadline:
            if shell is None or shell.poll() is not None:
                if shell is not None and shell.returncode == 0:
                    break
                shell = runs.start(file, output, *DEVICES)
            if kills == KILLS:
                time.sleep(0.1)
                continue
            name, reached = moments(source, output)
            patience = time.monotonic() + 40  # a moment that does not come, such as between stages in the last one
            while shell.poll() is None and not reached() and time.monotonic() < patience:
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
    for stage in (1, 2):
        assert runs.identical(runs.final(tmp_path / "alone", stage), runs.final(output, stage))
        assert runs.losses(tmp_path / "alone", stage) == runs.losses(output, stage)
