"""ERNIE 2.0: model and engine. The only package that imports paddle (and not before something needs it)."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ernie.utils.neighbours import check_neighbours

try:
    check_neighbours()  # before anything of ours is imported from a stranger
except ImportError as error:
    if Path(sys.argv[0] if sys.argv else "").name != "ernie":
        raise
    print(error, file=sys.stderr)  # the command: a line, not a traceback
    raise SystemExit(2) from None

from ernie.utils.paddle_setup import import_paddle, tune_this_process  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ernie.api import FinetuningResult, PretrainingResult, Settings
    from ernie.pretraining.curriculum import Curriculum
    from ernie.serving.model import Model

__version__ = "0.2.0"
__all__ = ["__version__", "finetune", "load", "pretrain"]

tune_this_process()


def load(path: str | Path, max_length: int = 512, task_id: int | None = None) -> Model:
    """Load a checkpoint of any family, a run, an output of fine-tuning or an export; see ``ernie.serving.model.Model``.

    >>> model = ernie.load("output/demo")
    >>> model.encode(["A sentence.", "Another one."])  # [2, hidden size]
    >>> model.fill_mask("Paris is the [MASK] of France.")

    Args:
        max_length: tokens of a text that are read. task_id: whose embedding is added, where the model has them; by
            default that which a fine-tuned model was trained with, or else number 0.
    Raises:
        InputError: there is no checkpoint at ``path`` or it is damaged. MissingPaddle: Paddle is not installed.
    """
    import_paddle(tell=False)
    from ernie.serving.model import Model
    return Model(path, max_length, task_id)


def pretrain(curriculum: str | Path | Settings | Curriculum, output: str | Path, *, corpus: str | Path | None = None,
             settings: Settings | None = None, tasks_from: Sequence[str | Path] = (), devices: str = "",
             quiet: bool = False) -> PretrainingResult:
    """Pre-train all stages of a curriculum; see ``ernie.api.pretrain``."""
    from ernie import api
    return api.pretrain(curriculum, output, corpus=corpus, settings=settings, tasks_from=tasks_from, devices=devices,
                        quiet=quiet)


def finetune(recipe: str | Path, data: str | Path, output: str | Path, *, init: str | Path | None = None,
             size: str = "base", runs: int = 1, model: str | Path | None = None, vocab: str | Path | None = None,
             settings: Settings | None = None, devices: str = "", quiet: bool = False) -> FinetuningResult:
    """Fine-tune on a task; see ``ernie.api.finetune``."""
    from ernie import api
    return api.finetune(recipe, data, output, init=init, size=size, runs=runs, model=model, vocab=vocab,
                        settings=settings, devices=devices, quiet=quiet)
