"""Rows of texts that a program holds, made as the reader makes those of a file."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reader.finetune.questions import simplified
from reader.finetune.rows import ChoiceRow, QuestionRow, Row, TagRow, TextRow
from reader.finetune.splits import SplitReader
from reader.finetune.tables import choices_of
from reader.utils.text import HALF, counted


def row_of(reader: SplitReader, item: Any, number: int) -> Row:
    """Return the row without a label that a file with these texts would give.

    Args:
        reader: of the model's recipe.
        item: one text, or the texts of a row; for multiple choice, the list of the choices comes last; for tags, a
            text or its words; for questions, (question, passage).
        number: stands for the name and the line of the row.
    Raises:
        ValueError: another form than the recipe reads, and which.
    """
    parts = _parts(item)
    if reader.layout == "tagged":
        return TagRow(_texts(list(item) if parts is None else parts, item), None, number)
    parts = [item] if parts is None else parts
    if reader.layout == "questions":
        if len(parts) != 2:
            raise ValueError(f"is {item!r:.80}, expected (question, passage)")
        question, passage = _texts(parts, item)
        context = simplified(passage) if reader.simplify else passage
        return QuestionRow(str(number), simplified(question) if reader.simplify else question, context, passage, [], [])
    choices: tuple[str, ...] = ()
    if any(columns.choices for columns in reader.distributions):
        given = _texts((_parts(parts[-1]) if parts else None) or [], item, reader.remove_spaces)
        choices, parts = choices_of(given), parts[:-1]
        if len(choices) < 2:
            raise ValueError(f"is {item!r:.80}, expected a text and the list of its choices")
    texts = _texts(parts, item, reader.remove_spaces)
    wanted = sorted({len(columns.text) for columns in reader.distributions})
    if len(texts) not in wanted:
        raise ValueError(f"has {counted(len(texts), 'text')}, expected {' or '.join(map(str, wanted))}")
    if choices:
        return ChoiceRow(tuple(texts), choices, None, str(number), number)
    return TextRow(tuple(texts), None, str(number), "", number)


def _parts(item: Any) -> list[Any] | None:
    """The members of a list or tuple; None for a text."""
    if isinstance(item, str):
        return None
    if isinstance(item, Mapping) or not isinstance(item, Iterable):
        raise ValueError(f"is {item!r:.80}, expected text")
    return list(item)


def _texts(parts: list[Any], item: Any, remove_spaces: bool = False) -> list[str]:
    """Check that all are texts; halves of surrogate pairs become U+FFFD, as in a file."""
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"is {item!r:.80}, expected text")
    return [HALF.sub("\ufffd", part.replace(" ", "") if remove_spaces else part) for part in parts]
