"""Training from Python: whole runs as functions, and what came out as objects."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ernie.finetuning.predictor import find_model
from ernie.finetuning.summary import read_summary
from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.forgetting import Measured, stage_metrics
from ernie.pretraining.run_directory import RunDirectory
from ernie.utils import launchers
from ernie.utils.config_io import build, read_yaml
from ernie.utils.paddle_setup import import_paddle, require_paddle
from ernie.utils.resources import locate_curriculum
from reader.utils.errors import InputError
from reader.utils.files import write_json

if TYPE_CHECKING:
    from ernie.serving.model import Model

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class PretrainingResult:
    """A finished pre-training run.

    Attributes:
        path: the run directory. checkpoint: of the last stage.
        metrics: (stage, task -> ``TaskMetrics`` on dev data) after every stage, in order.
    """

    path: Path
    checkpoint: Path
    metrics: Measured

    def model(self) -> Model:
        """Load the last checkpoint."""
        return _load(self.checkpoint)


@dataclass(frozen=True)
class FinetuningResult:
    """A finished fine-tuning run.

    Attributes:
        path: the output directory. best: the model that was best on dev data.
        metrics: split -> metric -> median or mean over the seeds, as the recipe says, as fractions of 1.
        values: split -> metric -> the figure of every seed.
        table: the same as text, beside the paper's figures.
    """

    path: Path
    best: Path
    metrics: dict[str, dict[str, float]]
    values: dict[str, dict[str, list[float]]]
    table: str

    def model(self) -> Model:
        """Load the best model."""
        return _load(self.best)


def pretrain(curriculum: Union[str, Path, Settings, Curriculum], output: Union[str, Path], *,
             corpus: Union[str, Path, None] = None, settings: Optional[Settings] = None,
             tasks_from: Sequence[Union[str, Path]] = (), devices: str = "", quiet: bool = False) -> PretrainingResult:
    """Pre-train all stages of a curriculum, as run_pretrain.sh does; a run that was interrupted goes on.

    >>> result = ernie.pretrain("demo_en", "output/demo")
    >>> result.metrics[-1][1]["capitalization"].accuracy

    Args:
        curriculum: a file, the name of a shipped one, its content, or a ``Curriculum``.
        output: the run directory.
        corpus: a store, or a directory with stores train and dev, instead of the curriculum's corpora.
        settings: keys of the curriculum to override, dotted: {"optimizer.learning_rate": 1e-4}.
        tasks_from: Python files with tasks of your own.
        devices: cards, or as many processes on a CPU, for example "0,1".
        quiet: print nothing.
    Raises:
        InputError: the curriculum, the data or an argument is wrong. RuntimeError: training failed.
    """
    require_paddle()
    output = Path(output)
    arguments = ["--config", str(_curriculum_file(curriculum, output)), "--output", str(output), *_set(settings)]
    arguments += ["--corpus", str(corpus)] if corpus else []
    arguments += ["--devices", devices] if devices else []
    for file in tasks_from:
        arguments += ["--tasks-from", str(file)]
    launchers.run("pretrain", arguments, quiet)
    return pretraining_result(output)


def finetune(recipe: Union[str, Path], data: Union[str, Path], output: Union[str, Path], *,
             init: Union[str, Path, None] = None, size: str = "base", runs: int = 1,
             model: Union[str, Path, None] = None, vocab: Union[str, Path, None] = None,
             settings: Optional[Settings] = None, devices: str = "", quiet: bool = False) -> FinetuningResult:
    """Fine-tune on a task, as run_finetune.sh does; a run that was interrupted goes on.

    >>> result = ernie.finetune("rte", "glue/RTE", "output/rte", init="output/demo", settings={"epochs": 1})
    >>> result.metrics["dev"]["accuracy"], result.model().predict([("A man eats.", "Somebody eats.")])

    Args:
        recipe: name of a shipped recipe, or the path of a yaml.
        data: directory with the task's files. output: where models, predictions and figures go.
        init: weights to start from, of any family; None: random.
        size: "base" or "large", which of the paper's settings. runs: with so many different seeds.
        model, vocab: without ``init``, configuration and vocabulary files of the random model.
        settings, devices, quiet: as in ``pretrain``.
    Raises:
        InputError: the recipe, the data or an argument is wrong. RuntimeError: training failed.
    """
    require_paddle()
    arguments = [str(recipe), "--data", str(data), "--output", str(output), "--size", size, "--runs", str(runs),
                 *_set(settings)]
    for flag, value in (("--init", init), ("--model", model), ("--vocab", vocab)):
        arguments += [flag, str(value)] if value else []
    arguments += ["--devices", devices] if devices else []
    launchers.run("finetune", arguments, quiet)
    return finetuning_result(output)


def pretraining_result(run: Union[str, Path]) -> PretrainingResult:
    """Read what a finished pre-training run has left in its directory."""
    directory = RunDirectory(run)
    record = directory.recorded()
    if record is None:
        raise InputError("holds no pre-training run", run)
    number = len(record["stages"])
    done = directory.done(number)
    if done is None:
        raise InputError(f"stage {number} is not finished", run)
    stages = directory.stages(build(Curriculum, record["curriculum"], str(directory.file)))
    return PretrainingResult(Path(run), directory.stage_path(number) / done["checkpoint"],
                             stage_metrics(directory, stages))


def finetuning_result(output: Union[str, Path]) -> FinetuningResult:
    """Read what a finished fine-tuning run has left in its directory."""
    file, best = Path(output) / "result.json", find_model(output)
    if not file.is_file() or best is None:
        raise InputError("holds no finished fine-tuning run", output)
    summary = read_summary(file)
    figures = summary["figures"]
    return FinetuningResult(
        Path(output), best,
        {split: {name: found["value"] for name, found in metrics.items()} for split, metrics in figures.items()},
        {split: {name: found["values"] for name, found in metrics.items()} for split, metrics in figures.items()},
        str(summary.get("text", "")))


def _load(path: Path) -> Model:
    import_paddle(tell=False)
    from ernie.serving.model import Model
    return Model(path)


def _curriculum_file(curriculum: Union[str, Path, Settings, Curriculum], output: Path) -> Path:
    if isinstance(curriculum, (str, Path)):
        return locate_curriculum(curriculum)
    content = curriculum.to_dict() if isinstance(curriculum, Curriculum) else dict(curriculum)
    file = output / "curriculum.yaml"
    if file.exists() and read_yaml(file) == json.loads(json.dumps(content)):
        return file
    output.mkdir(parents=True, exist_ok=True)
    write_json(file, content)  # json is yaml
    return file


def _set(settings: Optional[Settings]) -> list[str]:
    return [word for key, value in (settings or {}).items() for word in ("--set", f"{key}={json.dumps(value)}")]
