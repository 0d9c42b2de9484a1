"""The beginning of a text, against the language and the vocabulary that it is said to be of."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from reader.text.converter import open_converter
from reader.text.documents import ReadOptions, Rejected, Span, read_documents
from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer

ENOUGH = 20_000  # letters that are looked at
LEAST = 0.3      # of the letters of Chinese text are Han characters; in English text at most as many
MANY_UNKNOWN = 0.03  # of the tokens of a text are [UNK]: from here on the vocabulary is hardly that of the text
MANY_CAPITALS = 0.1  # of a vocabulary: it is a cased one
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


def beginning(spans: Iterable[Span], reading: ReadOptions, characters: int = 2 * ENOUGH) -> Iterator[str]:
    """Yield the first paragraphs of an input, about so many characters; what cannot be read is passed over."""
    for span in spans:
        for document in read_documents(span, reading, Rejected()):
            for paragraph in document.paragraphs:
                yield paragraph[:characters]
                characters -= len(paragraph)
                if characters <= 0:
                    return


def doubt(language: str, texts: Iterable[str]) -> str:
    """Return a line where the beginning of what is to be read is hardly in ``language``, "en" or "zh"; else nothing."""
    share = han_share(texts)
    if share is None or (share >= LEAST) == (language == "zh"):
        return ""
    return (f"note: {100 * share:.0f} % of the letters at the beginning of the text are Han characters; is --language "
            f"{language} right? The build goes on")


def vocabulary_doubt(tokenizer: Tokenizer, texts: Iterable[str], convert: str | None = None) -> str:
    """Return a line where a vocabulary is hardly that of the text, whose beginning is given; else nothing.

    Args:
        convert: an OpenCC configuration that the text is converted by.
    """
    if convert:
        texts = map(open_converter(convert).convert, texts)
    ids = np.concatenate([np.zeros(0, np.int64), *(found.ids for found in tokenizer.encode_batch(list(texts)))])
    share = (ids == tokenizer.unk_id).mean() if len(ids) else 0
    if share > MANY_UNKNOWN:
        cased = "without" if tokenizer.lower_case else "with"
        return (f"note: {100 * share:.0f} % of the tokens at the beginning of the text are [UNK]; is the vocabulary of "
                f"this language and script, and {cased} --cased right? The build goes on")
    capitals = np.mean([token != token.lower() for token in tokenizer.vocab[len(SPECIAL_TOKENS):]] or [False])
    if tokenizer.lower_case and capitals > MANY_CAPITALS:
        return (f"note: {100 * capitals:.0f} % of the vocabulary have capitals, which are never read without --cased; "
                "the build goes on")
    return ""
