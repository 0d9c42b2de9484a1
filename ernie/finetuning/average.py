"""The answers of several trainings of one recipe, averaged. No paddle."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ernie.finetuning.answers import write_predictions
from ernie.finetuning.data import Split, fingerprint
from reader.utils.files import atomic_write
from tasks.finetune.kind import Kind
from tasks.finetune.metrics import softmax

SMALL = 1e-12


def save_outputs(path: Path, outputs: list) -> None:
    """Keep the scores of every model input of a split."""
    arrays = [np.asarray(values, np.float32) for values in outputs]
    lengths = [len(values) if values.ndim > 1 else 0 for values in arrays]  # 0: no tokens, one row
    flat = [values if values.ndim > 1 else values[None] for values in arrays]
    with atomic_write(path, "wb") as file:
        np.savez(file, values=np.concatenate(flat), lengths=np.array(lengths, np.int64))


def load_outputs(path: Path) -> list[np.ndarray]:
    """Read the model outputs that ``save_outputs`` wrote."""
    with np.load(path) as held:
        values, lengths = held["values"], held["lengths"]
    parts = np.split(values, np.cumsum(np.maximum(lengths, 1))[:-1])
    return [part if length else part[0] for part, length in zip(parts, lengths.tolist())]


def averaged(kind: Kind, several: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return scores that answer as the mean probabilities do; of numbers, choices and spans, the mean scores."""
    found = []
    for each in zip(*several):
        scores = np.stack([np.asarray(values, np.float64) for values in each])
        if kind.loss == "cross_entropy":
            found.append(np.log(np.maximum(softmax(scores).mean(0), SMALL)))
        elif kind.loss == "binary":
            chance = np.clip((1 / (1 + np.exp(-scores))).mean(0), SMALL, 1 - SMALL)
            found.append(np.log(chance / (1 - chance)))
        else:
            found.append(scores.mean(0))
    return found


def other_rows(split: Split, runs: list[Path], results: list[dict]) -> list[str]:
    """Name the trainings that have not answered the rows of a split: its file came, or was changed, after them.

    Args:
        results: of the runs, in the same order.
    """
    found, now = [], fingerprint(split.features)
    for run, result in zip(runs, results):
        answered, file = result.get("answered", {}).get(split.name), run / f"{split.name}.outputs.npz"
        if answered is None and file.is_file():  # of an earlier version
            answered = now if len(load_outputs(file)) == len(split.features) else None
        if answered != now:
            found.append(run.name)
    return found


def drop_other_rows(splits: list[Split], runs: list[Path], results: list[dict],
                    say: Callable[[str], None]) -> list[Split]:
    """Return the splits that all runs have answered; say which others there are, and take their figures from
    ``results``."""
    kept = []
    for split in splits:
        others = other_rows(split, runs, results)
        if not others:
            kept.append(split)
            continue
        say(f"{split.name}: {', '.join(others)} did not answer {split.path} as it is now, so that there are no figures "
            f"over the trainings; to answer it: ernie predict --model {runs[0] / 'best'}")
        for result in results:
            result.pop(split.name, None)
    return kept


def average_runs(kind: Kind, task: str, splits: list[Split], runs: list[Path], output: Path) -> dict[str, dict]:
    """Write the averaged answers about every split that all runs have answered.

    Returns split -> metrics, of those with labels.
    """
    scores = {}
    for split in splits:
        files = [run / f"{split.name}.outputs.npz" for run in runs]
        if not all(file.is_file() for file in files):
            continue
        outputs = averaged(kind, [load_outputs(file) for file in files])
        predictions = kind.decode(split.rows, split.features, outputs)
        output.mkdir(parents=True, exist_ok=True)
        write_predictions(output, split, kind, task, predictions)
        if all(kind.labelled(row) for row in split.rows):
            scores[split.name] = kind.score(split.rows, predictions)
    return scores
