"""Answers of a fine-tuned model about the files of a data directory, as tables and in the forms that scorers take."""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ernie.finetuning.data import FinetuningData, Split
from ernie.finetuning.predictor import Predictor, run_model
from ernie.finetuning.recipe import Recipe
from ernie.finetuning.summary import evaluation_line, summed_up
from ernie.finetuning.watcher import Measurement
from ernie.utils.files import lock
from reader.utils.errors import InputError
from reader.utils.files import write_json
from reader.utils.text import counted
from tasks.finetune import submission
from tasks.finetune.kind import Kind


def write_predictions(directory: Path, split: Split, kind: Kind, task: str, predictions: list) -> None:
    """Write the answers about a split as a table, and in the forms that scorers and the GLUE server take."""
    with open(directory / f"{split.name}.tsv", "w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(kind.header()) + "\n")
        for row, prediction in zip(split.rows, predictions):
            file.write("\t".join(kind.cells(row, prediction)) + "\n")
    if kind.name == "reading_comprehension":
        answers, best = n_best_answers(split, predictions)
        write_json(directory / f"{split.name}_predictions.json", answers)
        write_json(directory / f"{split.name}_nbest.json", best)
    name = submission.FILES.get((task, split.name))
    if name:
        (directory / "submission").mkdir(exist_ok=True)
        submission.write(directory / "submission" / f"{name}.tsv", kind, split.rows, predictions)


def n_best_answers(split: Split, predictions: list) -> tuple[dict[str, str], dict[str, list]]:
    """Return (question id -> answer, question id -> the best answers with places and scores) of reading
    comprehension."""
    return ({row.id: answer.text for row, answer in zip(split.rows, predictions)}, {
        row.id: [{"text": one.text, "start": one.start, "stop": one.stop, "probability": one.probability,
                  "score": one.score} for one in answer.best] for row, answer in zip(split.rows, predictions)})


def answer_with(model: str | Path, recipe: Recipe, directory: str | Path, output: str | Path, splits: list[str],
                size: str = "base", say: Callable[[str], None] = print,
                answered: Callable[[Kind, Measurement], None] | None = None) -> int:
    """Answer rows with a model that is there: AX with one that was fine-tuned on MNLI, or a run that trains nothing.

    Args:
        size: whose figures of the paper are shown beside ours. answered: told about every split, instead of a line;
            the scores are empty where labels are missing.
    """
    if int(os.environ.get("PADDLE_TRAINER_ID", "0")):
        return 0  # one process answers
    with lock(output, say=say):
        return _answer_with(model, recipe, directory, output, splits, size, say, answered)


def _answer_with(model, recipe: Recipe, directory, output, splits, size: str, say, answered) -> int:
    predictor = Predictor(model)
    data = FinetuningData(recipe, directory, say)
    kind = data.kind
    _check_answers(predictor, recipe, data)
    positions = predictor.config.max_position_embeddings
    if recipe.max_length > positions:
        say(f"max_length {recipe.max_length} is more than the model's {positions} positions: rows are cut to these")
        recipe.max_length = positions
    result: dict = {"seed": 0, "steps": 0, "seconds": 0.0, "model": str(predictor.path)}
    place = Path(output) / "seed-0"
    place.mkdir(parents=True, exist_ok=True)
    for name in splits:
        begun, split = time.perf_counter(), data.split(name, predictor.tokenizer)
        if split is None:
            continue
        outputs, loss = run_model(predictor.model, kind, split.features, predictor.recipe, predictor.tokenizer.pad_id)
        predictions = kind.decode(split.rows, split.features, outputs)
        write_predictions(place, split, kind, recipe.task, predictions)
        scores = kind.score(split.rows, predictions) if all(map(kind.labelled, split.rows)) else {}
        seconds = time.perf_counter() - begun
        if scores:
            result[name] = scores
        if answered:
            answered(kind, Measurement(split, predictions, loss, scores, 0, 0, seconds))
            continue
        if scores:
            say(evaluation_line(name.partition(".")[0], loss, scores, recipe.metrics, split.count, seconds))
        say(f"{name}: {counted(split.count, 'prediction')} in {place}")
    write_json(place / "result.json", result)
    write_json(Path(output) / "result.json", summed_up(recipe, [result], size, data.source))
    return 0


def _check_answers(predictor: Predictor, recipe: Recipe, data: FinetuningData) -> None:
    """Check that a model can answer what a recipe asks. Raises InputError otherwise."""
    kind, own = data.kind, predictor.kind
    if (kind.level, kind.loss, kind.outputs) != (own.level, own.loss, own.outputs) \
            or tuple(data.classes.names) != tuple(predictor.classes.names):
        def shown(kind, classes):
            return kind.name + (f" into {', '.join(classes.names)}" if classes.names else "")
        raise InputError(f"this model does {shown(own, predictor.classes)}, {recipe.task} is "
                         f"{shown(kind, data.classes)}: give one that was fine-tuned on "
                         f"{recipe.predicted_with or recipe.task}", predictor.path)
