"""Model cards: what a written model was trained on, how good it is, and how to load it. No paddle."""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Optional

from ernie.checkpoints.formats.finetuned import DESCRIPTION, FinetunedHead
from ernie.finetuning.predictor import find_model
from ernie.pretraining.forgetting import ForgettingMatrix, read_dev
from ernie.pretraining.run_directory import RunDirectory
from reader.store.store import Store, read_manifest
from reader.utils.errors import InputError
from reader.utils.files import atomic_write
from reader.utils.text import counted

NAME = "README.md"
THEIRS = "README.source.md"
OPENING = "---\ntags: [ernie"


def write_card(output: str | Path) -> Path | None:
    """Write the card of a finished pre-training or fine-tuning run into its directory; None where there is neither.

    Files that are there already and are no card of ours stay.
    """
    path = Path(output)
    text = pretraining_card(path) if (path / "run.json").is_file() else \
        finetuning_card(path) if (path / "result.json").is_file() else None
    file = path / NAME
    if text is None or (file.exists() and not file.read_text("utf-8", errors="replace").startswith(OPENING)):
        return None
    with atomic_write(file) as opened:
        opened.write(text)
    return file


def pretraining_card(run: Path) -> str:
    """Return the card of a pre-training run, with the metrics of the stages that are finished."""
    record = RunDirectory(run).recorded() or {}
    curriculum, model = record["curriculum"], record["model"]
    measured = []
    for stage in record["stages"]:
        found = read_dev(run / f"stage-{stage['number']}" / "dev.json")
        if found is not None:
            measured.append((stage["number"], found))
    table = ForgettingMatrix(measured, _vocabulary(curriculum) or model["vocab_size"]).table() if measured else \
        "no stage has been measured"
    steps = sum(sum(stage["budgets"].values()) for stage in record["stages"])
    language = _language(curriculum)
    cased = "" if _manifest(curriculum).get("lower_case", True) else " of texts with capitals"
    optimizer = curriculum["optimizer"]
    return _card(
        ["ernie", "pretraining"], language, f"{curriculum['name']}: ERNIE 2.0, pre-trained",
        f"A {model['encoder']} of {counted(model['num_hidden_layers'], 'layer')} of {model['hidden_size']}, vocabulary "
        f"{model['vocab_size']:,}{cased}, trained from {curriculum.get('init') or 'random weights'} by "
        f"{curriculum['method']} on {counted(len(curriculum['tasks']), 'task')} in "
        f"{counted(len(record['stages']), 'stage')}: {counted(steps, 'step')} of {curriculum['batch_tokens']:,} "
        f"tokens, peak learning rate {optimizer['learning_rate']:g}, seed {curriculum['seed']}.",
        "## Trained on\n\n" + "\n".join(_sources(curriculum)),
        f"## Dev metrics after each stage\n\n```text\n{table}\n```\n\nFigures that are not above the best shallow "
        "baseline say that a task was not learnt.", path=run)


def finetuning_card(output: Path) -> str:
    """Return the card of a fine-tuning run."""
    result = json.loads((output / "result.json").read_text("utf-8"))
    model = find_model(output)
    if model is None:
        raise InputError("holds no fine-tuned model", output)
    recipe = json.loads((model / DESCRIPTION).read_text("utf-8"))["recipe"]
    started = json.loads((output / "finetune.json").read_text("utf-8")) if (output / "finetune.json").is_file() else {}
    return _card(
        ["ernie", recipe["kind"].replace("_", "-")], "en" if recipe["suite"] == "glue" else "zh",
        f"{recipe['task']}: ERNIE 2.0, fine-tuned",
        f"Fine-tuned on {recipe['task']} ({recipe['kind'].replace('_', ' ')}) from "
        f"{started.get('init') or 'random weights'}: {counted(recipe['epochs'], 'epoch')}, batches of "
        f"{recipe['batch_size']} {recipe['batch_unit']}, learning rate {recipe['learning_rate']:g}, "
        f"{counted(result['runs'], 'seed')}, of which this is the best on dev data."
        + ("" if recipe.get("lower_case", True) else " Texts are read with their capitals."),
        f"## Figures\n\n```text\n{result['text']}\n```\n\nThe column paper holds what the paper reports for its own "
        "checkpoint.", path=model, use=f"model.predict([{_input(recipe['reader'])}])",
        head=FinetunedHead(recipe["kind"], []))


def copy_card(source: Path, target: str | Path, family: str) -> None:
    """Put the card of a converted model beside it: ours as it is, another's under another name.

    In the place of another's stands a card that says that nothing was trained here, with its licence and language.

    Args:
        source, target: the directories of the model. family: of ``target``.
    """
    card, new = source / NAME, Path(target) / NAME
    if not card.is_file() or new.exists():
        return
    text = card.read_text("utf-8", errors="replace")
    if text.startswith(OPENING):
        shutil.copyfile(card, new)
        return
    shutil.copyfile(card, new.with_name(THEIRS))
    head = text.split("\n---", 1)[0].splitlines() if text.startswith("---\n") else []
    kept = "".join(f"{line}\n" for line in head if line.startswith(("license", "language:")) and line[-1] != ":")
    with atomic_write(new) as opened:
        opened.write(f"""---
tags: [converted]
{kept}---
# {source.name}, converted

The weights of `{source.name}` in the form of the {family} family, written by `ernie convert`. Nothing was trained. Who
made the model, from what and under which terms is said by the card of its source, [{THEIRS}]({THEIRS}); programs in it
read the model as it was before.
""")


def _input(reader: dict[str, Any]) -> str:
    """Write down, as Python, one input of ``predict`` in the form that a recipe's reader takes."""
    if reader["layout"] == "questions":
        return '("a question", "a passage")'
    first = reader["columns"][0] if reader["columns"] else {}
    texts = first.get("text", "")
    parts = ['"a text"'] if isinstance(texts, str) or len(texts) == 1 else ['"a text"', '"another text"']
    if first.get("choices"):
        parts.append('["one choice", "another choice"]')
    return f"({', '.join(parts)})" if len(parts) > 1 else parts[0]


def _card(tags: list[str], language: str, title: str, *parts: str, path: Path,
          use: str = 'model.encode(["A sentence."])', head: Optional[FinetunedHead] = None) -> str:
    suffix = head.form.suffix if head and head.form else ""  # of the classes of others that have the head as well
    theirs = f"AutoModel{suffix}", f"Ernie{suffix or 'Model'}"
    opening = f"---\ntags: [{', '.join(tags)}]\nlanguage: {language}\nlibrary_name: paddlepaddle\n---\n# {title}\n"
    loading = f"""## Loading it

```python
import ernie
model = ernie.load("{path}")
{use}
```

For transformers: `ernie convert {path} DIR --to huggingface`, then
`transformers.{theirs[0]}.from_pretrained("DIR")`. For PaddleNLP: `ernie convert {path} DIR --to paddlenlp`, then
`paddlenlp.transformers.{theirs[1]}.from_pretrained("DIR")`.
"""
    return "\n\n".join([opening.rstrip("\n"), *parts, loading])


def _sources(curriculum: dict[str, Any]) -> list[str]:
    lines = []
    for name, source in {**curriculum["corpora"], **curriculum["pairs"]}.items():
        weight = "" if source["weight"] is None else f", weight {source['weight']:g}"
        try:
            store = Store(Path(source["path"]))
            lines.append(f"- {name}: {counted(len(store.documents) - 1, 'document')}, {len(store.ids):,} tokens "
                         f"({store.language}){weight}")
        except InputError:  # moved away since
            lines.append(f"- {name}: {source['path']}{weight}")
    return lines


def _manifest(curriculum: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of the first store that is still there."""
    for source in curriculum["corpora"].values():
        try:
            return read_manifest(Path(source["path"]))
        except InputError:
            continue
    return {}


def _language(curriculum: dict[str, Any]) -> str:
    return str(_manifest(curriculum).get("language", "en"))


def _vocabulary(curriculum: dict[str, Any]) -> int:
    return int(_manifest(curriculum).get("vocab_size", 0))
