"""The head of a fine-tuned model: what every family calls it, and how its labels travel."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ernie.checkpoints.formats.names import Name
from ernie.model.config import read_json
from reader.finetune.tagged import label_map
from reader.utils.errors import InputError
from reader.utils.text import counted

DESCRIPTION = "finetuned.json"  # of this project
TOKENIZER = "tokenizer_config.json"  # of transformers and PaddleNLP; every family has it beside vocab.txt here
LABELS = "label_map.json"  # where the programs of 2019 look for the names of the classes


@dataclass(frozen=True)
class HeadForm:
    """One architecture with a head.

    Attributes:
        kinds: ours, see ``tasks.finetune``, that it serves. suffix: of the peers' class. huggingface, paddlenlp: the
            layer. static: its weight and bias in the 2019 release.
    """

    kinds: tuple[str, ...]
    suffix: str
    huggingface: str
    paddlenlp: str
    static: tuple[str, str]

    def stored(self, family: str) -> tuple[str, str]:
        """Return the names of weight and bias in a family."""
        if family == "static":
            return self.static
        layer = self.huggingface if family == "huggingface" else self.paddlenlp
        return f"{layer}.weight", f"{layer}.bias"


FORMS = (
    HeadForm(("classification", "ranking", "regression", "multi_label"), "ForSequenceClassification", "classifier",
             "classifier", ("cls_out_w", "cls_out_b")),
    HeadForm(("sequence_labelling",), "ForTokenClassification", "classifier", "classifier",
             ("cls_seq_label_out_w", "cls_seq_label_out_b")),
    HeadForm(("reading_comprehension",), "ForQuestionAnswering", "qa_outputs", "classifier",
             ("cls_mrc_out_w", "cls_mrc_out_b")),
    HeadForm(("multiple_choice",), "ForMultipleChoice", "classifier", "classifier", ("cls_out_w", "cls_out_b")),
)
PROBLEMS = {"regression": "regression", "multi_label": "multi_label_classification",
            "classification": "single_label_classification", "ranking": "single_label_classification"}


@dataclass
class FinetunedHead:
    """The head of a checkpoint: our kind of task, and the names of its classes where they are known.

    Attributes:
        max_length: tokens at which inputs are cut, where they are; 0: not known. task_id: of the task embedding that is
            added; -1: what is said is no number. description: text of this project's file about it, where there is one.
    """

    kind: str
    labels: list[str]
    max_length: int = 0
    task_id: int = 0
    description: str = ""

    @property
    def form(self) -> Optional[HeadForm]:
        """Its architecture; None for a kind that no other family has."""
        return next((form for form in FORMS if self.kind in form.kinds), None)

    def names(self, family: str) -> dict[str, Name]:
        """Return {stored name: our name}."""
        if self.form is None:
            return {}
        weight, bias = self.form.stored(family)
        return {weight: Name(f"heads.{self.kind}.weight", family == "huggingface"),
                bias: Name(f"heads.{self.kind}.bias")}

    def config(self) -> dict[str, Any]:
        """Return the entries that describe the head in a peer's config.json."""
        values: dict[str, Any] = {}
        if self.labels:  # of multiple choice as well, though its head gives one number
            values = {"id2label": {str(at): label for at, label in enumerate(self.labels)},
                      "label2id": {label: at for at, label in enumerate(self.labels)}}
        elif self.kind == "regression":
            values = {"id2label": {"0": "score"}, "label2id": {"score": 0}}
        if self.kind in PROBLEMS:
            values["problem_type"] = PROBLEMS[self.kind]
        return values

    def describe(self, texts: dict[str, Any], family: str) -> None:
        """Put what the head is and how it reads texts into the files of a family, file name -> content."""
        if family == "own":
            texts.update({DESCRIPTION: self.description} if self.description else {})
            return
        if self.form is None:
            return
        config = texts["config.json" if "config.json" in texts else "ernie_config.json"]
        config.update(self.config(), architectures=["Ernie" + self.form.suffix])
        if family in ("paddlenlp", "static"):  # huggingface adds the first one always, dygraph has none
            config["task_id"] = self.task_id
        if family in ("static", "dygraph") and self.labels:
            texts[LABELS] = {label: at for at, label in enumerate(self.labels)}
        if self.max_length:  # where the answers were trained to cut a text
            texts[TOKENIZER]["model_max_length"] = self.max_length


def own_head(directory: Path) -> Optional[FinetunedHead]:
    """Read the head from this project's description beside a model; None without one. Raises InputError."""
    file = directory / DESCRIPTION
    if not file.is_file():
        return None
    try:
        text = file.read_text("utf-8")
        described = json.loads(text)
        recipe = described["recipe"]
        return FinetunedHead(str(recipe["kind"]), [str(name) for name in described["classes"]],
                             int(recipe.get("max_length", 0)), int(recipe.get("task_id", 0)), text)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot be read ({error})", file) from None


def foreign_head(family: str, stored: Mapping[str, Any], values: Mapping[str, Any],
                 directory: Path) -> Optional[FinetunedHead]:
    """Find the head among the arrays of another family; return None without one.

    Args:
        stored: name -> array. values: the configuration. directory: what lies beside the weights.
    Raises:
        InputError: a ``label_map.json`` is there that is no map of labels to numbers, or is another head's.
    """
    forms = [form for form in FORMS if form.stored(family)[0] in stored]
    if not forms:
        return None
    named = [str(values.get("init_class", "")), *(str(name) for name in _list(values.get("architectures")))]
    form = next((form for form in forms if any(name.endswith(form.suffix) for name in named)), forms[0])
    array = stored[form.stored(family)[0]]
    width = int(array.shape[0 if family == "huggingface" else -1]) if getattr(array, "ndim", 0) == 2 else 0
    kind = form.kinds[0]
    if kind == "classification":
        problem = values.get("problem_type")
        kind = "multi_label" if problem == "multi_label_classification" else \
            "regression" if problem == "regression" or width == 1 else kind
    labels = values.get("id2label")
    names = [str(labels[key]) for key in sorted(labels, key=int)] if isinstance(labels, dict) and all(
        str(key).isdigit() for key in labels) else []
    if kind == "multiple_choice":
        names = [] if all(name.startswith("LABEL_") for name in names) else names
    elif kind in ("regression", "reading_comprehension"):
        names = []
    elif len(names) != width:
        names = [str(number) for number in range(width)]
    if kind not in ("regression", "reading_comprehension"):
        names = _label_map(directory, 0 if kind == "multiple_choice" else width) or names
    task_id = 0 if family == "huggingface" else values.get("task_id", 0)  # transformers never asks for another
    return FinetunedHead(kind, names, _longest(directory, values), task_id if type(task_id) is int else -1)


def _label_map(directory: Path, width: int) -> list[str]:
    """The names in a ``label_map.json`` by their numbers; none where there is no such file.

    Args:
        width: classes of the head; 0: any number.
    """
    file = directory / LABELS
    if not file.is_file():
        return []
    names = [str(name) for name in label_map(file, tags=False).names]
    if width and len(names) != width:
        raise InputError(f"names {counted(len(names), 'class')}, the head of the weights beside it has {width}", file)
    return names


def _longest(directory: Path, values: Mapping[str, Any]) -> int:
    """The length at which the tokenizer cuts a text; 0 where it says none, or one that the model does not have."""
    try:
        length = read_json(directory / TOKENIZER)["model_max_length"]
        positions = int(values["max_position_embeddings"])
    except (InputError, KeyError, TypeError, ValueError):
        return 0
    return length if type(length) is int and 2 < length <= positions else 0


def _list(value: Any) -> Iterable:
    return value if isinstance(value, list) else []
