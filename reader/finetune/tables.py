"""Tab-separated files: the official GLUE distribution, Baidu's ``text_a [text_b] label [qid]``, files without a header.

No quoting of any kind: a quotation mark is a character like others. Columns are found by the names in the header.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from reader.finetune.rows import Account, Lines, TextRow
from reader.utils.errors import InputError

ID_COLUMNS = ("index", "id")  # a test file's own numbers


@dataclass(frozen=True)
class Columns:
    """How one distribution names its columns.

    text: one or two columns. group: the column that ties the candidates of a question together. only: keep the rows
    that hold these values (XNLI holds fifteen languages). headerless: all the columns, for a file without a header.
    """

    text: tuple
    label: str = "label"
    group: str = ""
    only: dict = field(default_factory=dict)
    headerless: tuple = ()

    def __str__(self) -> str:
        return ", ".join((*self.headerless,) or (*self.text, self.label)) + (" (no header)" if self.headerless else "")


def baidu_columns(official: Columns) -> Columns:
    """The same content in Baidu's layout."""
    return Columns(("text_a", "text_b")[:len(official.text)], "label", "qid" if official.group else "")


class Table:
    """The rows of one file.

    Args:
        path: the file. choices: distributions it may come from, tried in order; Baidu's is always tried as well.
        classes: a ``Classes`` or ``Score``.
        labelled: labels must be there and right; otherwise they are read where they are both.
        skip_labels: labels of rows to leave out ("-": the annotators did not agree).
        strict: a malformed row raises; otherwise it is counted in ``account`` and left out.
        forgive_short: lines with too few columns are left out even so. forgive_blank: blank lines as well (at the end
            of a file they mean nothing in any case). keep: a mapping of column to value -> bool.
        remove_spaces: from the texts.
    Raises:
        InputError: the columns are not there, and which ones are; while iterating: the first malformed row.
    """

    def __init__(self, path, choices, classes, *, labelled: bool = True, skip_labels=(), strict: bool = True,
                 forgive_short: bool = False, forgive_blank: bool = True, keep=None, remove_spaces: bool = False):
        self.path, self.classes, self.labelled = path, classes, labelled
        self.forgive_short, self.forgive_blank, self.keep = forgive_short, forgive_blank, keep
        self.skip_labels, self.remove_spaces = frozenset(skip_labels), remove_spaces
        self.account = Account(path, strict)
        self.lines = Lines(path, self.account.reject)
        choices = [*choices, baidu_columns(choices[0])]
        first = next((text for _, text in Lines(path) if text.strip()), None)
        if first is None:
            raise InputError("is empty", path)
        self.columns, self.names = self._recognise(first.split("\t"), choices)
        self.numbered = self.columns.text[0] == "text_a" and not self.columns.headerless

    def _recognise(self, found: list, choices: list):
        for columns in choices:
            if columns.headerless:
                values = dict(zip(columns.headerless, found))
                if len(found) == len(columns.headerless) and self._is_label(values[columns.label]):
                    return columns, columns.headerless
            elif set(columns.text) <= set(found):
                if self.labelled and columns.label not in found:
                    raise InputError(f"no column {columns.label!r}; its columns are {_shown(found)}", self.path, 1)
                return columns, tuple(found)
        expected = " or ".join(dict.fromkeys(str(columns) for columns in choices))
        raise InputError(f"columns found: {_shown(found)}; expected {expected}", self.path, 1)

    def _is_label(self, text: str) -> bool:
        try:
            self.classes.read(text)
        except ValueError:
            return False
        return True

    def __iter__(self):
        columns, place = self.columns, {name: number for number, name in enumerate(self.names)}
        texts = [place[name] for name in columns.text]
        label = place.get(columns.label)
        group = place.get(columns.group) if columns.group else None
        identity = next((place[name] for name in ID_COLUMNS if name in place), None)
        only = [(place[name], value) for name, value in columns.only.items() if name in place]
        used = [*texts, label or 0, group or 0, identity or 0, *(at for at, _ in only)]
        header, needed, blank = not columns.headerless, max(used), []
        for number, line in self.lines:
            if not line.strip():
                blank.append(number)
                continue
            if header:  # the first line that is not blank
                header, blank = False, []
                continue
            for passed in blank:
                (self.account.skip if self.forgive_blank else self.account.reject)("a blank line", passed)
            blank.clear()
            values = line.split("\t")
            if len(values) <= needed:
                if self.forgive_short:
                    self.account.skip("too few columns", number)
                else:
                    self.account.reject("too few columns", number,
                                        f"{len(values)} columns where {len(self.names)} are expected")
                continue
            other = next((value for at, value in only if values[at] != value), None)
            if other is not None:
                self.account.skip(f"not {other!r}", number)
                continue
            if self.keep and not self.keep(dict(zip(self.names, values))):
                continue
            if label is not None and values[label] in self.skip_labels:
                self.account.skip(f"label {values[label]!r}", number)
                continue
            try:
                target = None if label is None else self.classes.read(values[label], self.numbered)
            except ValueError as error:
                if self.labelled:
                    self.account.reject("label outside the set", number, str(error))
                    continue
                self.account.note("a label outside the set, which is not used", number)
                target = None
            if len(values) > len(self.names):
                self.account.note("more columns than are known, which are not used", number)
            if not all(values[at].strip() for at in texts):
                self.account.note("an empty text", number)
            found = tuple(values[at].replace(" ", "") if self.remove_spaces else values[at] for at in texts)
            name = str(self.account.rows) if identity is None else values[identity]
            self.account.rows += 1
            yield TextRow(found, target, name, "" if not columns.group else values[texts[0]] if group is None
                          else values[group], number)
        self.account.finish()


def _shown(names) -> str:
    names = [name if len(name) <= 24 else name[:24] + "..." for name in names]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
