"""Parquet files and the Arrow files of Hugging Face ``datasets`` folders: a row is a record as in JSON lines."""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from reader.text.formats.base import Document, ReadOptions, Record, Span
from reader.text.formats.json_lines import TURNS, Unusable, parse_record
from reader.text.rejected import Rejected
from reader.utils.errors import InputError

ROWS = 256  # rows in memory at once


def table_records(span: Span, options: ReadOptions, rejected: Rejected) -> Iterator[Record]:
    """Yield a record for each row.

    Raises:
        InputError: pyarrow is missing, or no column holds text.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(f"parquet and Arrow files need the extra: pip install ernie-pretrain[corpora] ({error})",
                         span.path) from None
    number = 0
    try:
        for batch in _batches(span.path, options):
            for row in batch.to_pylist():
                number += 1
                size = sum(len(value) for value in row.values() if isinstance(value, str))
                known = all(isinstance(value, str) or value is None for value in row.values())
                yield Record(size if known else None,
                             partial(_parse, row, options, rejected, span.path, number))
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, InputError):
            raise
        rejected.add("file cannot be read to its end", span.path, number + 1, " ".join(str(error).split())[:200])


def _parse(row: dict, options: ReadOptions, rejected: Rejected, path: str, number: int) -> Iterator[Document]:
    try:
        yield parse_record(row, options)
    except Unusable as problem:
        rejected.add(problem.reason, path, number, problem.detail)


def _batches(path: str, options: ReadOptions) -> Iterator[Any]:
    import pyarrow
    from pyarrow import ipc, parquet
    with open(path, "rb") as file:
        magic = file.read(6)
    if magic.startswith(b"PAR1"):
        with parquet.ParquetFile(path) as table:
            columns = _columns(table.schema_arrow.names, options, path)
            yield from table.iter_batches(batch_size=ROWS, columns=columns)
        return
    with pyarrow.memory_map(path) as source:
        if magic == b"ARROW1":
            reader = ipc.open_file(source)
            whole = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            reader = ipc.open_stream(source)
            whole = iter(reader)
        columns = _columns(reader.schema.names, options, path)
        for batch in whole:
            for first in range(0, batch.num_rows, ROWS):
                yield batch.slice(first, ROWS).select(columns)


def _columns(names: list[str], options: ReadOptions, path: str) -> list[str]:
    text = [name for name in (options.text_field, *TURNS) if name in names]
    if not text:
        raise InputError(f"no column {options.text_field!r} among {', '.join(names)}: name one with --text-field", path)
    return text[:1] + [name for name in (options.title_field, "speakers") if name in names and name not in text[:1]]
