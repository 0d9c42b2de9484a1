"""Fine-tuned models of other families: the recipe that a head and its configuration imply."""
from __future__ import annotations

from collections.abc import Iterable

from ernie.checkpoints.formats import Pretrained
from ernie.checkpoints.formats.finetuned import FinetunedHead
from ernie.finetuning.recipe import DIRECTORY, Recipe, from_dict
from ernie.utils.config_io import override, read_yaml
from reader.utils.errors import InputError
from tasks import finetune

# columns in which such a model's rows may come; `--set reader.columns=...` names others
COLUMNS = [{"text": ["text_a", "text_b"]}, {"text": ["sentence1", "sentence2"]}, {"text": ["premise", "hypothesis"]},
           {"text": ["question1", "question2"]}, {"text": ["question", "sentence"]}, {"text": ["text_a"]},
           {"text": ["sentence"]}, {"text": ["text"]}]
CHOICES = [{"text": "question", "choices": "choices"}, {"text": "text", "choices": "choices"}]
LAYOUTS = {"sequence_labelling": "tagged", "reading_comprehension": "questions"}


def described(pretrained: Pretrained, assignments: Iterable[str] = ()) -> tuple[Recipe, list[str]]:
    """Return (recipe, names of the classes) of a checkpoint with a head.

    Args:
        assignments: ``key=value``, over what is implied; ``reader.classes=[...]`` names the classes.
    Raises:
        InputError: it has no head, or labels that the kind cannot have.
    """
    top = pretrained.top
    if top is None or top.form is None:
        raise InputError("the weights have no head of a fine-tuned model", pretrained.path)
    mapping = override({**read_yaml(DIRECTORY / "suites.yaml")["glue"], "task": "model", "suite": "glue",
                        "kind": top.kind, "metrics": [finetune.metrics_of(top.kind)[0]],
                        "max_length": min(512, pretrained.config.max_position_embeddings, top.max_length or 512),
                        "lower_case": pretrained.lower_case, "task_id": _task_id(pretrained, top),
                        "reader": {"layout": LAYOUTS.get(top.kind, "table"), "classes": _classes(top),
                                   **({} if top.kind in LAYOUTS else {
                                       "columns": CHOICES if top.kind == "multiple_choice" else COLUMNS}),
                                   **({"label_separator": ","} if top.kind == "multi_label" else {})}}, assignments)
    try:
        recipe = from_dict(mapping, str(pretrained.path))
    except InputError as error:
        raise InputError(f"{error.reason} (name the classes with --set 'reader.classes=[...]')", pretrained.path) \
            from None
    return recipe, list(recipe.reader.classes)


def _task_id(pretrained: Pretrained, top: FinetunedHead) -> int:
    """The task embedding that the model was trained with; 0 where it has none."""
    config = pretrained.config
    if not config.use_task_id:
        return 0
    if not 0 <= top.task_id < config.task_type_vocab_size:
        raise InputError(f"task_id of its configuration is not one of the model's {config.task_type_vocab_size} task "
                         "embeddings", pretrained.path)
    return top.task_id


def _classes(top: FinetunedHead) -> list[str]:
    if top.kind == "multiple_choice":
        return top.labels or [str(number) for number in range(10)]
    return top.labels
