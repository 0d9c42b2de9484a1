"""The memory model of `ernie plan` against the peak that Paddle's allocator measures, in float32 on the CPU.

    python benchmarks/memory.py --sizes 256x4 512x6

"paddle" is the model with Paddle's own layers, which keep on a CPU what they keep on a GPU; "ours" has the layers of
ernie.model.cpu_kernels, "bf16" takes products in bfloat16. Above the state: activations, scores and what passes through
the backward pass.
"""
from __future__ import annotations

import argparse
import subprocess
import sys

from ernie.model.recompute import Choice

SHAPES = {"256x4": (256, 4, 4, 8000, 16, 128), "512x6": (512, 6, 8, 30000, 4, 256), "128x2": (128, 2, 2, 2000, 8, 512)}


def measured(size: str, layers: str, recompute: Choice) -> None:
    """Prints counted and measured bytes, in all and above the state; in a process of its own."""
    from ernie.model import cpu_kernels
    from ernie.model.config import ErnieConfig
    from ernie.planning import benchmark
    from ernie.planning.memory import CPU, CPU_BF16, FLOAT32, Head, memory
    from ernie.planning.plan import Plan
    from ernie.pretraining.curriculum import Curriculum, TaskEntry
    from ernie.pretraining.stages import Stage

    hidden, depth, heads, vocabulary, rows, width = SHAPES[size]
    if layers == "paddle":
        cpu_kernels.eager_on_cpu = lambda: False
        benchmark.paddle.set_flags({"FLAGS_use_stride_kernel": True})
    config = ErnieConfig(vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=depth, num_attention_heads=heads)
    declared = [Head("token", vocabulary=True), Head("token", 2), Head("token", 2), Head("sequence", 33)]
    curriculum = Curriculum([TaskEntry("masking")], {}, "given", max_length=width, batch_tokens=rows * width,
                            micro_batch_tokens=rows * width, recompute=recompute,
                            precision="bf16" if layers == "bf16" else "fp32")
    plan = Plan(curriculum, 1, config, [Stage(1, {"masking": 10}, ["masking"])], declared)
    peak = benchmark.measure(plan, steps=1).peak
    kind = {"paddle": FLOAT32, "ours": CPU, "bf16": CPU_BF16}[layers]
    counted = memory(config, declared, rows, width, kind, recompute)
    print("RESULT", counted.peak, peak, counted.peak - counted.state, peak - counted.state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=["128x2"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return measured(args.one[0], args.one[1], {"False": False, "True": True, "2": 2}.get(args.one[2], args.one[2]))
    print(f"{'size':8}{'layers':8}{'recompute':10}{'counted':>10}{'measured':>10}{'above state':>14}{'difference':>12}"
          f"{'above state':>14}")
    for size in args.sizes:
        for layers in ("paddle", "ours", "bf16"):
            for recompute in (False,) if layers == "bf16" else (False, "attention", 2, True):
                done = subprocess.run([sys.executable, __file__, "--one", size, layers, str(recompute)],
                                      capture_output=True, text=True)
                found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
                if not found:
                    sys.exit(done.stderr)
                counted, peak, above, measured_above = (float(text) / 2 ** 20 for text in found[0].split()[1:])
                print(f"{size:8}{layers:8}{str(recompute).lower():10}{counted:7.1f} MB{peak:7.1f} MB"
                      f"{measured_above:11.1f} MB{100 * (counted / peak - 1):+12.1f}"
                      f"{100 * (above / measured_above - 1):+14.1f}", flush=True)
    return None


if __name__ == "__main__":
    main()
