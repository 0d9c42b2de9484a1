"""A fine-tuned model as it lies on disk, and what it says about rows."""
from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints.formats import Pretrained
from ernie.checkpoints.formats.finetuned import DESCRIPTION
from ernie.finetuning.foreign import described
from ernie.finetuning.recipe import ANSWERING, Recipe, from_dict, idle_beside, make_classes, make_kind
from ernie.finetuning.summary import TOGETHER, best_run, read_record
from ernie.model.config import ErnieConfig
from ernie.model.exported import ExportedScores, is_exported
from ernie.utils.config_io import override
from ernie.utils.console import LOG
from ernie.utils.resources import locate_checkpoint
from reader.finetune.labels import Classes
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.files import present
from tasks.finetune.batches import answer_batches, make_batch
from tasks.finetune.features import Features
from tasks.finetune.kind import Kind


def find_model(path: str | Path) -> Path | None:
    """Find the model in a fine-tuning output: of a run of several seeds the best on dev data. None: it is something
    else."""
    path = locate_checkpoint(path)
    if (path / DESCRIPTION).is_file():
        return path
    best = present(path / "best")
    if (best / DESCRIPTION).is_file():
        return best
    result = path / "result.json"
    if result.is_file():
        return find_model(path / best_run(read_record(result)))
    return None


def find_foreign(path: str | Path, say: Callable[[str], Any] = LOG.info) -> Pretrained | None:
    """Read the fine-tuned model of another family in ``path``; None where there is none of them.

    Args:
        say: called with the reason where there is a head whose answers nobody could read.
    """
    from ernie.checkpoints.warm_start import read_pretrained
    if find_model(path) or is_exported(locate_checkpoint(path)):
        return None
    found = read_pretrained(find_weights(path))
    if found.top is None or found.family == "own":
        return None
    try:
        described(found)
    except InputError as error:
        say(f"its head is passed over: {error}")
        return None
    return found


def find_weights(path: str | Path) -> Path:
    """Find what training starts from in ``path``: the model of a fine-tuning output, the encoder of a joint one, or
    ``path`` itself."""
    path, found = locate_checkpoint(path), find_model(path)
    if found is None and (path / TOGETHER).is_file():
        joint = path / best_run(_result(path)) / "best"
        found = joint if joint.is_dir() else None
    return found or path


def _result(path: Path) -> dict[str, Any]:
    """The figures of a joint run; InputError while there are none."""
    try:
        return read_record(path / "result.json")
    except InputError:
        raise InputError("joint training has not finished here (no result.json)", path) from None


def describe(recipe: Recipe, classes: Any) -> str:
    """Return the content of ``finetuned.json``: all that is needed beside weights, configuration and vocabulary."""
    values = recipe.to_dict()
    if isinstance(classes, Classes):  # those of label_map.json as well
        values["reader"]["aliases"] = {**values["reader"]["aliases"], **classes.aliases}
    return json.dumps({"recipe": values, "classes": list(classes.names)}, indent=1, ensure_ascii=False) + "\n"


def adopt(found: Pretrained) -> list[str]:
    """Describe a fine-tuned model of another family as ours are, before it is written as one. Returns notes."""
    if found.top is None or found.top.description:
        return []
    try:
        recipe, names = described(found)
        found.top.description = describe(recipe, make_classes(recipe, names))
    except InputError as error:
        return [f"no {DESCRIPTION} was written, so that it is a checkpoint without a task: {error.reason}"]
    return []


class Predictor:
    """A fine-tuned model ready to answer.

    Args:
        path: an output of fine-tuning, a model in it, or a fine-tuned model of the 2019, dygraph, PaddleNLP or Hugging
            Face family with its vocabulary. assignments: ``key=value``, over the recipe it was trained by.
    Attributes:
        recipe, classes, kind, vocabulary (its file), tokenizer, path,
        model (``ernie.model.finetuning_model.FinetuningModel``).
    Raises:
        InputError: ``path`` holds no fine-tuned model.
    """

    def __init__(self, path: str | Path, assignments: Collection[str] = ()):
        from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
        from ernie.model.finetuning_model import FinetuningModel
        found = find_model(path)
        self.path: Path = found or locate_checkpoint(path)
        pretrained = None if found else _foreign(self.path)
        self.recipe, names = described(pretrained, assignments) if pretrained else _own(self.path, assignments)
        for line in idle_beside(assignments, ANSWERING, "the model is trained already"):
            LOG.info("note: %s", line)
        self.classes = make_classes(self.recipe, names)
        self.kind = make_kind(self.recipe, self.classes)
        vocabulary = pretrained.vocab if pretrained else self.path / "vocab.txt"
        if vocabulary is None:
            raise InputError("has no vocab.txt beside the weights", self.path)
        self.vocabulary = vocabulary
        self.tokenizer = Tokenizer.load(vocabulary, self.recipe.lower_case)
        self.model: FinetuningModel | ExportedScores
        if is_exported(self.path):
            self.config, self.model = ErnieConfig.load(self.path), ExportedScores(self.path, self.kind)
            return
        pretrained = pretrained or read_pretrained(self.path)
        self.config = pretrained.config
        model = self.model = FinetuningModel(self.config, self.kind)
        missing = load_pretrained(model, pretrained).missing
        if any(name.startswith("heads.") for name in missing):
            raise InputError(f"the weights have no head for {self.kind.name}", self.path)
        self.model.eval()

    def predict(self, rows: list) -> list:
        """Return one prediction for each row, see ``tasks.finetune``."""
        features = self.kind.features(rows, self.tokenizer, self.recipe.max_length)
        outputs, _ = run_model(self.model, self.kind, features, self.recipe, self.tokenizer.pad_id)
        return self.kind.decode(rows, features, outputs)


def _own(path: Path, assignments: Iterable[str]) -> tuple[Recipe, list[str]]:
    """(recipe, names of the classes) in this project's description of a model."""
    try:
        content = json.loads((path / DESCRIPTION).read_text("utf-8"))
        return from_dict(override(content["recipe"], assignments), str(path / DESCRIPTION)), list(content["classes"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be read ({error})", path / DESCRIPTION) from None


def _foreign(path: Path) -> Pretrained:
    """A fine-tuned model of another family; InputError where there is none."""
    from ernie.checkpoints.formats import read
    if (path / TOGETHER).is_file():
        raise InputError("is of several tasks; each has a model of its own: "
                         + ", ".join(str(path / "tasks" / name) for name in _result(path)["tasks"]), path)
    if (path / "finetune.json").is_file():
        best = next(iter(sorted(path.glob(f"*/best/{DESCRIPTION}"))), None)
        raise InputError("fine-tuning has not finished here (no result.json)" + (
            f"; the best weights of a training so far are {best.parent}" if best else ""), path)
    try:
        found = read(path)
    except InputError as error:
        raise InputError("no fine-tuned model here: expected an output of `ernie finetune`, or a fine-tuned model of "
                         f"another family ({error})", path) from None
    if found.top is None or found.family == "own":
        raise InputError(f"no fine-tuned model here: the weights have no head, or no {DESCRIPTION} lies beside them",
                         path)
    return found


def same_task(first: Predictor, second: Predictor) -> None:
    """Raise InputError unless two models answer the same question."""
    if first.kind.name != second.kind.name or first.classes.names != second.classes.names:
        def shown(model: Predictor) -> str:
            return model.kind.name + (f" into {', '.join(model.classes.names)}" if model.classes.names else "")
        raise InputError(f"does {shown(second)}, {first.path} does {shown(first)}", second.path)


def run_model(layer: Any, kind: Kind, features: Features, recipe: Recipe, pad_id: int, *, rank: int = 0, size: int = 1,
              gather: Callable[[Any], list] = lambda value: [value],
              autocast: Callable[[], Any] = contextlib.nullcontext,
              heartbeat: Callable[[], None] = lambda: None) -> tuple[list, float]:
    """Compute the model's scores of every part, and the mean loss over those with a label.

    Args:
        layer: a ``FinetuningModel``. rank, size, gather: the batches are shared out over the ranks.
    Returns:
        (list of float32 arrays, [outputs] or [tokens, outputs], in the order of the parts; loss).
    """
    import paddle

    from ernie.model.pretraining_model import to_tensors
    batches = answer_batches(features, kind, recipe.predict_batch_tokens)
    found, loss, count, training = {}, 0.0, 0.0, layer.training
    layer.eval()
    with paddle.no_grad(), autocast():
        for chosen in batches[rank::size]:
            heartbeat()
            batch = make_batch(features, kind, chosen, recipe.task_id, pad_id)
            tensors = to_tensors(batch)
            targets = tensors.pop("targets")[kind.name]
            scores = layer.outputs(**tensors)
            values = [float(value.item()) for value in layer.loss(scores, tensors["lengths"], *targets)]
            loss, count = loss + values[0], count + values[2]
            scores = scores.numpy()
            for at, part in enumerate(chosen.tolist()):
                found[part] = scores[at] if kind.level == "sequence" else scores[at, :batch.lengths[at]].copy()
    if training:
        layer.train()
    outputs = [None] * len(features)
    total = np.zeros(2)
    for share, sums in gather((found, (loss, count))):
        total += sums
        for part, values in share.items():
            outputs[part] = values
    return outputs, float(total[0] / max(1.0, total[1]))
