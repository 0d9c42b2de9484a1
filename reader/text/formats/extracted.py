"""Output of WikiExtractor (``wiki_00`` ...): ``<doc id= url= title=>``, the title, the paragraphs, ``</doc>``.

With its --json the files are JSON lines (reader/text/formats/json_lines.py).
"""
from __future__ import annotations

import html
from collections.abc import Iterator
from functools import partial

from reader.text.formats.base import Document, Record
from reader.text.formats.lines import Lines
from reader.text.formats.plain import BREAKS, MAX_DOCUMENT
from reader.text.rejected import NO_PROSE


def extracted_records(lines: Lines) -> Iterator[Record]:
    """Yield a record for each ``<doc>``; those with nothing but a title are left out, as pages without running text."""
    document: list[str] = []
    inside, good, size = False, True, 0
    for _, line in lines:
        if line is None:
            good = False
        elif line.startswith("<doc id="):
            if inside:
                lines.reject("document without </doc>")
            document, inside, good, size = [], True, True, 0
        elif line == "</doc>":
            if good and len(document) > 1:
                yield _record(document, size)
            elif good:
                lines.rejected.add(NO_PROSE, lines.span.path)
            document, inside = [], False
        elif inside and line:
            document += BREAKS.split(html.unescape(line))
            size += len(line)
            if size > MAX_DOCUMENT:  # a file without </doc> does not fill memory
                if good:
                    yield _record(document, size)
                document, size = [""], 0
        elif line:
            lines.reject("line outside of <doc>")
    if inside and not lines.broken:
        lines.reject("document without </doc>")


def _record(paragraphs: list[str], size: int) -> Record:
    return Record(size, partial(iter, (Document(paragraphs),)))
