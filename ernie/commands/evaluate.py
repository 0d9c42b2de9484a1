"""Metrics and error analysis of a fine-tuned model on a labelled file.

Prints the metrics, a report for each class or type of entity, the confusion matrix and the calibration; writes
evaluation.json and wrong.tsv, the rows with a wrong answer, the most confident first. --against names a second model,
which is tested against the first on the same rows: McNemar's exact test and a paired bootstrap of the first metric.

example: ernie evaluate --model output/mrpc --input glue/MRPC/dev.tsv
         ernie evaluate --model output/mrpc --input glue/MRPC/dev.tsv --against output/other --output analysis
"""
from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", required=True, metavar="DIR", help="output of `ernie finetune`, or a model in it")
    parser.add_argument("--input", required=True, metavar="FILE", help="labelled rows, in a layout of the task")
    parser.add_argument("--against", metavar="DIR", help="a second model of the same task")
    parser.add_argument("--output", metavar="DIR", help="for the files (default: evaluation/<name of the input> beside "
                                                        "the model)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of the model's recipe, for example predict_batch_tokens=4096")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; return its exit code, None for 0."""
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.finetuning import evaluation
    from ernie.finetuning.predictor import Predictor, same_task
    from reader.utils.errors import InputError
    from reader.utils.files import write_json

    if not Path(args.input).is_file():
        raise InputError("no such file", args.input)
    model = Predictor(args.model, args.assignments)
    source = model.recipe.reader.open(args.input, "input", model.classes)
    rows = list(source)
    labelled = [row for row in rows if model.kind.labelled(row)]
    print(source.account)
    if not labelled:
        raise InputError("no row has a label: nothing can be measured (`ernie predict` answers it)", args.input)
    if len(labelled) < len(rows):
        print(f"left out: {counted(len(rows) - len(labelled), 'row')} without a label")
    predictions = model.predict(labelled)
    found = evaluation.evaluate(model.kind, labelled, predictions)
    print("\n" + evaluation.render(found, model.kind))
    report = {"model": str(model.path), "input": str(args.input), **found.to_json()}
    if args.against:
        other = Predictor(args.against, args.assignments)
        same_task(model, other)
        comparison = evaluation.compare(model.kind, labelled, predictions, other.predict(labelled),
                                        model.recipe.metrics[0])
        print(f"\n{model.path} and {other.path}:\n" + evaluation.render_comparison(comparison))
        report["against"] = {"model": str(other.path), **dataclasses.asdict(comparison)}
    output = Path(args.output) if args.output else model.path / "evaluation" / Path(args.input).name.split(".")[0]
    try:
        write_json(output / "evaluation.json", report)
        evaluation.write_wrong(output / "wrong.tsv", model.kind, labelled, predictions, found)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}; name another place with --output",
                         output) from None
    print(f"\n{len(found.wrong):,} wrong rows, the most confident first: {output / 'wrong.tsv'}")
    return 0
