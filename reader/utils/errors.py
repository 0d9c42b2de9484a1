"""The one exception that means: what the user gave cannot be used."""
from __future__ import annotations


class InputError(ValueError):
    """Bad input or usage: one line that a person can act on; the command line exits with 2 and no traceback.

    Args:
        message: what is wrong, with the offending value.
        path: the file, when there is one.
        line: 1-based line number inside that file.
    """

    def __init__(self, message: str, path=None, line: int | None = None):
        self.path, self.line, self.reason = path, line, message
        place = "" if path is None else f"{path}: " if line is None else f"{path} line {line}: "
        super().__init__(place + message)

    def __reduce__(self):  # worker processes hand it back to their parent
        return type(self), (self.reason, self.path, self.line)
