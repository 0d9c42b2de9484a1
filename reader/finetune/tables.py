"""Tables of texts and labels: official distributions, Baidu's ``text_a [text_b] label [qid]``, a user's own files.

Columns are found by name, in tsv, csv, json, jsonl and parquet alike. tsv knows no quoting: a quotation mark is a
character like others.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Union

from reader.finetune.labels import Score
from reader.finetune.records import Records, TableRecord, Value, by_text, spellings
from reader.finetune.rows import Account, ChoiceRow, TextRow
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

ID_COLUMNS = ("index", "id", "idx", "qid")  # a file's own names of its rows
UNLABELLED = "-1"  # in place of a label that is not published (Baidu's and transformers' conversions of GLUE)


@dataclass(frozen=True)
class Columns:
    """Names that one distribution gives its columns.

    Attributes:
        text: one or two columns. label: the column of the label, or several columns of 0 and 1, one for each class.
        group: the column that ties the candidates of a question together. id: the column of the row's own name
            (default: index, id, idx or qid where there is one that is not ``group``).
        only: column -> value, or several: keep the rows that hold it (XNLI holds fifteen languages).
        headerless: all the columns, for a file without a header.
        labels: what this distribution writes -> name of the class, where it differs.
        choices: multiple choice: the columns of the choices, or the one column that holds a list of them.
        section: for a json object of several lists, the key of this one; the entry is for such files only.
    """

    text: tuple
    label: Union[str, tuple] = "label"
    group: str = ""
    id: str = ""
    only: dict = field(default_factory=dict)
    headerless: tuple = ()
    labels: dict = field(default_factory=dict)
    choices: tuple = ()
    section: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "choices", "headerless"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if isinstance(self.label, list):
            object.__setattr__(self, "label", tuple(self.label))
        object.__setattr__(self, "labels", by_text(self.labels))
        object.__setattr__(self, "only", {key: tuple(spellings(value)) for key, value in self.only.items()})
        if not 1 <= len(self.text) <= 2:
            raise InputError(f"reader.columns: text names {len(self.text)} columns, expected one or two")
        if self.headerless and len(set(self.headerless)) < len(self.headerless):
            raise InputError(f"reader.columns: headerless names a column twice: {', '.join(self.headerless)}")
        missing = [name for name in self.text if self.headerless and name not in self.headerless]
        if missing:
            raise InputError(f"reader.columns: text {missing[0]!r} is not one of headerless "
                             f"({', '.join(self.headerless)})")

    @property
    def label_columns(self) -> tuple:
        """Return the label columns, one or several."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def expected(self, labelled: bool) -> str:
        """Return the names of the columns as a message lists them, those of the labels where these are needed."""
        names = [name for name in self.headerless or (*self.text, *self.choices, *self.label_columns)
                 if labelled or name not in self.label_columns]
        return ", ".join(names) + (" (no header)" if self.headerless else "")


def baidu_columns(official: Columns) -> Columns:
    """Return the columns of the same content in Baidu's layout."""
    return Columns(("text_a", "text_b")[:len(official.text)], "label", "qid" if official.group else "")


class Table:
    """The rows of one file.

    Args:
        path: the file. choices: distributions it may come from, tried in order; Baidu's is always tried as well.
        classes: a ``Classes`` or ``Score``.
        labelled: labels must be there and right; otherwise they are read where they are both, and -1 is none unless
            ``classes`` declare it.
        skip_labels: labels of rows to leave out ("-": the annotators did not agree).
        strict: a malformed row raises; otherwise it is counted in ``account`` and left out.
        forgive_short: lines with too few columns are left out even so. forgive_blank: blank lines as well (at the end
            of a file they mean nothing in any case); None: where no answer moves by it, because the rows have names of
            their own or labels. keep: a mapping of column to value -> bool.
        remove_spaces: from the texts. file_format: see ``Records``.
    Attributes:
        account: what was read and what was not. identified: whether the rows have names of their own. absent: ("group"
            or "only", the column that it names) where the file lacks that column.
    Raises:
        InputError: the columns are not there, and which ones are; while iterating: the first malformed row.
    """

    def __init__(self, path: str | Path, choices: Sequence[Columns], classes: Any, *, labelled: bool = True,
                 skip_labels: Iterable[str] = (), strict: bool = True, forgive_short: bool = False,
                 forgive_blank: bool | None = True, keep: Callable[[dict], bool] | None = None,
                 remove_spaces: bool = False, file_format: str = ""):
        self.path, self.classes, self.labelled = path, classes, labelled
        self.forgive_short, self.forgive_blank, self.keep = forgive_short, forgive_blank, keep
        self.skip_labels, self.remove_spaces = frozenset(skip_labels), remove_spaces
        self.account = Account(path, strict)
        self.records = Records(path, self.account, file_format, [columns.section for columns in choices])
        fitting = [columns for columns in choices if columns.section == self.records.section]
        self.columns = self._recognise(self.records.first, [*fitting, baidu_columns(choices[0])])
        self.names = self.records.names or ()
        self.numbered = self.columns.text[0] == "text_a" and not self.columns.headerless
        self.one_hot = not isinstance(self.columns.label, str)
        identity = [self.columns.id] if self.columns.id else [name for name in ID_COLUMNS if name != self.columns.group]
        self.identity = next((name for name in identity if name in self.names), None)
        if self.columns.id and self.identity is None:
            raise InputError(f"no column {self.columns.id!r}; its columns are {_shown(self.names)}"
                             + did_you_mean(self.columns.id, self.names), path, self.header_line())
        self.identified = self.identity is not None
        self.absent = self._absent()

    def has(self, column: str) -> bool:
        """Tell whether the file has a column: a tsv or csv in its header, the others in any record."""
        if column in self.names or not self.records.named:
            return column in self.names
        records = Records(self.path, Account(self.path, strict=False), self.records.format, [self.records.section])
        return any(column in (record.values or ()) for record in records)

    def _absent(self) -> list[tuple[str, str]]:
        """The (key, column) by which rows are told apart and which the file lacks; each is noted."""
        declared = [("group", self.columns.group), *(("only", name) for name in self.columns.only)]
        if self.columns.group == "qid" and self.numbered:  # Baidu's layout, which may lack it
            declared = declared[1:]
        absent = [(key, name) for key, name in declared if name and not self.has(name)]
        for key, name in absent:
            effect = "candidates with the same first text are one question's" if key == "group" else "every row is kept"
            self.account.note(f"no column {name!r} for `{key}`: {effect}", 1)
        return absent

    def header_line(self) -> int | None:
        """Return the line that names the columns; None where every record names its own."""
        return None if self.records.named else 1

    def _recognise(self, found: list, choices: list[Columns]) -> Columns:
        for columns in choices:
            if columns.headerless:
                values = dict(zip(columns.headerless, found))
                labels = [values[name] for name in columns.label_columns if name in values]
                if not self.records.named and len(found) == len(columns.headerless) \
                        and all(self._is_label(label, columns) for label in labels):
                    self.records.use_names(columns.headerless, header=False)
                    return columns
            elif {*columns.text, *columns.choices} <= set(found):
                if self.labelled and not set(columns.label_columns) <= set(found):
                    missing = next(name for name in columns.label_columns if name not in found)
                    raise InputError(f"no column {missing!r}; its columns are {_shown(found)}"
                                     + did_you_mean(missing, found), self.path, self.header_line())
                if not self.records.named:
                    self.records.use_names(found, header=True)
                return columns
        bare = None if self.labelled or self.records.named else self._without_labels(found, choices)
        if bare:
            return bare
        expected = " or ".join(dict.fromkeys(columns.expected(self.labelled) for columns in choices))
        expected += "" if self.labelled else "; labels are not needed"
        near = _near(choices, found, self.labelled)
        raise InputError(f"columns found: {_shown(found)}; expected {expected}{near}", self.path, self.header_line())

    def _without_labels(self, found: list, choices: list[Columns]) -> Columns | None:
        """A headerless distribution whose test file lacks the label column (BQ), and no header stands in its place."""
        for columns in choices:
            names = tuple(name for name in columns.headerless if name not in columns.label_columns)
            if names and len(found) == len(names) and not any(_is_name(value) for value in found):
                self.account.note("no header: columns " + ", ".join(names) + ", without labels", 1)
                self.records.use_names(names, header=False)
                return replace(columns, headerless=names)
        return None

    def _is_label(self, text: str, columns: Columns) -> bool:
        try:
            self.classes.read(columns.labels.get(text, text))
        except ValueError:
            return not self.labelled and text == UNLABELLED
        return True

    def __iter__(self) -> Iterator[Union[TextRow, ChoiceRow]]:
        columns, blank = self.columns, []
        # a file to be answered may have a header with fewer columns than a labelled one
        needed = [name for name in (*columns.text, *columns.choices, *(columns.label_columns if self.labelled else ()),
                                    columns.group, self.identity, *columns.only) if name and name in self.names]
        for record in self.records:
            if record.values is None:
                if record.line:
                    blank.append(record.line)
                else:
                    blank = []  # the header: blank lines before it mean nothing
                continue
            self._pass_over(blank, record.values)
            blank = []
            row = self._row(record, needed)
            if row is not None:
                self.account.rows += 1
                yield row
        self.account.finish()

    def _pass_over(self, blank: list[int], following: dict) -> None:
        """Count the blank lines before a row, or refuse them."""
        forgiven = self.forgive_blank
        if forgiven is None:
            forgiven = self.identified or following.get(self.columns.label_columns[0]) not in (None, "", UNLABELLED)
        for number in blank:
            if forgiven:
                self.account.skip("a blank line", number)
            else:
                self.account.reject("a blank line", number, "a blank line: the answers after it would move up")

    def _row(self, record: TableRecord, needed: list) -> Union[TextRow, ChoiceRow, None]:
        """The row of a record; None when it is left out."""
        columns, number, values = self.columns, record.line, record.values or {}
        if not self._whole(record, needed):
            return None
        wanted = next((texts for name, texts in columns.only.items() if name in values and values[name] not in texts),
                      None)
        if wanted is not None:
            shown = {text.lower(): text for text in reversed(wanted)}  # one of several capitalisations
            self.account.skip(f"not {wanted[0]!r}" if len(wanted) == 1
                              else f"not one of {', '.join(reversed(list(shown.values())))}", number)
            return None
        if self.keep and not self.keep(values):
            return None
        written = [values.get(name) for name in columns.label_columns]
        if isinstance(written[0], str) and written[0] in self.skip_labels:
            self.account.skip(f"label {written[0]!r}", number)
            return None
        texts = tuple(self._text(values[name]) for name in columns.text)
        try:
            options = self._options(values)
        except ValueError as error:
            self.account.reject("an empty choice before others", number, str(error))
            return None
        try:
            target = self._label(written, options, number)
        except ValueError as error:
            if self.labelled:
                self.account.reject("label outside the set", number, str(error))
                return None
            self.account.note("a label outside the set, which is not used", number)
            target = None
        if record.columns > len(self.names) and not self.records.named:
            self.account.note("more columns than are known, which are not used", number)
        if not all(text.strip() for text in texts):
            self.account.note("an empty text", number)
        identity = values.get(self.identity) if self.identity else None
        name = str(self.account.rows) if identity is None else str(identity)
        if columns.choices:
            if len(options) < 2:
                self.account.reject("fewer than two choices", number, f"{len(options)} choices")
                return None
            return ChoiceRow(texts, options, target, name, number)
        group = "" if not columns.group else str(values.get(columns.group) or "") if columns.group in self.names \
            else texts[0]
        return TextRow(texts, target, name, group, number)

    def _whole(self, record: TableRecord, needed: list) -> bool:
        """Tell whether a record has every column that is used; report it otherwise."""
        values, number = record.values or {}, record.line
        if not self.records.named:
            if all(name in values for name in needed):
                return True
            if self.forgive_short:
                self.account.skip("too few columns", number)
            else:
                self.account.reject("too few columns", number,
                                    f"{record.columns} columns where {len(self.names)} are expected")
            return False
        missing = next((name for name in (*self.columns.text, *(self.columns.choices if len(self.columns.choices) == 1
                                                                else ())) if values.get(name) is None), None)
        if missing is not None:
            self.account.reject("a field is missing", number, f"no {missing!r}" + did_you_mean(missing, values))
        return missing is None

    def _label(self, written: list, options: tuple, number: int):
        """The class index, the tuple of them, or the score; None for what has no label. Raises ValueError."""
        if self.one_hot:
            absent = next((name for name, value in zip(self.columns.label_columns, written) if value is None), None)
            if absent is not None and self.labelled:
                raise ValueError(f"no {absent!r}")
            if absent is not None:
                return None
            return self.classes.read([name for name, value in zip(self.columns.label_columns, written) if _on(value)])
        value = written[0]
        if isinstance(value, str) and self.columns.labels:
            parts = self.classes.parts(value) if self.classes.several and value not in self.columns.labels else None
            value = self.columns.labels.get(value, value) if parts is None else parts
        if value is None:
            if self.labelled:
                raise ValueError(f"no {self.columns.label!r}")
            return None
        if value == UNLABELLED and not self.labelled and not self.classes.declares(UNLABELLED):
            range_less = isinstance(self.classes, Score) and not self.classes.known
            self.account.note("label -1: unlabelled" + " (were it a score: declare score_range)" * range_less, number)
            return None
        if options and isinstance(value, str) and value not in self.classes.names and options.count(value) == 1:
            return options.index(value)
        if isinstance(value, list) and not self.classes.several:
            raise ValueError(f"{len(value)} labels where one is expected (for several a row: label_separator)")
        if isinstance(value, list) and self.columns.labels:
            value = [self.columns.labels.get(item, item) for item in value]
        found = self.classes.read(value, self.numbered)
        if options and found >= len(options):
            raise ValueError(f"label {value!r} is not one of the {len(options)} choices")
        return found

    def _options(self, values: dict) -> tuple:
        """The choices of a row. Raises ValueError as ``choices_of``."""
        found, names = [values.get(name) for name in self.columns.choices], self.columns.choices
        if len(found) == 1:
            found, names = found[0] if isinstance(found[0], list) else [found[0]], ()
        return choices_of([self._text(value) for value in found], names)

    def _text(self, value: Value) -> str:
        text = " ".join(value) if isinstance(value, list) else value or ""
        return text.replace(" ", "") if self.remove_spaces else text


def choices_of(texts: Iterable[str], names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the choices of a row: those behind the last that is not empty are none.

    Args:
        names: of their columns.
    Raises:
        ValueError: one before another is empty; left out, those behind it would answer to the label before theirs.
    """
    found = list(texts)
    while found and not found[-1].strip():
        found.pop()
    empty = next((at for at, text in enumerate(found) if not text.strip()), None)
    if empty is not None:
        shown = repr(names[empty]) if names else f"{empty + 1} of {len(found)}"
        raise ValueError(f"choice {shown} is empty, and one behind it is not: only the last choices may be missing")
    return tuple(found)


def _on(value: Value) -> bool:
    """Tell whether a column of 0 and 1 says yes. Raises ValueError when it says neither."""
    text = str(value).lower()
    if text not in ("0", "1", "true", "false", "0.0", "1.0"):
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return text in ("1", "true", "1.0")


def _is_name(value: str) -> bool:
    """Tell whether a value looks like the name of a column rather than a text."""
    return value.isascii() and value.replace("_", "").isalnum() and " " not in value


def _near(choices: list[Columns], found: list, labelled: bool) -> str:
    """Known columns that are close to what was expected."""
    expected = dict.fromkeys(name for columns in choices for name in (*columns.headerless, *columns.text,
                                                                    *columns.choices, *columns.label_columns)
                             if labelled or name not in columns.label_columns)
    near = {name: hint.split("'")[1] for name in expected
            if name not in found and (hint := did_you_mean(name, found))}
    return " (near: " + ", ".join(f"{name} ~ {other}" for name, other in near.items()) + ")" if near else ""


def _shown(names) -> str:
    names = [name if len(name) <= 24 else name[:24] + "..." for name in names]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
