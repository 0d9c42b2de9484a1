"""JSON lines: a line is a document, or a dialogue whose turns are its paragraphs.

A record holds its text in one of these forms; ``text`` and ``title`` stand for the names that ReadOptions gives:

    {"text": "paragraph\\nparagraph", "title": "optional"}       paragraphs parted by newlines
    {"text": ["paragraph", "paragraph"], "speakers": ["a", "b"]}  a list; ``speakers`` is optional, parallel to it
    {"turns": [...]}                                             also messages, conversations, dialogue, dialog,
                                                                 utterances: a turn is a string or an object with the
                                                                 text in text, content or value and who speaks in
                                                                 speaker, role, from, author, user or sender

The paragraphs of ``text`` and an optional title become the paragraphs of the document; where it has speakers, they are
numbered in the order in which they first speak.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Optional

from reader.text.formats.base import Document, ReadOptions, Record, number_speakers
from reader.text.formats.lines import Lines
from reader.text.formats.plain import BREAKS

TURNS = ("turns", "messages", "conversations", "dialogue", "dialog", "utterances")
TURN_TEXT = ("text", "content", "value")
TURN_SPEAKER = ("speaker", "role", "from", "author", "user", "sender")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Unusable(ValueError):
    """A record without usable text. Args: the reason, and a detail for a person."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def json_records(lines: Lines, options: ReadOptions) -> Iterator[Record]:
    """Yield a record for each line that begins in the span; empty and unreadable lines are rejected."""
    stop = lines.span.stop

    def read(line: str) -> Iterator[Document]:
        try:
            yield parse_line(line, options)
        except Unusable as problem:
            lines.reject(problem.reason, problem.detail)

    for offset, line in lines:
        if stop is not None and offset >= stop:
            return
        if line == "":
            lines.reject("empty line in jsonl", count=lines.empty)
        elif line is not None:
            yield Record(len(line), partial(read, line))


def parse_line(line: str, options: ReadOptions) -> Document:
    """Parse one line of JSON. Raises Unusable."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Unusable("line is not JSON", str(error)) from None
    except RecursionError:
        raise Unusable("line is not JSON", "nested too deeply") from None
    return parse_record(record, options)


def parse_record(record: Any, options: ReadOptions) -> Document:
    """Turn a record of one of the module's forms into a document. Raises Unusable."""
    if not isinstance(record, dict):
        raise Unusable(f"no string field {options.text_field!r}")
    text, speakers = record.get(options.text_field), record.get("speakers")
    turns = next((record[name] for name in TURNS if isinstance(record.get(name), list)), None)
    if isinstance(text, str):
        paragraphs, names = BREAKS.split(_clean(text)), speakers
    elif isinstance(text, list) and all(isinstance(part, str) for part in text):
        paragraphs, names = [_one_line(part) for part in text], speakers
    elif turns is not None:
        paragraphs, names = _turns(turns)
    else:
        raise Unusable(f"no string field {options.text_field!r}")
    if not any(paragraph.strip() for paragraph in paragraphs):
        raise Unusable("empty document")
    if names is not None:
        return Document(paragraphs, number_speakers(speakers_of(names, len(paragraphs))))
    title = record.get(options.title_field)
    return Document(BREAKS.split(_clean(title)) + paragraphs if isinstance(title, str) else paragraphs)


def speakers_of(names: Any, count: int) -> list[str]:
    """Check a list of speakers, names or numbers, against the number of paragraphs. Raises Unusable."""
    if not isinstance(names, list) or len(names) != count:
        found = f"{len(names)}" if isinstance(names, list) else type(names).__name__
        raise Unusable("speakers are not parallel to the paragraphs", f"{found} for {count} paragraphs")
    return [str(name) for name in names]


def _turns(turns: list) -> tuple[list[str], Optional[list]]:
    paragraphs: list[str] = []
    names: list = []
    for turn in turns:
        if isinstance(turn, str):
            paragraphs.append(_one_line(turn))
            names.append(len(names) % 2)  # two who take turns
        elif isinstance(turn, dict):
            text = next((turn[name] for name in TURN_TEXT if isinstance(turn.get(name), str)), None)
            if text is None:
                raise Unusable("turn without a text", f"fields {', '.join(map(str, turn))}"[:80])
            paragraphs.append(_one_line(text))
            names.append(next((turn[name] for name in TURN_SPEAKER if name in turn), len(names) % 2))
        else:
            raise Unusable("turn is neither a string nor an object")
    return paragraphs, names


def _clean(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


def _one_line(text: str) -> str:
    return BREAKS.sub(" ", _clean(text)).strip()
