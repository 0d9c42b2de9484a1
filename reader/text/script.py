"""The script of a text, against the language that it is said to be in."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from reader.text.documents import ReadOptions, Rejected, Span, read_documents

ENOUGH = 20_000  # letters that are looked at
LEAST = 0.3      # of the letters of Chinese text are Han characters; in English text at most as many
HAN = (("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))


def han_share(texts: Iterable[str], enough: int = ENOUGH) -> float | None:
    """Return the share of Han characters among the first letters of texts; None where there are no letters."""
    han = letters = 0
    for text in texts:
        found = [character for character in islice(text, enough) if character.isalpha()]
        letters += len(found)
        han += sum(any(low <= character <= high for low, high in HAN) for character in found)
        if letters >= enough:
            break
    return han / letters if letters else None


def doubt(language: str, spans: Iterable[Span], reading: ReadOptions) -> str:
    """Return a line where the beginning of what is to be read is hardly in ``language``, "en" or "zh"; else nothing."""
    share = han_share(text for span in spans for document in read_documents(span, reading, Rejected())
                      for text in document.paragraphs)
    if share is None or (share >= LEAST) == (language == "zh"):
        return ""
    return (f"note: {100 * share:.0f} % of the letters at the beginning of the text are Han characters; is --language "
            f"{language} right? The build goes on")
