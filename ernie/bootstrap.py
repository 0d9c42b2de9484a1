"""The one place where a command imports Paddle first: in the right order, and without its chatter."""
from __future__ import annotations

import contextlib
import io
import sys
import warnings
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)


def import_paddle():
    """Import paddle, dropping the advice it prints about threads (set on purpose) and compilers (not used)."""
    said = io.StringIO()
    warnings.filterwarnings("ignore", message="No ccache found")
    try:
        with contextlib.redirect_stderr(said):
            import paddle
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    return paddle
