"""Two ranks fine-tune as one process does; killed in the middle of everything, they end as if left alone."""
import json
import os
import signal
import subprocess
import time

import pytest
from safetensors.numpy import load_file

from tests.ernie import runs
from tests.ernie.finetuning.tiny import QUICK, TINY, finetune, make_data

EPOCH, EPOCHS = 4, 6  # steps of an epoch, epochs


def start(task, data, output, model_files, *settings, between=()):
    """``run_finetune.sh`` with two ranks; what it says is appended to ``<output>.log``. between: more arguments."""
    command = ["bash", str(runs.ROOT / "run_finetune.sh"), task, *between, "--data", str(data), "--output", str(output),
               "--model", str(model_files[0]), "--vocab", str(model_files[1]), "--devices", "0,1"]
    for setting in [*QUICK, *settings]:
        command += ["--set", setting]
    with open(f"{output}.log", "a") as log:
        return subprocess.Popen(command, cwd=runs.ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                                env=runs.ENVIRONMENT)


def steps(output) -> int:
    """Steps that are on record."""
    file = output / "seed-1" / "log.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def ended(process, output) -> None:
    """Wait for a good end."""
    assert process.wait(500) == 0, runs.said(output)


def outcome(output) -> tuple:
    """All that a run leaves: figures, predictions."""
    seed = output / "seed-1"
    result = json.loads((seed / "result.json").read_text())
    result.pop("seconds")
    return result, (seed / "dev.tsv").read_text(), (seed / "test.tsv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["rte", "sts-b", "msra-ner", "cmrc2018"])
def test_two_ranks_compute_what_one_process_computes(task, tmp_path, model_files):
    """Without dropout, whose masks depend on how a batch is cut. The last batch has one row: none for one rank."""
    (tmp_path / "model.json").write_text(json.dumps({**TINY, "hidden_dropout_prob": 0.0,
                                                     "attention_probs_dropout_prob": 0.0}))
    files, data = (tmp_path / "model.json", model_files[1]), make_data(task, tmp_path / "data")
    settings = ["epochs=2", "batch_size=7", f"recompute={str(task == 'msra-ner').lower()}"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert finetune(task, data, one, files, *settings) == 0
    process = start(task, data, two, files, *settings)
    try:
        ended(process, two)
    finally:
        runs.end(process)
    (result, *answers), (other, *other_answers) = outcome(one), outcome(two)
    assert answers == other_answers
    assert len(result["dev_points"]) == len(other["dev_points"]) == 2
    for point, same in zip(result["dev_points"], other["dev_points"]):
        assert point == pytest.approx(same, abs=1e-3)  # correlations of nearly equal predictions show rounding
    weights = [load_file(output / "seed-1" / "best" / "model.safetensors") for output in (one, two)]
    assert runs.difference(*weights) < 1e-5


@pytest.mark.slow
def test_two_killed_ranks_end_as_two_that_were_left_alone(tmp_path, model_files, capsys):
    data = make_data("sts-b", tmp_path / "data")
    rows = (data / "dev.tsv").read_text().splitlines()
    (data / "dev.tsv").write_text("\n".join(rows + rows[1:] * 400) + "\n")  # a measurement takes its time
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    settings = [f"epochs={EPOCHS}", "batch_size=2", "checkpoint_every=3", "learning_rate=1e-2"]
    ended(start("sts-b", data, alone, model_files, *settings), alone)
    shell = None
    moments = [  # in the middle of an epoch, while dev data is measured, while the best weights are written, at the end
        ("rank 1", lambda: steps(killed) >= EPOCH + 1), ("rank 0", lambda: steps(killed) == 2 * EPOCH),
        ("launcher", lambda: steps(killed) > 2 * EPOCH and (killed / "seed-1" / "best.partial").exists()
         or steps(killed) >= 5 * EPOCH),
        ("shell", lambda: steps(killed) == EPOCHS * EPOCH)]
    try:
        for victim, reached in moments:
            if shell is None or shell.poll() is not None:
                shell = start("sts-b", data, killed, model_files, *settings)
            deadline = time.monotonic() + 400
            while not (reached() and (pid := runs.family(shell.pid).get(victim))):
                assert shell.poll() is None and time.monotonic() < deadline, runs.said(killed)
                time.sleep(0.001)
            at = steps(killed)
            os.kill(pid, signal.SIGKILL)
            with capsys.disabled():
                print(f"\nkilled: {victim} after step {at} of {EPOCHS * EPOCH}, best weights half written: "
                      f"{(killed / 'seed-1' / 'best.partial').exists()}", end="", flush=True)
            if victim == "shell":
                shell.wait()
            else:
                time.sleep(2)
        shell = start("sts-b", data, killed, model_files, *settings)
        ended(shell, killed)
    finally:
        if shell is not None:
            runs.end(shell)
    assert outcome(alone) == outcome(killed)
    for name in ("best", f"step-{EPOCHS * EPOCH:08d}"):
        one, other = (load_file(output / "seed-1" / name / "model.safetensors") for output in (alone, killed))
        assert runs.identical(one, other)
