"""Records of a labelled file: tsv, csv, json, jsonl or parquet, read one after the other.

A record maps column names to texts. json and parquet may hold lists (the labels of a multi-label row, the choices of a
question); every other value becomes its text, and a missing one ``None``.
"""
from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from reader.finetune.rows import Account, NumberedLines
from reader.utils.errors import InputError
from reader.utils.text import HALF

FORMATS = ("tsv", "csv", "json", "jsonl", "parquet")
BY_SUFFIX = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}
Value = Union[str, list, None]
csv.field_size_limit(sys.maxsize)  # a document in a field may be longer than the 131,072 characters of Python's default


class TableRecord(NamedTuple):
    """One row. values is None for a blank line; columns counts the values that the line holds."""

    line: int
    values: Optional[dict[str, Value]]
    columns: int = 0


class Records:
    """The records of a file.

    Args:
        path: the file; ``.gz`` as well, but for parquet.
        account: takes malformed rows.
        file_format: one of ``FORMATS``; empty: by the suffix of the file, tsv when it is none of them.
        sections: for json whose top level is an object: keys whose list may be read (AdvGLUE keeps a task under each).
    Attributes:
        first: the values of the first line of a tsv or csv, the keys of the first record otherwise.
        named: whether the format names its columns by itself (json, jsonl, parquet).
        names: column names; for tsv and csv ``None`` until ``use_names``. section: the one that was found, or empty.
    """

    def __init__(self, path: str | Path, account: Account, file_format: str = "", sections: Iterable[str] = ()):
        self.path, self.account, self.sections, self.section = path, account, tuple(sections), ""
        self.format = file_format or format_of(path)
        if self.format not in FORMATS:
            raise InputError(f"format {self.format!r} is not one of {', '.join(FORMATS)}")
        if self.format == "json" and _is_lines(path):
            self.format = "jsonl"
        self.named = self.format not in ("tsv", "csv")
        self.names: tuple[str, ...] | None = None
        self.header = False
        if self.format in ("json", "parquet"):
            account.counted = "row"
        self.account = Account(path, account.strict, account.counted)  # rows that are passed over now come again
        self.first = self._first()
        self.account = account
        if self.named:
            self.names = tuple(self.first)

    def use_names(self, names: Iterable[str], header: bool) -> None:
        """Name the columns of a tsv or csv. header: whether its first line is that of the names."""
        self.names, self.header = tuple(names), header
        if header:
            twice = next((name for at, name in enumerate(self.names) if name and name in self.names[:at]), None)
            if twice is not None:
                raise InputError(f"two columns are called {twice!r}", self.path, 1)

    def __iter__(self) -> Iterator[TableRecord]:
        if self.format == "tsv":
            return self._table((number, line.split("\t") if line.strip() else [])
                               for number, line in NumberedLines(self.path, self.account.reject))
        if self.format == "csv":
            return self._table(self._csv())
        if self.format == "jsonl":
            return self._json_lines()
        return self._parquet() if self.format == "parquet" else self._json()

    def _first(self) -> list[str]:
        if self.format == "tsv":
            found = next((text.split("\t") for _, text in NumberedLines(self.path) if text.strip()), None)
        elif self.format == "csv":
            found = next((values for _, values in self._csv() if values), None)
        else:
            found = next((list(record.values) for record in self if record.values is not None), None)
        if found is None:
            raise InputError("is empty", self.path)
        return found

    def _table(self, lines) -> Iterator[TableRecord]:
        header = self.header
        for number, values in lines:
            if not values:
                yield TableRecord(number, None)
            elif header:  # the first line that is not blank
                header = False
                yield TableRecord(0, None)
            else:
                yield TableRecord(number, dict(zip(self.names or (), values)), len(values))

    def _csv(self) -> Iterator[tuple[int, list[str]]]:
        """Quoted as RFC 4180 has it; a record is numbered by the line on which it begins."""
        text = (line + "\n" for _, line in NumberedLines(self.path, self.account.reject))
        reader, begun = csv.reader(text, strict=True), 1
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                unclosed = "unexpected end" in str(error)  # the rest of the file stands between the quotation marks
                raise InputError(f"not valid csv ({error})", self.path, begun if unclosed else reader.line_num) \
                    from None
            # a line of "" alone is an empty text in a file of one column, not a blank line
            yield begun, values if values == [""] or any(value.strip() for value in values) else []
            begun = reader.line_num + 1

    def _json_lines(self) -> Iterator[TableRecord]:
        for number, line in NumberedLines(self.path, self.account.reject):
            if not line.strip():
                yield TableRecord(number, None)
                continue
            try:
                entry = json.loads(line)
            except ValueError as error:
                self.account.reject("not valid json", number, f"not valid json ({error})")
                continue
            if not isinstance(entry, dict):
                self.account.reject("not a json object", number, f"expected an object with columns, found {line[:40]}")
                continue
            yield self._record(number, entry)

    def _json(self) -> Iterator[TableRecord]:
        """A list of objects, or an object of lists under names (of one, ``data``, or the section asked for)."""
        content = json_of(self.path)
        if isinstance(content, dict):
            lists = {key: value for key, value in content.items() if isinstance(value, list)}
            self.section = next((name for name in self.sections if name in lists), "")
            wanted = self.section or ("data" if "data" in lists else next(iter(lists)) if len(lists) == 1 else None)
            if wanted is None:
                raise InputError(f"holds several lists ({', '.join(list(lists)[:8])}); name one as `section` in "
                                 "reader.columns" if lists else "holds no list of rows", self.path)
            content = lists[wanted]
        if not isinstance(content, list):
            raise InputError(f"holds {type(content).__name__}, expected a list of rows", self.path)
        for number, entry in enumerate(content, 1):
            if not isinstance(entry, dict):
                self.account.reject("not a json object", number, f"row {number}: expected an object with columns")
                continue
            yield self._record(number, entry)

    def _parquet(self) -> Iterator[TableRecord]:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise InputError("parquet needs pyarrow: pip install pyarrow (or this package's extra `parquet`)",
                             self.path) from None
        number = 0
        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(4096):
                    for entry in batch.to_pylist():
                        number += 1
                        yield self._record(number, entry)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"not a readable parquet file ({error})", self.path) from None


    def _record(self, number: int, entry: dict) -> TableRecord:
        values = {str(key): as_value(value) for key, value in entry.items()}
        whole = {key: _whole(value) for key, value in values.items()}
        if whole != values:
            self.account.note("half of a surrogate pair, read as U+FFFD", number)
        return TableRecord(number, whole, len(entry))


def format_of(path: str | Path) -> str:
    """Return the format that a file's name tells, .gz disregarded; "tsv" for an unknown suffix."""
    path = Path(path)
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return BY_SUFFIX.get(suffix.lower(), "tsv")


def json_of(path: str | Path) -> Any:
    """Return the content of a json file. Raises InputError where it is none."""
    text = "\n".join(line for _, line in NumberedLines(path))
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"not valid json ({error})", path) from None


def _is_lines(path) -> bool:
    """Tell whether a file called json holds one object a line, as OCNLI and CLUE are distributed."""
    lines = (text for _, text in NumberedLines(path) if text.strip())
    first, second = next(lines, ""), next(lines, "")
    try:
        entry = json.loads(first)
    except ValueError:
        return False
    rows_inside = isinstance(entry, dict) and any(
        isinstance(value, list) and (not value or isinstance(value[0], dict)) for value in entry.values())
    return isinstance(entry, dict) and (second.lstrip().startswith("{") or not second and not rows_inside)


def _whole(value: Value) -> Value:
    """A value without halves of surrogate pairs, which json can hold and no file of text can."""
    if isinstance(value, list):
        return [HALF.sub("\ufffd", item) for item in value]
    return HALF.sub("\ufffd", value) if value else value


def as_value(value: Any) -> Value:
    """Return a value of json or parquet as text; lists become lists of texts, None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        texts = [as_value(item) or "" for item in value]
        return [json.dumps(text, ensure_ascii=False) if isinstance(text, list) else text for text in texts]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def spellings(value: Any) -> list[str]:
    """Return the texts by which a file may write a value of a recipe: a text itself; of what yaml reads as a number, a
    truth or nothing the forms of json, of Python and of yaml; of a list those of every item."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return list(dict.fromkeys(text for item in value for text in spellings(item)))
    if isinstance(value, bool):  # yaml's own words, of which it does not tell which one stood there
        return [form(word) for word in (("true", "yes", "on") if value else ("false", "no", "off"))
                for form in (str.lower, str.capitalize, str.upper)]
    return list(dict.fromkeys([str(as_value(value) or "null"), str(value)]))


def by_text(mapping: Mapping) -> dict[str, str]:
    """Return a mapping whose keys are texts: the ``spellings`` of each key; a key that is a text comes first."""
    found = {text: str(name) for key, name in mapping.items() for text in spellings(key)}
    return {**found, **{key: str(name) for key, name in mapping.items() if isinstance(key, str)}}
