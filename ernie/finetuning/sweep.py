"""One training for every combination of some settings, and the table of their dev figures."""
from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ernie.finetuning import recipe as recipes
from ernie.finetuning import run as finetuning
from ernie.finetuning.summary import dev_mean
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


def sweep(task: str, size: str, assignments: Iterable[str], sweeps: Iterable[str], data: str | Path,
          output: str | Path, runs: int, start: dict[str, Any], say: Callable[[str], None] = print) -> int:
    """Train with every combination below ``output``, in folders named by it. Returns the exit code.

    Args:
        task, size, assignments: of the recipe. runs: seeds of every combination. start: see ``run.train``.
    """
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise InputError("--sweep is for one process; on several devices start each setting by itself with --set")
    chosen = combinations(sweeps)
    loaded = [recipes.load(task, size, [*assignments, *settings]) for settings in chosen]  # all mistakes before any run
    found: list = []
    for settings, recipe in zip(chosen, loaded):
        name = ",".join(settings).replace("/", "_")
        say(f"\nsweep {len(found) + 1} of {len(chosen)}: {', '.join(settings)}")
        code = finetuning.train(recipe, data, Path(output) / name, runs, **start)
        if code:
            return code
        found.append((settings, json.loads((Path(output) / name / "result.json").read_text("utf-8"))))
    write_json(Path(output) / "sweep.json", [{"settings": settings, "dev": dev_mean(summary)}
                                             for settings, summary in found])
    say("\n" + table(found))
    return 0


def table(found: list[tuple[list[str], dict]]) -> str:
    """Format the settings by the mean of their dev metrics, the best first, with the spread over seeds."""
    rows = []
    for settings, summary in found:
        figures = summary["figures"].get("dev", {})
        runs = list(zip(*(figures[metric]["values"] for metric in summary["metrics"]))) if figures else []
        values = [mean(run) for run in runs]
        spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
        each = [f"{100 * figures[metric]['value']:.1f}" if figures else "-" for metric in summary["metrics"]]
        rows.append((dev_mean(summary) or 0.0, [" ".join(settings), *each, f"{100 * mean(values):.1f}{spread}"
                                                if values else "-"]))
    rows.sort(key=lambda row: -row[0])
    lines = [["setting", *found[0][1]["metrics"], "mean on dev"], *(cells for _, cells in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
