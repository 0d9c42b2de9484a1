"""Answers of a fine-tuned model about a file: labels with probabilities, scores, tags, or spans.

The model directory is all that is needed: it holds configuration, vocabulary and labels. The input has the layout of
the task's own files (columns text_a, text_b; \\x02-separated units; SQuAD-style json), labels optional. Memory does not
grow with the input.

example: ernie predict --model output/mrpc --input test.tsv --output answers.tsv
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

CHUNK = 2048  # rows that are read, tokenized and answered together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", required=True, metavar="DIR", help="output of `ernie finetune`, or a model in it")
    parser.add_argument("--input", required=True, metavar="FILE", help="rows, in a layout of the task; .gz as well")
    parser.add_argument("--output", required=True, metavar="FILE", help="a table, one line for each row read")
    parser.add_argument("--bad-rows", default="stop", choices=("stop", "skip"), help="malformed rows end the run (the "
                        "default), or are left out, counted and reported; then a column `line` tells the rows apart")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of the model's recipe, for example predict_batch_tokens=4096")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.finetuning.data import chunks
    from ernie.finetuning.predictor import Predictor
    from reader.utils.errors import InputError

    if not Path(args.input).is_file():
        raise InputError("no such file", args.input)
    model = Predictor(args.model, args.assignments)
    skipping = args.bad_rows == "skip"
    source = model.recipe.reader.open(args.input, "input", model.classes, strict=not skipping)
    begun, done, partial = time.monotonic(), 0, Path(f"{args.output}.partial")
    numbered = skipping and model.recipe.reader.layout != "questions"  # a question has an id of its own
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.write("\t".join(["line"] * numbered + model.kind.header()) + "\n")
            for rows in chunks(source, CHUNK):
                for row, prediction in zip(rows, model.predict(rows)):
                    place = [str(row.line)] if numbered else []
                    file.write("\t".join(place + model.kind.cells(row, prediction)) + "\n")
                done += len(rows)
                sys.stderr.write(f"\rernie: {done:,} rows, {done / (time.monotonic() - begun):,.0f} a second ")
                sys.stderr.flush()
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", args.output) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, args.output)
    sys.stderr.write("\n")
    print(f"{source.account}\n{done:,} answers in {args.output}")
    return 0
