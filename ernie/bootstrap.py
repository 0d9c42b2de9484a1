"""The one place where a command imports Paddle first: in the right order, and without its chatter."""
from __future__ import annotations

import contextlib
import io
import sys
import warnings
import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)


@contextlib.contextmanager
def quiet():
    """Drops what is written to the standard error stream, unless it ends in an error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


def import_paddle():
    """Import paddle, dropping the advice it prints about threads (set on purpose) and compilers (not used)."""
    warnings.filterwarnings("ignore", message="No ccache found")
    with quiet():
        import paddle
    return paddle
