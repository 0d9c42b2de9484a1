"""Host time of a training step: a model so narrow that its products cost next to nothing, so that what is left is what
Python and the framework do for each operator. On a GPU this is what has to stay below the time of the kernels.

    OMP_NUM_THREADS=1 python benchmarks/host_time.py                       # this project, on Paddle
    OMP_NUM_THREADS=1 python benchmarks/host_time.py --torch               # the same step in plain PyTorch
    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/host_time.py --beside TORCH_PYTHON   # both by turns, medians
The second in an environment of its own: pip install torch==2.13.0 numpy; its Python is the third's TORCH_PYTHON.
Prints milliseconds of processor time (all threads of the process, so that what else runs on the machine counts little),
the 5th percentile over the steps: forward and loss, backward, update (norm, clip, AdamW).
"""
from __future__ import annotations

import argparse
import subprocess
import sys
import time
import zlib  # noqa: F401  (before paddle)
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

PARTS = ("forward", "backward", "update")
LAYERS, HIDDEN, HEADS, VOCABULARY, ROWS, WIDTH, MASKED = 12, 16, 2, 64, 2, 8, 2


def on_paddle(kernels: str) -> dict[str, Callable]:
    """The parts of a step of this project's model and update."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import paddle

    from ernie.model import fused
    from ernie.model.config import ErnieConfig
    from ernie.model.pretraining_model import PretrainingModel, to_tensors
    from ernie.training.amp import Precision
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import LossScaling, OptimizerSettings
    from reader.batches.examples import Batch, Targets

    if kernels != "cpu":  # what a GPU runs: without the formulations for CPUs
        from ernie.model import cpu_kernels
        cpu_kernels.eager_on_cpu = lambda: False
    config = ErnieConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                         intermediate_size=4 * HIDDEN, max_position_embeddings=WIDTH).check()
    tasks = {"masking": SimpleNamespace(level="token", head="vocabulary", classes=()),
             "order": SimpleNamespace(level="sequence", head="classes", classes=range(3))}
    model = PretrainingModel(config, tasks)
    if kernels == "fused":
        print("\n".join(fused.choose(model, "fused", "float32")), file=sys.stderr)
    updater = Updater(model, OptimizerSettings(), lambda step: 1e-4,
                      Precision("fp32", "O2", LossScaling()), World())
    rng = np.random.default_rng(0)
    batch = Batch("order", 0, rng.integers(5, VOCABULARY, (ROWS, WIDTH)), np.zeros((ROWS, WIDTH), np.int64),
                  np.tile(np.arange(WIDTH), (ROWS, 1)), np.full(ROWS, WIDTH), {
                      "masking": Targets(np.arange(MASKED), np.arange(MASKED) + 5),
                      "order": Targets(np.arange(ROWS), np.zeros(ROWS, np.int64))})
    held = {}

    def forward() -> None:
        losses = updater.model(**to_tensors(batch))
        held["loss"] = paddle.add_n([values[0] / 2 for values in losses.values()])

    return {"forward": forward, "backward": lambda: updater.backward(held["loss"]),
            "update": lambda: updater.step(1, held["loss"].detach())}


def on_torch() -> dict[str, Callable]:
    """The same step, as a user of PyTorch writes it: modules, sdpa, clip_grad_norm_, AdamW, one look at the loss."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))
            self.up, self.down = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)
            self.norm1, self.norm2, self.drop = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN), nn.Dropout(0.1)

        def forward(self, x, mask):
            q, k, v = (p(x).view(ROWS, WIDTH, HEADS, -1).transpose(1, 2) for p in (self.q, self.k, self.v))
            found = F.scaled_dot_product_attention(q, k, v, mask, 0.1).transpose(1, 2).reshape(ROWS, WIDTH, HIDDEN)
            x = self.norm1(x + self.drop(self.o(found)))
            return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList([nn.Embedding(rows, HIDDEN) for rows in (VOCABULARY, WIDTH, 4, 16)])
            self.norm, self.drop = nn.LayerNorm(HIDDEN), nn.Dropout(0.1)
            self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
            self.pooler, self.order = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 3)
            self.transform, self.head_norm = nn.Linear(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN)
            self.bias = nn.Parameter(torch.zeros(VOCABULARY))

        def forward(self, ids, mask, masked, labels, order):
            x = self.drop(self.norm(sum(table(column) for table, column in zip(self.tables, ids))))
            for layer in self.layers:
                x = layer(x, mask)
            picked = self.head_norm(F.gelu(self.transform(x.reshape(-1, HIDDEN)[masked])))
            scores = picked @ self.tables[0].weight.T + self.bias
            pooled = torch.tanh(self.pooler(x[:, 0]))
            return (F.cross_entropy(scores, labels) + F.cross_entropy(self.order(self.drop(pooled)), order)) / 2

    model, rng, held = Model().train(), np.random.default_rng(0), {}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    words = torch.from_numpy(rng.integers(5, VOCABULARY, (ROWS, WIDTH)))
    place = torch.arange(WIDTH).expand(ROWS, WIDTH)
    ids = [words, place, torch.zeros_like(words), torch.zeros_like(words)]
    mask = torch.zeros(ROWS, 1, 1, WIDTH)

    def forward() -> None:
        held["loss"] = model(ids, mask, torch.arange(MASKED), torch.arange(MASKED) + 5, torch.zeros(ROWS).long())

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        held["loss"].item()

    return {"forward": forward, "backward": lambda: held["loss"].backward(), "update": update}


def main() -> None:
    """Time the parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", action="store_true", help="time PyTorch")
    parser.add_argument("--beside", metavar="PYTHON", help="measure by turns with the PyTorch of this interpreter")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help="measure once for each line of standard input")
    parser.add_argument("--kernels", choices=("cpu", "plain", "fused"), default="plain",
                        help="cpu: with the formulations for CPUs; plain: the operators that a GPU runs; fused: the "
                             "fused forms of these that a CPU has as well")
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    if args.beside:
        by_turns(args.beside, args.kernels, args.steps, args.turns)
        return
    parts = on_torch() if args.torch else on_paddle(args.kernels)
    for _ in sys.stdin if args.serve else [""]:
        show("", measured(parts, args.steps))


def measured(parts: dict[str, Callable], steps: int) -> np.ndarray:
    """Return milliseconds of processor time of each part, the 5th percentile over the steps."""
    times = np.zeros((steps, len(parts)))
    for row in times:
        for column, part in enumerate(parts.values()):
            begun = time.process_time()
            part()
            row[column] = time.process_time() - begun
    return 1000 * np.quantile(times[10:], 0.05, axis=0)  # of a machine that others use, too


def show(who: str, least: np.ndarray) -> None:
    """Print a line that ``by_turns`` can read."""
    print(who + "  ".join(f"{name} {value:.2f} ms" for name, value in zip((*PARTS, "step"), [*least, least.sum()])),
          flush=True)


def by_turns(torch_python: str, kernels: str, steps: int, turns: int) -> None:
    """Let a process of each side measure by turns, and print the medians over the turns."""
    commands = {"Paddle": [sys.executable, __file__, "--kernels", kernels],
                "torch": [torch_python, __file__, "--torch"]}
    sides = {who: subprocess.Popen([*command, "--serve", "--steps", str(steps)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True) for who, command in commands.items()}
    found: dict[str, list[list[float]]] = {who: [] for who in sides}
    for _ in range(turns):
        for who, side in sides.items():
            assert side.stdin is not None and side.stdout is not None
            side.stdin.write("go\n")
            side.stdin.flush()
            found[who].append([float(value) for value in side.stdout.readline().split()[1::3]][:len(PARTS)])
    for who, side in sides.items():
        side.communicate()
        show(f"{who}, median of {turns} turns: ", np.median(found[who], axis=0))
    ratios = [sum(ours) / sum(theirs) for ours, theirs in zip(found["Paddle"], found["torch"])]
    print(f"a step beside torch's: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
