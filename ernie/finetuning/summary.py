"""Figures of fine-tuning: over seeds, over tasks, and beside the paper's. No paddle."""
from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Annotated, Any, Optional

from ernie.finetuning.recipe import GLUE_SCORE, Recipe, paper
from ernie.utils.config_io import build
from ernie.utils.limits import Count, OneOf
from reader.utils.errors import InputError
from tasks.finetune import submission

TOGETHER = "together.json"  # record of a run on several tasks, whose trainings keep log and checkpoints of all of them
# as the scripts of 2019 name them, so that what is grepped out of their logs is found in ours
NAMES_2019 = {"accuracy": "acc", "matthews": "matthews_corrcoef", "entity_f1": "f1", "entity_precision": "precision",
              "entity_recall": "recall"}


def evaluation_line(split: str, loss: float, scores: dict, metrics: Iterable[str], count: int, seconds: float) -> str:
    """Format one measurement as the 2019 release prints it: ``[dev evaluation] ave loss: 0.4, acc:0.8, data_num: 9,
    ...``."""
    shown = ", ".join(f"{NAMES_2019.get(name, name)}:{scores[name]:.6f}" for name in metrics)
    return f"[{split} evaluation] ave loss: {loss:.6f}, {shown}, data_num: {count}, elapsed time: {seconds:.2f} s"


def summed_up(recipe: Recipe, results: list, size: str, source: str = "") -> dict[str, Any]:
    """Return median or mean of every split's metrics over the seeds, the spread, and the best seed on dev data.

    Args:
        source: what the data says of itself (``FinetuningData.source``); empty where it says nothing.
    """
    figures: dict[str, dict] = {}
    for split in [name for name in [*recipe.splits("dev"), *recipe.splits("test")] if all(name in r for r in results)]:
        figures[split] = {}
        for metric in results[0][split]:
            values = [result[split][metric] for result in results]
            figures[split][metric] = {"value": (median if recipe.over_runs == "median" else mean)(values),
                                      "spread": stdev(values) if len(values) > 1 else None, "values": values,
                                      "majority": _majority(results, split, metric)}
    best = max(results, key=lambda result: mean(result["dev"][m] for m in recipe.metrics) if "dev" in result else 0)
    summary = {"task": recipe.task, "size": size, "metrics": list(recipe.metrics), "over_runs": recipe.over_runs,
               "runs": len(results), "best_seed": best["seed"],
               "best_run": best.get("run", f"seed-{best['seed']}"), "figures": figures, "source": source,
               "other_data": [split for split in figures if source or _other(recipe.task, split, results)]}
    return {**summary, "text": table([summary])}


def _majority(results: list, split: str, metric: str) -> float | None:
    """Return what always the most frequent class gets, on average over the trainings; None for other answers."""
    found = [result.get("evaluation", {}).get(split, {}).get("confusion") for result in results]
    if metric not in ("accuracy", "f1", "matthews") or not all(found):
        return None
    return mean(_constant([sum(row) for row in confusion], metric) for confusion in found)


def _constant(gold: list[int], metric: str) -> float:
    """Score of the most frequent class as the answer to everything. gold: how often each class is right."""
    share, chosen = max(gold) / sum(gold), gold.index(max(gold))
    if metric == "accuracy":
        return share
    if metric == "matthews" or (len(gold) == 2 and chosen == 0):
        return 0.0
    return 2 * share / (1 + share) / (1 if len(gold) == 2 else sum(count > 0 for count in gold))


def _other(task: str, split: str, results: list) -> bool:
    """Tell whether a split has another number of rows than the one that the paper reports."""
    known = paper()["rows"].get(task, {}).get(split)
    rows = [result.get("evaluation", {}).get(split, {}).get("rows") for result in results]
    return known is not None and any(count not in (None, known) for count in rows)


def averaged_line(recipe: Recipe, scores: dict[str, dict[str, float]], runs: int) -> str:
    """Format the metrics of averaged answers, a line for each split."""
    return "".join(f"\nanswers averaged over {runs} trainings, {split}: "
                   + ", ".join(f"{metric} {100 * found[metric]:.1f}" for metric in recipe.metrics)
                   for split, found in scores.items())


def beside_the_paper(summaries: list, names: Iterable[str] | None = None) -> list[tuple[str, ...]]:
    """Return rows of (task, split, metric, ours with the spread over seeds, that of the most frequent class, the
    paper's, where the data is the paper's). Percent.

    Args:
        names: to show, one for each summary; default: the tasks.
    """
    published = paper()["results"]
    rows: list[tuple[str, ...]] = []
    for summary, name in zip(summaries, names or [summary["task"] for summary in summaries]):
        runs = f" ({summary['over_runs']} of {summary['runs']})" if summary["runs"] > 1 else ""
        for split, figures in summary["figures"].items():
            for metric in summary["metrics"]:
                found = figures[metric]
                spread = f" ± {100 * found['spread']:.1f}" if found["spread"] is not None else ""
                known = published.get(summary["task"], {}).get(summary["size"], {}).get(split, {}).get(metric)
                majority = found.get("majority")
                rows.append((name, split, metric, f"{100 * found['value']:.1f}{spread}{runs}",
                             "-" if majority is None else f"{100 * majority:.1f}",
                             "other data" if split in summary.get("other_data", ()) else
                             "-" if known is None else f"{known} ({summary['size']})"))
    return rows


def table(summaries: list, names: Iterable[str] | None = None) -> str:
    """Format what ``beside_the_paper`` returns."""
    rows = [("task", "split", "metric", "ours", "majority", "paper"), *beside_the_paper(summaries, names)]
    if len(rows) == 1:
        return "no labelled dev or test data: nothing was measured"
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def dev_mean(summary: dict) -> float | None:
    """Return the mean of all dev metrics that the recipe names, as a fraction of 1; None without labelled dev data."""
    splits = [figures for split, figures in summary["figures"].items() if split.startswith("dev")]
    return mean(found[metric]["value"] for found in splits for metric in summary["metrics"]) if splits else None


def glue_score(summaries: list) -> tuple[float | None, list[str]]:
    """Return (mean over the nine tasks of the mean of their dev metrics in percent, tasks that are missing).

    Args:
        summaries: at most one of each task.
    """
    values = {summary["task"]: value for summary in summaries
              if summary["task"] in GLUE_SCORE and (value := dev_mean(summary)) is not None}
    missing = [task for task in GLUE_SCORE if task not in values]
    return (100 * mean(values.values()) if values else None), missing


@dataclass
class _Figure:
    value: float
    values: list[float]
    spread: Optional[float]


@dataclass
class _Summary:
    """The parts of what ``summed_up`` returns that are read again."""

    task: str
    size: Annotated[str, OneOf("base", "large")]
    metrics: list[str]
    over_runs: str
    runs: Count
    figures: dict[str, dict[str, _Figure]]
    text: str = ""
    best_run: str = ""


def _content(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read ({error})", file) from None


def read_record(file: Path) -> dict[str, Any]:
    """Read a result.json, of an output or of one of its trainings. Raises InputError where it is damaged."""
    record = _content(file)
    if not isinstance(record, dict):
        raise InputError("expected a mapping", file)
    return record


def read_summary(file: Path) -> dict[str, Any]:
    """Read the result.json of a finished output, as ``summed_up`` returned it.

    Raises:
        InputError: it is damaged, or it is another record.
    """
    record = read_record(file)
    known = build(_Summary, record, str(file), strict=False)
    for split, figures in known.figures.items():
        for metric in known.metrics:
            if metric not in figures:
                raise InputError(f"figures.{split}: without {metric}", file)
    return record


def outputs_below(directory: Path) -> tuple[dict, list]:
    """Return (path -> summary of every finished fine-tuning output below a directory, paths of the unfinished ones)."""
    found = {}
    for file in sorted(directory.rglob("result.json")):
        record = _content(file)
        if isinstance(record, dict) and {"task", "size", "figures", "best_seed"} <= record.keys():  # no other program's
            found[file.parent] = read_summary(file)
    begun = {file.parent for file in directory.rglob("finetune.json")}
    return found, sorted(begun - found.keys())


def best_run(summary: dict) -> str:
    """Return the directory, in an output, of the training that was best on dev data: a seed's, or a fold's.

    Raises:
        InputError: a damaged record names something that is no directory of an output.
    """
    name = str(summary.get("best_run", f"seed-{summary.get('best_seed')}"))
    if "/" in name or len(name) > 64 or not name.isprintable():
        raise InputError(f"result.json: {reprlib.repr(name)} is no training of an output")
    return name


def best_outputs(found: dict) -> dict[str, Path]:
    """Return {task: path of the output that counts}: the best on dev data; of equals, or without any, the newest."""
    def merit(path: Path):
        value = dev_mean(found[path])
        return (-2.0 if value is None else value, (path / "result.json").stat().st_mtime)
    return {task: max((path for path in found if found[path]["task"] == task), key=merit)
            for task in dict.fromkeys(summary["task"] for summary in found.values())}


def summarise(directory: str | Path, say: Callable[[str], None] = print) -> None:
    """Print the table of all fine-tuning outputs below ``directory`` and the GLUE score; pack the submission in one
    zip."""
    directory = Path(directory)
    found, unfinished = outputs_below(directory)
    for path in unfinished:
        say(f"not finished, left out: {path}")
    if not found:
        raise InputError("no finished fine-tuning run is below this directory", directory)
    chosen = best_outputs(found)
    several = {task: [path for path in found if found[path]["task"] == task] for task in chosen}
    names = {path: f"{task} [{path.relative_to(directory)}]" if len(paths) > 1 else task
             for task, paths in several.items() for path in paths}
    say(table(list(found.values()), [names[path] for path in found]))
    for task, path in chosen.items():
        if len(several[task]) > 1 and task in {name for name, _ in submission.FILES}:
            best = "the newest" if dev_mean(found[path]) is None else "the best on dev data"
            say(f"{len(several[task])} outputs of {task}: {path.relative_to(directory)}, {best}, counts below")
    summaries = [found[path] for path in chosen.values()]
    score, missing = glue_score(summaries)
    if score is not None:
        sizes = sorted({summary["size"] for summary in summaries if summary["task"] in GLUE_SCORE})
        known = paper()["glue_score"]
        name = "GLUE score" if not missing else f"mean of {len(GLUE_SCORE) - len(missing)} of the 9 GLUE tasks"
        say(f"\n{name} on dev data: {score:.1f}" + (f"; missing: {', '.join(missing)}" if missing else "")
            + "; the paper's GLUE score on test data: " + ", ".join(f"{known[size]} ({size})" for size in sizes))
    files = [file for path in chosen.values()
             for file in sorted((path / best_run(found[path]) / "submission").glob("*.tsv"))]
    if files:
        archive = directory / "glue_submission.zip"
        try:
            lacking = submission.pack(files, archive)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", archive) from None
        say(f"GLUE submission: {archive}" + (f", which lacks {', '.join(lacking)}" if lacking else ", complete"))
