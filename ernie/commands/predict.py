"""Answers of a fine-tuned model about a file: labels with probabilities, scores, tags, or spans.

The model directory is all that is needed: it holds configuration, vocabulary and labels. The input has the layout of
the task's own files (columns text_a, text_b; \\x02-separated words; SQuAD-style json; csv, jsonl, parquet by their
suffix), labels optional: where they are there, the metrics are printed at the end. A row with an id keeps it, in the
first column. `-` reads standard input or writes standard output. Texts are not kept: memory does not grow with them.

example: ernie predict --model output/mrpc --input test.tsv --output answers.tsv
         cut -f1,2 rows.tsv | ernie predict --model output/mrpc --input - --output -
"""
from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from reader.utils.errors import InputError
from reader.utils.text import counted

STANDARD_INPUT = "standard input"
CHUNK = 2048  # rows that are read, tokenized and answered together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", required=True, metavar="DIR", help="output of `ernie finetune`, or a model in it")
    parser.add_argument("--input", required=True, metavar="FILE", help="rows, in a layout of the task; .gz as well; -")
    parser.add_argument("--output", required=True, metavar="FILE", help="a table, one line for each row read; -")
    parser.add_argument("--format", default="", choices=("", "tsv", "csv", "json", "jsonl", "parquet"),
                        metavar="FORMAT", help="of a table, whatever its suffix: tsv, csv, json, jsonl "
                        "or parquet (standard input: tsv)")
    parser.add_argument("--bad-rows", default="stop", choices=("stop", "skip"), help="malformed rows end the run (the "
                        "default), or are left out, counted and reported; then a column `line` tells the rows apart")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of the model's recipe, for example predict_batch_tokens=4096")
    parser.add_argument("--no-export", action="store_true", help="run the model as it is; from 2 MB of text on, a "
                        "static graph of it is made, kept and run, which is faster and gives the same to 1e-5")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.finetuning.predictor import Predictor
    from ernie.serving.cache import fastest

    if args.input != "-" and not Path(args.input).is_file():
        raise InputError("no such file", args.input)
    given = [f"reader.format={args.format}"] if args.format else []
    chosen = args.model if args.no_export else fastest(args.model, args.input, scores=True)
    model = Predictor(chosen, [*args.assignments, *given])
    with _input(args.input) as path:
        source = model.recipe.reader.open(path, "input", model.classes, strict=args.bad_rows != "skip")
        try:
            with _output(args.output) as file:
                done, scores = _answer(model, source, file, args.bad_rows == "skip")
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", args.output) from None
    sys.stderr.write("\n")
    say = sys.stderr if args.output == "-" else sys.stdout
    read = str(source.account) if args.input != "-" else str(source.account).replace(str(path), STANDARD_INPUT)
    print(f"{read}\n{counted(done, 'answer')} in {args.output}", file=say)
    if scores:
        print(scores, file=say)
    return 0


def _answer(model: Any, source: Any, file: IO[str], skipping: bool) -> tuple[int, str]:
    """Write the table. Returns (number of rows, the metrics as a line or nothing)."""
    from ernie.finetuning.data import chunks
    from reader.finetune.rows import without_texts
    kind = model.kind
    numbered = skipping and model.recipe.reader.layout != "questions"  # a question has an id of its own
    identified = model.recipe.reader.layout == "table" and source.identified
    first = ["line"] * numbered + ["id"] * identified
    begun, done = time.monotonic(), 0
    rows_kept: list = []
    answers_kept: list = []
    file.write("\t".join([*first, *kind.header()]) + "\n")
    for rows in chunks(source, CHUNK):
        for row, prediction in zip(rows, model.predict(rows)):
            place = [str(row.line)] * numbered + [" ".join(row.id.split())] * identified if first else []
            file.write("\t".join([*place, *kind.cells(row, prediction)]) + "\n")
            if kind.labelled(row):
                rows_kept.append(without_texts(row))
                answers_kept.append(kind.without_texts(prediction))
        done += len(rows)
        sys.stderr.write(f"\rernie: {counted(done, 'row')}, {done / (time.monotonic() - begun):,.0f} a second ")
        sys.stderr.flush()
    if not rows_kept:
        return done, ""
    of = "" if len(rows_kept) == done else f" of the {counted(len(rows_kept), 'row')} with a label"
    return done, f"metrics{of}: " + ", ".join(f"{name} {value:.4f}"
                                             for name, value in kind.score(rows_kept, answers_kept).items())


@contextlib.contextmanager
def _input(name: str) -> Iterator[Path]:
    """The file to read; standard input is put into one, because its layout is looked at first."""
    if name != "-":
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / STANDARD_INPUT
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield path
        except InputError as error:  # its user has never seen this file
            if error.path is None or Path(error.path) != path:
                raise
            raise InputError(error.reason, STANDARD_INPUT, error.line) from None


@contextlib.contextmanager
def _output(name: str) -> Iterator[IO[str]]:
    """The file to write, there when all of it is; or standard output."""
    if name == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    from reader.utils.files import atomic_write
    with atomic_write(name, newline="\n") as file:
        yield file
