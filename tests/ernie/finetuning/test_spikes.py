"""Loss spikes in fine-tuning: training goes back, and a killed run takes the path of one that was left alone."""
import json
import signal
import subprocess
import sys

from safetensors.numpy import load_file

from tests.ernie import runs
from tests.ernie.finetuning.tiny import QUICK, make_data

# The learning rate rises to what the model cannot bear.
STEEP = ["epochs=6", "batch_size=2", "checkpoint_every=4", "learning_rate=5.0", "warmup_proportion=1.0", "clip_norm=0",
         "log_every=2", "loss_spike={factor: 1.5, lines: 3, action: rollback, max_rollbacks: 1}"]
KILL = """
import os, sys
from ernie.training.callbacks import Checkpoints
after = Checkpoints.after_step
def kill(self, trainer, result):
    after(self, trainer, result)
    if result.step == int(sys.argv[1]):
        if sys.argv[2] == "written":
            self.writer.wait()
        os.kill(os.getpid(), 9)
Checkpoints.after_step = kill
from ernie.cli import main
sys.exit(main(sys.argv[3:]))
"""


def train(output, data, model_files, kill=0, when="writing") -> str:  # noqa: F811
    """What a fine-tuning says; it is killed after a step (0: never), when a checkpoint is "written" or half written.

    Each in a process of its own: how this one was set up before it imported Paddle tells in the last bits.
    """
    command = ["finetune", "--task", "rte", "--data", str(data), "--output", str(output), "--model",
               str(model_files[0]), "--vocab", str(model_files[1])]
    for setting in [*QUICK, *STEEP]:
        command += ["--set", setting]
    done = subprocess.run([sys.executable, "-c", KILL, str(kill), when, *command], capture_output=True, text=True,
                          env=runs.ENVIRONMENT)
    assert done.returncode == (-signal.SIGKILL if kill else 0), done.stderr
    return done.stdout


def lines(output) -> list:
    return [json.loads(line) for line in (output / "seed-1" / "log.jsonl").read_text("utf-8").splitlines()]


def followed(output) -> list:
    """The path of a run: of every log line the step, the losses, the learning rate, and the spike."""
    return [(line["step"], line["tasks"], line["learning_rate"], line["spike"]) for line in lines(output)]


def test_a_spike_goes_back_and_a_killed_run_takes_the_same_path(tmp_path, model_files):
    """One rollback is allowed: later spikes are warned of. Killed before the spike, and right after going back."""
    data, whole, parts = make_data("rte", tmp_path / "data"), tmp_path / "whole", tmp_path / "parts"
    said = train(whole, data, model_files)
    found = [(line["step"], line["spike"]["back_to"]) for line in lines(whole) if line["spike"]]
    step, back_to = found[0]
    assert 4 <= back_to < step and len(found) > 1 and all(to is None for _, to in found[1:])
    assert f"seed 1: loss spike at step {step}: " in said and "goes on, after 1 rollbacks" in said
    assert f"goes on with the weights of step {back_to}, without the batches of steps {back_to + 1} to {step} " \
           "(rollback 1 of at most 1)" in said
    state = json.loads((whole / "seed-1" / "step-00000024" / "state.json").read_text())
    assert (state["step"], state["updates"]) == (24, 24 - (step - back_to))

    train(parts, data, model_files, kill=step - 1)
    train(parts, data, model_files, kill=step + 1, when="written")
    for name in ("model.safetensors", "optimizer.safetensors"):  # going back is on record, with weights and moments
        assert runs.identical(*(load_file(parts / "seed-1" / f"step-{at:08d}" / name) for at in (back_to, step)))
    train(parts, data, model_files)
    assert followed(parts) == followed(whole)
    for name in ("best", "step-00000024"):
        one, other = (load_file(output / "seed-1" / name / "model.safetensors") for output in (whole, parts))
        assert runs.identical(one, other)
