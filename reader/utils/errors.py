"""The one exception that means: what the user gave cannot be used."""
from __future__ import annotations

import os

HEAD, TAIL = 800, 200  # characters of a message that are kept when it is longer


class InputError(ValueError):
    """Bad input or usage: one line that a person can act on; the command line exits with 2 and no traceback.

    What a message quotes may come from a hostile file: characters that a terminal would act on are escaped, and the
    middle of a very long message is cut out.

    Args:
        message: what is wrong, with the offending value.
        path: the file, when there is one.
        line: 1-based line number inside that file.
    """

    def __init__(self, message: str, path: str | os.PathLike[str] | None = None, line: int | None = None):
        self.path, self.line, self.reason = path, line, _shown(message)
        place = "" if path is None else f"{path}: " if line is None else f"{path} line {line}: "
        super().__init__(_shown(place).replace("\n", "\\n") + self.reason)

    def __reduce__(self):  # worker processes hand it back to their parent
        return type(self), (self.reason, self.path, self.line)


def _shown(text: str) -> str:
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} ... {text[-TAIL:]}"
    return "".join(c if c.isprintable() or c in "\n\u3000" else ascii(c)[1:-1] for c in text)
