"""Raw corpora as streams of documents: which files are read, how they are cut into parts, what is rejected.

Forms (docs/corpora.md; all but the tables may be compressed as .gz, .bz2, .xz or .zst; folders are walked in order,
those behind links as well):
    .txt    layout file: a file is a document, blank lines part paragraphs, wrapped lines are joined. layout lines:
            blank lines part documents, a line is a paragraph (BERT's form).
    .jsonl  a line is a document or a dialogue (reader/text/formats/json_lines.py); also .ndjson.
    .json   as .jsonl, or one array of documents, or objects over several lines (reader/text/formats/json_values.py).
    .xml    a Wikipedia dump (reader/text/formats/wikipedia.py), multistream or not.
    wiki_00 what WikiExtractor writes (reader/text/formats/extracted.py, or with its --json as .jsonl).
    .parquet, .arrow    a row is a record as in .jsonl; folders of Hugging Face ``datasets`` hold such files.
A file whose suffix says nothing is recognised by its first bytes, and is plain text otherwise.

A document that cannot be used is rejected with its reason, file and line; the others survive. Limits that keep memory
constant and time linear: a line of more than MAX_LINE bytes rejects its document; a paragraph of more than
MAX_PARAGRAPH characters is cut at a line end or a space, a document of more than MAX_DOCUMENT characters at a paragraph
end; runs of more than MAX_CHUNK characters without a space or punctuation mark are no words and are cut out.
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reader.text.chunks import drop_long_chunks
from reader.text.formats.base import LAYOUTS, Document, ReadOptions, Record, Span
from reader.text.formats.extracted import extracted_records
from reader.text.formats.json_lines import json_records
from reader.text.formats.json_values import value_records
from reader.text.formats.lines import MAX_LINE, Lines
from reader.text.formats.plain import MAX_DOCUMENT, MAX_PARAGRAPH, blank_line_documents, whole_file
from reader.text.formats.tables import table_records
from reader.text.formats.wikipedia import wikipedia_records
from reader.text.inputs import find_inputs, form_of, splittable
from reader.text.rejected import Rejected

__all__ = ["LAYOUTS", "MAX_LINE", "Document", "ReadOptions", "Rejected", "Span", "find_inputs", "plan_parts",
           "read_documents", "read_records"]
MAX_CHUNK = 1000


def plan_parts(files: list[Path], options: ReadOptions, part_bytes: int) -> list[list[Span]]:
    """Cut the input into parts of about ``part_bytes``; concatenated they are the whole input, in order.

    Plain files and multistream dumps are cut between documents; other compressed files and files that are one
    document stay whole.
    """
    parts: list[list[Span]] = [[]]
    size = 0
    for path in files:
        total = path.stat().st_size
        cuttable = splittable(path, options.layout)
        step = part_bytes if cuttable else max(1, total)
        for start in range(0, max(1, total), step):
            stop = min(start + step, total) if cuttable else None
            if size and size + (total if stop is None else stop - start) > part_bytes:
                parts, size = parts + [[]], 0
            parts[-1].append(Span(str(path), start, stop))
            size += total if stop is None else stop - start
    return parts


def read_records(span: Span, options: ReadOptions, rejected: Rejected) -> Iterator[Record]:
    """Yield the records that begin in a span; what cannot be used is counted in ``rejected``."""
    lines, form = Lines(span, rejected), form_of(span.path)
    if form == "wikipedia":
        records = wikipedia_records(span, options.language, rejected)
    elif form == "table":
        records = table_records(span, options, rejected)
    elif form == "json":
        records = json_records(lines, options)
    elif form == "values":
        records = value_records(span, options, rejected)
    elif form == "extracted":
        records = extracted_records(lines)
    elif options.layout == "lines":
        records = blank_line_documents(lines)
    else:
        records = whole_file(lines, options.language)
    for record in records:
        yield Record(record.size, partial(_tidy, record, span, rejected))


def read_documents(span: Span, options: ReadOptions, rejected: Rejected) -> Iterator[Document]:
    """Yield the documents that begin in a span; what cannot be used is counted in ``rejected``."""
    for record in read_records(span, options, rejected):
        yield from record.read()


def _tidy(record: Record, span: Span, rejected: Rejected) -> Iterator[Document]:
    """Yield the documents of a record without empty paragraphs, cut at the limits."""
    for document in record.read():
        speakers = document.speakers or [0] * len(document.paragraphs)
        paragraphs = [(part, speaker) for paragraph, speaker in zip(document.paragraphs, speakers)
                      for part in _cut(paragraph.strip(), span, rejected)]
        size, first = 0, 0
        for index, (paragraph, _) in enumerate(paragraphs, 1):
            size += len(paragraph)
            if size > MAX_DOCUMENT or index == len(paragraphs):
                texts, numbers = zip(*paragraphs[first:index])
                yield Document(list(texts), None if document.speakers is None else list(numbers))
                size, first = 0, index


def _cut(paragraph: str, span: Span, rejected: Rejected) -> Iterator[str]:
    if len(paragraph) > MAX_CHUNK and max(map(len, paragraph.split())) > MAX_CHUNK:
        paragraph, count = drop_long_chunks(paragraph, MAX_CHUNK)
        paragraph = paragraph.strip()
        if count:
            rejected.add(f"run of over {MAX_CHUNK} characters without a space, cut out", span.path, count=count)
    while len(paragraph) > MAX_PARAGRAPH:
        place = paragraph.rfind(" ", 1, MAX_PARAGRAPH)
        place = place if place > 0 else MAX_PARAGRAPH
        yield paragraph[:place]
        paragraph = paragraph[place:].lstrip()
    if paragraph:
        yield paragraph
