"""Processes are killed or asked to stop at random moments; the run must end as one that was left alone, to the bit.

Seeded by ERNIE_KILL_SEED; ERNIE_KILLS sets how many kills, ERNIE_KILL_RANKS how many ranks.
"""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from tests.ernie import runs
from tests.ernie.finetuning.tiny import QUICK, make_data

KILLS = int(os.environ.get("ERNIE_KILLS", "3"))
RANKS = int(os.environ.get("ERNIE_KILL_RANKS", "2"))
SEED = int(os.environ.get("ERNIE_KILL_SEED", "1"))
STAGES = [("knowledge_masking", "capitalization"), ("knowledge_masking", "sentence_reordering"),
          ("capitalization", "token_document")]
SHORT = 2        # kills of the form that is in every run
OTHERWISE = ("logs", "alive", ".lock", "launches.jsonl")  # of these no two runs have the same


class Run:
    """A run of several trainings to strike at.

    Attributes:
        steps: of all its trainings. parts: pattern of the directories of its trainings. ended: record in such a
            directory that its training is over. measured: numbers of steps, over all trainings, after which it measures
            or predicts.
    """

    parts, ended = "stage-*", "done.json"
    measured: frozenset = frozenset()

    def __init__(self, folder, kills: int, ranks: int):
        self.share = 5 * max(4, kills)  # steps of each task in each stage
        self.steps = 2 * len(STAGES) * self.share
        self.file = runs.declare(folder, [dict.fromkeys(stage, self.share) for stage in STAGES], workers=2,
                                 checkpoint_every=4)
        self.devices = ["--devices", ",".join(map(str, range(ranks))), "--max-restarts", "99"]

    def start(self, output) -> subprocess.Popen:
        return runs.start(self.file, output, *self.devices)

    def same(self, alone, killed) -> None:
        """Compare weights and losses of the two."""
        for stage in range(1, len(STAGES) + 1):
            assert runs.identical(runs.final(alone, stage), runs.final(killed, stage))
            assert runs.losses(alone, stage) == runs.losses(killed, stage)

    def progress(self, output) -> int:
        """Steps that are on record."""
        return sum(file.read_bytes().count(b"\n") for file in output.glob(f"{self.parts}/log.jsonl"))


class FinetuningRun(Run):
    """Fine-tuning with several seeds, or cross-validation; 8 steps of 2 rows are an epoch."""

    parts, ended = "*-[0-9]*", "result.json"

    def __init__(self, folder, kills: int, ranks: int, model_files, folds: bool):
        data = make_data("rte", folder / "data")
        rows = (data / "train.tsv").read_text().splitlines()
        (data / "train.tsv").write_text("\n".join(rows + rows[1:] * (2 if folds else 1)) + "\n")
        trainings, epoch, epochs = (3, 8, 2 + kills) if folds else (2, 8, 2 + kills)
        self.steps = trainings * epoch * epochs
        self.measured = frozenset(range(epoch, self.steps + 1, epoch))
        self.command = ["bash", str(runs.ROOT / "run_finetune.sh"), "rte", "--data", str(data), "--model",
                        str(model_files[0]), "--vocab", str(model_files[1]), *(["--folds", "3"] if folds else
                        ["--runs", "2"]), "--devices", ",".join(map(str, range(ranks))), "--max-restarts", "99"]
        for setting in [*QUICK, "batch_size=2", f"epochs={epochs}", "workers=1", "checkpoint_every=3", "log_every=1",
                        "learning_rate=1e-2"]:
            self.command += ["--set", setting]

    def start(self, output) -> subprocess.Popen:
        with open(f"{output}.log", "a") as log:
            return subprocess.Popen([*self.command, "--output", str(output)], cwd=runs.ROOT, stdout=log,
                                    stderr=subprocess.STDOUT, start_new_session=True, env=runs.ENVIRONMENT)

    def same(self, alone, killed) -> None:
        """Compare every file: weights, answers, scores, figures; of the records all but times."""
        first, second = self.contents(alone), self.contents(killed)
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []

    def contents(self, output) -> dict:
        found = {}
        for file in sorted(output.rglob("*")):
            name = str(file.relative_to(output))
            if not file.is_file() or name.startswith(OTHERWISE) or file.parent.name in ("visualdl", "tensorboard"):
                continue
            content = file.read_bytes()
            if file.name in ("result.json", "state.json", "log.jsonl"):
                content = [timeless(json.loads(line)) for line in content.splitlines()] \
                    if file.suffix == ".jsonl" else timeless(json.loads(content))
            elif file.name in ("manifest.json", "README.md"):  # of state.json, which has times; seconds
                continue
            found[name] = content
        return found


def timeless(value):
    """A record without times, and without what is made of them: no two runs have these in common."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in (
            "seconds", "time", "launched", "data_wait", "memory_mib", "eta_stage", "eta_run", "tokens_per_second",
            "tokens_per_second_per_card", "rank_compute", "rank_data_wait", "slowest")}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def moments(random_source, run, output, left: int):
    """(name, reached()) of a moment at which to strike, counted from now; in time for all the kills that are left."""
    begun, had = time.monotonic(), run.progress(output)
    delay = random_source.uniform(0, 15)
    most = max(1, (run.steps - had) // (left + 1))
    steps = random_source.randint(1, most)
    parts = len(list(output.glob(f"{run.parts}/{run.ended}")))
    name, reached = random_source.choice([
        (f"{delay:.1f} s after the start", lambda: time.monotonic() - begun > delay),
        (f"{steps} steps on", lambda: run.progress(output) >= had + steps),
        ("while a checkpoint or the best weights are written",
         lambda: next(output.glob(f"{run.parts}/*.partial"), None) is not None),
        ("after a training", lambda: len(list(output.glob(f"{run.parts}/{run.ended}"))) > parts),
        ("while it measures or predicts", lambda: run.progress(output) > had and run.progress(output) in run.measured),
    ][:None if run.measured else -1])
    return name, lambda: reached() or run.progress(output) >= had + most


def strike(random_source, shell) -> tuple[str, bool]:
    """Kill or ask to stop someone who is there; returns (who, whether the shell goes with it)."""
    found = runs.family(shell.pid)
    names = [name for name in found if name != "others"]
    victim = random_source.choice([*names, *["a batch worker"] * bool(found["others"]), "all"])
    number = random_source.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    if victim == "all":
        pids = [*(found[name] for name in names), *found["others"]]
    else:
        pids = [random_source.choice(found["others"]) if victim == "a batch worker" else found[victim]]
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return f"{number.name} to {victim}", victim in ("shell", "all")


@pytest.mark.timeout(0)  # has a deadline of its own, which grows with the kills
@pytest.mark.parametrize("kind", [pytest.param("pretrain", marks=pytest.mark.slow),
                                  pytest.param("finetune", marks=pytest.mark.slow), "folds"])
def test_killed_runs_end_as_one_that_was_left_alone(kind, tmp_path, model_files, capsys):
    kills, ranks = (SHORT, 1) if kind == "folds" and "ERNIE_KILLS" not in os.environ else (KILLS, RANKS)
    run = Run(tmp_path, kills, ranks) if kind == "pretrain" else FinetuningRun(tmp_path, kills, ranks, model_files,
                                                                               kind == "folds")
    alone = run.start(tmp_path / "alone")
    try:
        assert alone.wait(600 + 60 * kills) == 0, runs.said(tmp_path / "alone")
    finally:
        runs.end(alone)
    output, source, done, shell = tmp_path / "killed", random.Random(SEED), 0, None
    deadline = time.monotonic() + 240 * (kills + 1)
    try:
        while time.monotonic() < deadline:
            if shell is None or shell.poll() is not None:
                if shell is not None and shell.returncode == 0:
                    break
                shell = run.start(output)
            if done == kills:
                time.sleep(0.1)
                continue
            name, reached = moments(source, run, output, kills - done)
            while shell.poll() is None and not reached() and time.monotonic() < deadline:
                time.sleep(0.002)
            if shell.poll() is None:
                step, (what, gone) = run.progress(output), strike(source, shell)
                done += 1
                with capsys.disabled():
                    print(f"\nkill {done} of {kills}: {what}, {name}, step {step} of {run.steps}", end="", flush=True)
                if gone:
                    shell.wait()
    finally:
        runs.end(shell)
    assert shell.returncode == 0, runs.said(output)
    assert done == kills, "the run was over before all kills were done"
    run.same(tmp_path / "alone", output)
