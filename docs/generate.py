"""A hook of mkdocs: the pages of docs/reference, generated from the code when the site is built."""
from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MEANINGS = yaml.safe_load((ROOT / "docs" / "keys.yaml").read_text("utf-8"))


def commands() -> str:
    """Return the page with every command's help."""
    from ernie import cli
    parts = ["# Commands\n\nGenerated from `--help`.\n\n## ernie\n", _block(cli.overview())]
    for launcher in ("pretrain", "finetune"):
        text = subprocess.run(["bash", str(ROOT / f"run_{launcher}.sh"), "--help"], capture_output=True, text=True,
                              check=True).stdout
        parts += [f"## ernie launch {launcher}\n", _block(text)]
    for name in cli.COMMANDS:
        if cli._exists(name):
            parts += [f"## ernie {name}\n", _block(cli.parser_of(name).format_help())]
    return "\n".join(parts).replace(str(ROOT) + "/", "")


def configuration() -> str:
    """Return the page with every key of curricula, models and recipes."""
    from ernie.finetuning.recipe import Recipe
    from ernie.model.config import ErnieConfig
    from ernie.pretraining import curriculum
    from ernie.training.settings import LossScaling, LossSpike, OptimizerSettings
    from reader.finetune.splits import SplitReader
    sections = {"Curriculum": curriculum.Curriculum, "TaskEntry (curriculum: tasks)": curriculum.TaskEntry,
                "CorpusSource (curriculum: corpora, pairs)": curriculum.CorpusSource,
                "StageEntry (curriculum: stages)": curriculum.StageEntry,
                "Convergence (curriculum: until_converged)": curriculum.Convergence,
                "OptimizerSettings (curriculum: optimizer)": OptimizerSettings,
                "LossScaling (curriculum and recipe: loss_scaling)": LossScaling,
                "LossSpike (curriculum and recipe: loss_spike)": LossSpike,
                "ErnieConfig (model files)": ErnieConfig, "Recipe (fine-tuning)": Recipe,
                "SplitReader (recipe: reader)": SplitReader}
    parts = ["# Configuration\n\nGenerated from the dataclasses. Any key is overridden with `--set key=value`, keys "
             "inside others dotted:\n`--set optimizer.learning_rate=1e-4`. Times are seconds, lengths tokens.\n"]
    for title, cls in sections.items():
        parts.append(f"## {title}\n\n{(inspect.getdoc(cls) or '').splitlines()[0]}\n")
        rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
        rows += [f"| `{name}` | {kind} | {default} | {meaning} |" for name, kind, default, meaning in keys(cls)]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def keys(cls: type) -> list[tuple[str, str, str, str]]:
    """Return (key, type, default, meaning) of the fields of a dataclass."""
    source = inspect.getsource(cls)
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(typing.cast(typing.Any, cls)):
        comment = re.search(rf"^    {field.name}: .*?  # (.+)$", source, re.M)
        if field.default is not dataclasses.MISSING:
            default = f"`{field.default!r}`"
        elif field.default_factory is not dataclasses.MISSING:
            default = "empty" if field.default_factory in (dict, list) else "its own defaults"
        else:
            default = "required"
        meaning = comment.group(1) if comment else MEANINGS.get(field.name, "")
        found.append((field.name, _type(hints[field.name]), default, meaning.replace("|", "\\|")))
    return found


def _type(hint: typing.Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    text = re.sub(r"Optional\[(.*)\]", r"\1 or null", re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text))
    return text.replace("NoneType", "null").replace("|", "or")


def api() -> str:
    """Return the page with the functions and classes meant to be used from Python."""
    import ernie
    from ernie import api as functions
    from ernie.utils.paddle_setup import import_paddle
    import_paddle(tell=False)
    from ernie.serving.model import Candidate, Model
    from ernie.training.metrics import TaskMetrics
    from reader.utils.errors import InputError
    parts = ["# API\n\nGenerated from the docstrings; [From Python](../python.md) shows it in use.\n"]
    for name, function in (("ernie.load", ernie.load), ("ernie.pretrain", functions.pretrain),
                           ("ernie.finetune", functions.finetune)):
        parts.append(_entry("##", f"{name}{_signature(function)}", function))
    for cls in (Model, Candidate, functions.PretrainingResult, functions.FinetuningResult, TaskMetrics, InputError):
        parts.append(_entry("##", cls.__name__, cls))
        for name, member in vars(cls).items():
            if not name.startswith("_") and inspect.getdoc(member) and (inspect.isfunction(member)
                                                                       or isinstance(member, property)):
                shown = f"{cls.__name__}.{name}" + (_signature(member) if inspect.isfunction(member) else "")
                parts.append(_entry("###", shown, member))
    return "\n".join(parts)


def _entry(level: str, title: str, thing: object) -> str:
    return f"{level} {title.partition('(')[0]}\n\n{_block(title)}\n{_block(inspect.getdoc(thing) or '')}"


def _signature(function: typing.Callable) -> str:
    text = str(inspect.signature(function)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```\n"


PAGES = {"reference/commands.md": commands, "reference/configuration.md": configuration, "reference/api.md": api}


def on_files(files, config):  # noqa: ANN001, ANN201  (mkdocs calls it)
    """Add the generated pages to the site."""
    from mkdocs.structure.files import File
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Show the title of a fenced block, which this Markdown does not know, as a line above it."""
    return re.sub(r'^```([a-z]+) title="([^"]+)"$', r"`\2`\n\n```\1", markdown, flags=re.M)
