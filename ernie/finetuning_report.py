"""Figures of fine-tuning: over seeds, over tasks, and beside the paper's. No paddle."""
from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median, stdev

from ernie.finetuning_recipe import GLUE_SCORE, Recipe, paper
from reader.errors import InputError
from tasks.finetune import submission

# as the scripts of 2019 name them, so that what is grepped out of their logs is found in ours
NAMES_2019 = {"accuracy": "acc", "matthews": "matthews_corrcoef", "entity_f1": "f1", "entity_precision": "precision",
              "entity_recall": "recall"}


def evaluation_line(split: str, loss: float, scores: dict, metrics, count: int, seconds: float) -> str:
    """One measurement, as the 2019 release prints it: ``[dev evaluation] ave loss: 0.4, acc:0.8, data_num: 9, ...``."""
    shown = ", ".join(f"{NAMES_2019.get(name, name)}:{scores[name]:.6f}" for name in metrics)
    return f"[{split} evaluation] ave loss: {loss:.6f}, {shown}, data_num: {count}, elapsed time: {seconds:.2f} s"


def summed_up(recipe: Recipe, results: list, size: str) -> dict:
    """Median or mean of every split's metrics over the seeds, with the spread, and the best seed on dev data."""
    figures = {}
    for split in [name for name in [*recipe.splits("dev"), *recipe.splits("test")] if all(name in r for r in results)]:
        figures[split] = {}
        for metric in results[0][split]:
            values = [result[split][metric] for result in results]
            figures[split][metric] = {"value": (median if recipe.over_runs == "median" else mean)(values),
                                      "spread": stdev(values) if len(values) > 1 else None, "values": values}
    best = max(results, key=lambda result: mean(result["dev"][m] for m in recipe.metrics) if "dev" in result else 0)
    summary = {"task": recipe.task, "size": size, "metrics": list(recipe.metrics), "over_runs": recipe.over_runs,
               "runs": len(results), "best_seed": best["seed"], "figures": figures}
    return {**summary, "text": table([summary])}


def table(summaries: list) -> str:
    """Task, split, metric: ours with the spread over seeds, and the paper's. Percent."""
    published = paper()["results"]
    rows = [("task", "split", "metric", "ours", "paper")]
    for summary in summaries:
        runs = f" ({summary['over_runs']} of {summary['runs']})" if summary["runs"] > 1 else ""
        for split, figures in summary["figures"].items():
            for metric in summary["metrics"]:
                found = figures[metric]
                spread = f" ± {100 * found['spread']:.1f}" if found["spread"] is not None else ""
                known = published.get(summary["task"], {}).get(summary["size"], {}).get(split, {}).get(metric)
                rows.append((summary["task"], split, metric, f"{100 * found['value']:.1f}{spread}{runs}",
                             "-" if known is None else f"{known} ({summary['size']})"))
    if len(rows) == 1:
        return "no labelled dev or test data: nothing was measured"
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def glue_score(summaries: list) -> tuple[float | None, list[str]]:
    """(mean over the nine tasks of the mean of their dev metrics in percent, tasks that are missing)."""
    values = {}
    for summary in summaries:
        splits = [figures for split, figures in summary["figures"].items() if split.startswith("dev")]
        if summary["task"] in GLUE_SCORE and splits:
            values[summary["task"]] = mean(found[metric]["value"] for found in splits for metric in summary["metrics"])
    missing = [task for task in GLUE_SCORE if task not in values]
    return (100 * mean(values.values()) if values else None), missing


def summarise(directory, say=print) -> None:
    """The table of all fine-tuning outputs below ``directory``, the GLUE score, and the submission in one zip."""
    directory = Path(directory)
    outputs = sorted(path.parent for path in directory.rglob("result.json") if (path.parent / "result.json").is_file()
                     and "figures" in json.loads(path.read_text("utf-8")))
    if not outputs:
        raise InputError("no finished fine-tuning run is below this directory", directory)
    summaries = [json.loads((path / "result.json").read_text("utf-8")) for path in outputs]
    say(table(summaries))
    score, missing = glue_score(summaries)
    if score is not None:
        sizes = sorted({summary["size"] for summary in summaries if summary["task"] in GLUE_SCORE})
        known = paper()["glue_score"]
        say(f"\nGLUE score on dev data: {score:.1f}" + (f" (without {', '.join(missing)})" if missing else "")
            + "; the paper's on test data: " + ", ".join(f"{known[size]} ({size})" for size in sizes))
    files = [file for path, summary in zip(outputs, summaries)
             for file in sorted((path / f"seed-{summary['best_seed']}" / "submission").glob("*.tsv"))]
    if files:
        archive = directory / "glue_submission.zip"
        lacking = submission.pack(files, archive)
        say(f"GLUE submission: {archive}" + (f", which lacks {', '.join(lacking)}" if lacking else ", complete"))
