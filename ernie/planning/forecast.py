"""Forecast of a run on this machine, made before it starts: model, memory, time, and advice if that is too much.

Memory is counted (``ernie.planning.memory``), time is measured in a few short steps on random text.
"""
from __future__ import annotations

import dataclasses
from pathlib import Path

from ernie.planning.memory import bytes_of, memory
from ernie.planning.plan import GIB, Plan
from ernie.utils.text import clock
from reader.utils.text import counted

OVERHEAD = 1.35     # resident memory of a process beside the tensors it holds at once; measured 1.2 to 1.6 on CPUs
PROCESS = 0.5       # GiB that Paddle and the libraries take before there is a model
SAMPLE_TOKENS, LARGE_SAMPLE = 512, 2048  # of a timed micro-batch at most, of a model above and below
LARGE_MODEL = 30e6                       # this number of parameters
SAMPLE_SECONDS = 3.0                     # for the timed steps; two are made in any case
BUSY = 0.2          # share of the time that the timed steps waited for others, from which on it is said
LONG = 7 * 86400.0  # seconds


@dataclasses.dataclass(frozen=True)
class Forecast:
    """A run on this machine. needed, free: GiB of memory. seconds: of the whole run. None: unknown.

    waited: share of the time for which the timed steps waited for other processes.
    """

    plan: Plan
    device: str
    needed: float
    free: float | None
    seconds: float | None
    waited: float = 0.0

    def lines(self) -> list[str]:
        """Return what to tell the user before the start, a line each; warnings begin with "warning"."""
        plan, curriculum = self.plan, self.plan.curriculum
        config = plan.config
        layers = (f"{counted(config.num_hidden_layers, 'layer')} of {config.hidden_size}, "
                  f"vocabulary {config.vocab_size:,}")
        found = [f"model: {sum(plan.parameters.values()) / 1e6:.1f} M parameters ({layers}); "
                 f"{counted(plan.steps, 'step')} of "
                 f"{curriculum.batch_tokens:,} tokens",
                 f"memory: about {self.needed:.1f} GB" + (f" of {self.free:.1f} GB free" if self.free else "")
                 + f" ({self.device})"]
        if self.seconds is not None:
            found.append(f"time: {self._span(self.seconds)}, from a few steps timed just now")
        if self.free is not None and self.needed > self.free:
            found.append(f"warning: this does not fit into memory; {self.remedy()}")
        if self.seconds is not None and self.seconds > LONG:
            own = curriculum.stages is not None or all(task.iterations for task in curriculum.tasks)
            fewer = "fewer iterations in the curriculum" if own else "--set iterations_per_task=N"
            found.append("warning: that is long; configs/curriculum/own_small.yaml is meant for a machine like this, "
                         f"fewer steps are {fewer}")
        return found

    def _span(self, seconds: float) -> str:
        if self.waited < BUSY:
            return f"about {clock(seconds)}"
        return (f"about {clock(seconds * (1 - self.waited))} on an idle machine, up to {clock(seconds)} while other "
                f"processes take {100 * self.waited:.0f} % of this one")

    def remedy(self) -> str:
        """Return the mildest change that makes the run fit."""
        plan = self.plan
        for tokens in (2048, 1024, 512):
            if tokens < plan.micro_tokens and (need := needed(plan, self.device, tokens)) <= (self.free or 0):
                return f"--set micro_batch_tokens={tokens} takes about {need:.1f} GB and computes the same"
        return "a smaller model does: --set model=configs/model/small.json, or mini.json"


def needed(plan: Plan, device: str, micro_tokens: int) -> float:
    """Return the GiB that one process holds when its micro-batches have that many tokens."""
    curriculum = plan.curriculum
    kind = bytes_of(curriculum.precision, curriculum.amp_level, device)
    peak = memory(plan.config, plan.heads, plan.rows(micro_tokens), curriculum.max_length, kind, curriculum.recompute,
                  plan.cards).peak / GIB
    return peak * OVERHEAD + PROCESS if device == "cpu" else peak + 1.0


def forecast(plan: Plan, timed: bool = True) -> Forecast:
    """Count memory and, on a CPU, where it is to be ``timed``, time a short step for this machine; takes seconds."""
    from ernie.utils.paddle_setup import import_paddle
    paddle = import_paddle()
    device = paddle.device.get_device()
    if device != "cpu":
        free = paddle.device.cuda.get_device_properties().total_memory / GIB
        return Forecast(plan, device, needed(plan, device, plan.micro_tokens), free, None)
    free, tokens = free_memory(), sample_tokens(plan)
    fits = timed and (free is None or needed(plan, device, tokens) <= free)
    seconds, waited = _seconds(plan, tokens) if fits else (None, 0.0)
    return Forecast(plan, device, needed(plan, device, plan.micro_tokens), free, seconds, waited)


def sample_tokens(plan: Plan) -> int:
    """Return the tokens of a timed micro-batch: the run's own, or fewer where these would take long."""
    most = LARGE_SAMPLE if sum(plan.parameters.values()) < LARGE_MODEL else SAMPLE_TOKENS
    return max(plan.curriculum.max_length, min(plan.micro_tokens, most))


def _seconds(plan: Plan, tokens: int) -> tuple[float, float]:
    """Return (the time of all stages on this CPU, the share of waiting), from steps of that many tokens.

    Steps in which nothing is masked, which a task's ``lm_weight`` 0 makes, are timed apart: they are cheaper.
    """
    from ernie.planning.benchmark import measure
    sample = dataclasses.replace(plan, curriculum=dataclasses.replace(
        plan.curriculum, batch_tokens=tokens, micro_batch_tokens=tokens))
    total, waited, share = 0.0, 0.0, plan.masked_share
    for masked, part in ((True, share), (False, 1 - share)):
        if part:
            found = measure(sample, steps=9, seconds=SAMPLE_SECONDS, masked=masked)
            pace = found.forward_backward / (found.rows * found.width)  # seconds a token
            total += part * plan.steps * (plan.curriculum.batch_tokens * pace + found.update)
            waited += part * found.waited
    return total, waited


def free_memory(meminfo: str | Path = "/proc/meminfo", group: str | Path = "/sys/fs/cgroup") -> float | None:
    """Return the GiB that this machine, or the container it is, can still give; None where neither says."""
    found = []
    try:
        for line in Path(meminfo).read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024 / GIB)
    except OSError:  # not Linux
        return None
    try:
        limit = (Path(group) / "memory.max").read_text("utf-8").strip()
        if limit != "max":
            found.append((int(limit) - int((Path(group) / "memory.current").read_text("utf-8"))) / GIB)
    except OSError:  # no control group of version 2
        pass
    return min(found) if found else None


