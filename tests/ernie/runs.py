"""Small pre-training runs for the tests of the engine, and the processes they are made of."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.builders import build_store, random_documents

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
         "max_position_embeddings": 64, "type_vocab_size": 4, "task_type_vocab_size": 16, "use_task_id": True}
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "MKL_DEBUG_CPU_TYPE": "",
               "PYTHONPATH": str(ROOT)}


def declare(folder: Path, stages: list, **settings) -> Path:
    """A curriculum file in ``folder``, with a store and a model beside it; returns the file."""
    dropout = settings.pop("dropout", 0.1)
    if not (folder / "train").exists():
        build_store(folder / "train", random_documents(60))
        build_store(folder / "dev", random_documents(12, seed=1))
    (folder / "model.json").write_text(json.dumps({**MODEL, "hidden_dropout_prob": dropout,
                                                   "attention_probs_dropout_prob": dropout}))
    names = list(dict.fromkeys(name for stage in stages for name in stage))
    curriculum = {"tasks": names, "method": "explicit", "stages": [{"tasks": stage} for stage in stages],
                  "corpora": {"made": {"path": str(folder / "train"), "dev": str(folder / "dev")}},
                  "model": str(folder / "model.json"), "max_length": 32, "batch_tokens": 256, "micro_batch_tokens": 64,
                  "window": 4, "workers": 0, "dev_batches": 1, "log_every": 1, "checkpoint_every": 5,
                  "check_ranks_every": 3, "optimizer": {"learning_rate": 3e-3, "warmup_steps": 4}, **settings}
    file = folder / "curriculum.yaml"
    file.write_text(json.dumps(curriculum))  # json is yaml
    return file


def start(file: Path, output: Path, *options, **environment) -> subprocess.Popen:
    """``run_pretrain.sh`` on a curriculum; what it says goes to ``<output>.log``."""
    log = open(f"{output}.log", "a")  # noqa: SIM115  (the process writes it)
    return subprocess.Popen(["bash", str(ROOT / "run_pretrain.sh"), "--config", str(file), "--output", str(output),
                             *options], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                            env={**ENVIRONMENT, **environment})


def said(output: Path) -> str:
    """What ``run_pretrain.sh`` has said so far."""
    return Path(f"{output}.log").read_text("utf-8", "replace")


def run(file: Path, output: Path, *options, expect: int = 0, timeout: float = 500, **environment) -> str:
    """The words of ``run_pretrain.sh`` after it has ended with the expected code."""
    process = start(file, output, *options, **environment)
    try:
        code = process.wait(timeout)
    finally:
        end(process)
    assert code == expect, said(output)
    return said(output)


def losses(output: Path, stage: int = 1) -> list:
    """Per logged step, {task: loss}."""
    lines = (output / f"stage-{stage}" / "log.jsonl").read_text("utf-8").splitlines()
    return [{name: values["loss"] for name, values in json.loads(line)["tasks"].items()} for line in lines]


def final(output: Path, stage: int = 1) -> dict:
    """The weights at the end of a stage."""
    done = json.loads((output / f"stage-{stage}" / "done.json").read_text())
    return load_file(output / f"stage-{stage}" / done["checkpoint"] / "model.safetensors")


def identical(first: dict, second: dict) -> bool:
    """Whether two sets of weights agree in every bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def difference(first: dict, second: dict) -> float:
    """The largest difference of two sets of weights."""
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def children(pid: int) -> list[int]:
    """Processes that a process has started and that still live."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def ranks(launcher: int) -> dict[int, int]:
    """{rank within the node: pid} of the ranks that a launcher has started, each from when it runs its own program.

    By what the launcher put into their environment: numbers of processes begin anew at a limit, so their order says
    nothing, and a rank that has ended has no environment.
    """
    found = {}
    for child in children(launcher):
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in environment:
            if entry.startswith(b"PADDLE_LOCAL_RANK="):
                found[int(entry.partition(b"=")[2])] = child
    return dict(sorted(found.items()))


def family(shell: int) -> dict:
    """{"shell", "launcher", "rank 0", ...} -> pid, of those that are there; and "others" -> list of pids."""
    found = {"shell": shell, "others": []}
    for child in children(shell):
        if "ernie.launching.launcher" in command(child):
            found["launcher"] = child
            for number, rank in ranks(child).items():
                found[f"rank {number}"] = rank
                found["others"] += children(rank)
        else:
            found["others"].append(child)
    return found


def everyone(shell: int) -> list[int]:
    """All processes of a family: shell, launcher, ranks, batch workers."""
    found = family(shell)
    return [*(pid for name, pid in found.items() if name != "others"), *found["others"]]


def end(process: subprocess.Popen) -> None:
    """Kill a launcher that is still there, with everything it has started."""
    if process.poll() is None:
        kill(family(process.pid))
        process.wait()


def kill(found: dict) -> None:
    """kill -9 to all of a family."""
    for pid in [*(pid for name, pid in found.items() if name != "others"), *found["others"]]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def command(pid: int) -> str:
    """The command line of a process, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
