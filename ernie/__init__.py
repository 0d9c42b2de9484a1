"""ERNIE 2.0: model and engine. The only package that imports paddle (and not before something needs it)."""
from __future__ import annotations

import sys
from pathlib import Path

from ernie.utils.neighbours import check_neighbours

try:
    check_neighbours()  # before anything of ours is imported from a stranger
except ImportError as error:
    if Path(sys.argv[0] if sys.argv else "").name != "ernie":
        raise
    print(error, file=sys.stderr)  # the command: a line, not a traceback
    raise SystemExit(2) from None

from ernie.utils.paddle_setup import import_paddle, tune_this_process  # noqa: E402

__version__ = "0.2.0"

tune_this_process()


def load(path, max_length: int = 512, task_id: int = 0):
    """Load a checkpoint of any family; see ``ernie.serving.vectors.Vectors``.

    >>> vectors = ernie.load("output/demo").encode(["A sentence.", "Another one."])  # [2, hidden size]
    """
    import_paddle(tell=False)
    from ernie.serving.vectors import Vectors
    return Vectors(path, max_length, task_id)
