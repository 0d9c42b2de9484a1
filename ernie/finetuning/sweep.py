"""One training for every combination of some settings, and the table of their dev figures."""
from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ernie.finetuning import recipe as recipes
from ernie.finetuning import run as finetuning
from ernie.finetuning.summary import dev_mean
from ernie.utils.overrides import idle
from reader.utils.errors import InputError
from reader.utils.files import write_json


def combinations(sweeps: Iterable[str]) -> list[list[str]]:
    """Return every combination of the values of ``KEY=V1,V2`` declarations, as ``KEY=V`` assignments.

    Raises:
        InputError: a declaration is not of that form, or a key stands twice.
    """
    axes: dict[str, list[str]] = {}
    for text in sweeps:
        key, sign, values = text.partition("=")
        found = [value for value in values.split(",") if value.strip()]
        if not key or not sign or not found:
            raise InputError(f"--sweep {text!r}: expected KEY=V1,V2, for example learning_rate=2e-5,3e-5")
        if key in axes:
            raise InputError(f"--sweep {key} stands twice")
        axes[key] = [f"{key}={value.strip()}" for value in found]
    return [list(chosen) for chosen in itertools.product(*axes.values())]


def sweep(task: str, size: str, assignments: Iterable[str], sweeps: Collection[str], data: str | Path,
          output: str | Path, runs: int, start: dict[str, Any], say: Callable[[str], None] = print) -> int:
    """Train with every combination below ``output``, in folders named by it. Returns the exit code.

    Args:
        task, size, assignments: of the recipe. runs: seeds of every combination. start: see ``run.train``.
    """
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise InputError("--sweep is for one process; on several devices start each setting by itself with --set")
    assignments, chosen = list(assignments), combinations(sweeps)
    for line in idle(assignments, {text.partition("=")[0]: f"--sweep {text} takes its place" for text in sweeps}):
        say(f"note: {line}")
    loaded = [recipes.load(task, size, [*assignments, *settings]) for settings in chosen]  # all mistakes before any run
    found: list = []
    for settings, recipe in zip(chosen, loaded):
        name = ",".join(settings).replace("/", "_")
        say(f"\nsweep {len(found) + 1} of {len(chosen)}: {', '.join(settings)}")
        if recipe.copy_checkpoints_to:  # an output of its own there, too
            recipe.copy_checkpoints_to = str(Path(recipe.copy_checkpoints_to) / name)
        code = finetuning.train(recipe, data, Path(output) / name, runs, **start)
        if code:
            return code
        found.append((settings, json.loads((Path(output) / name / "result.json").read_text("utf-8"))))
    write_json(Path(output) / "sweep.json", [{"settings": settings, "dev": dev_mean(summary)}
                                             for settings, summary in found])
    say("\n" + table(found))
    return 0


def table(found: list[tuple[list[str], dict]]) -> str:
    """Format the settings by the mean over all dev metrics, the best first: the figure that the last column shows.

    The figure of a metric is the recipe's median or mean over the seeds; the spread is that of the seeds' own means.
    """
    rows = []
    for settings, summary in found:
        metrics, merit = summary["metrics"], dev_mean(summary)
        splits = [figures for split, figures in summary["figures"].items() if split.startswith("dev")]
        each = [f"{100 * mean(figures[metric]['value'] for figures in splits):.1f}" if splits else "-"
                for metric in metrics]
        seeds = [mean(run) for run in zip(*(figures[metric]["values"] for figures in splits for metric in metrics))]
        spread = f" ± {100 * stdev(seeds):.1f}" if len(seeds) > 1 else ""
        rows.append((-1e9 if merit is None else merit,
                     [" ".join(settings), *each, "-" if merit is None else f"{100 * merit:.1f}{spread}"]))
    rows.sort(key=lambda row: -row[0])
    lines = [["setting", *found[0][1]["metrics"], "mean on dev"], *(cells for _, cells in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
