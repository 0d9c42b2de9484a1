"""Export a trained model for serving: a static graph for Paddle's inference engine, or ONNX.

A fine-tuned model gives its scores (classes, tags or span ends), any other checkpoint hidden states and pooled output.
The export is run beside the model before it is kept: differences and speeds are printed. `ernie predict --model` and
`ernie encode --init` take the directory in the place of a checkpoint.

example: ernie export output/mrpc --to inference --output served/mrpc
"""
from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("source", metavar="RUN", help="output of fine-tuning, or a checkpoint of any family")
    parser.add_argument("--to", required=True, choices=("inference", "onnx"), help="engine that will run it")
    parser.add_argument("--output", metavar="DIR", required=True, help="directory to write; must not exist or be empty")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32",
                        help="bf16: run by oneDNN in bfloat16 on the CPU (Paddle 3)")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.serving.export import export
    print(f"{args.source} -> {args.output} ({args.to}, {args.precision})")
    export(args.source, args.output, args.to, args.precision)
