"""Tagged sentences for named entity recognition: Baidu's table, or one ``unit label`` a line.

Baidu's table has the header ``text_a<TAB>label`` and separates the units of a sentence by \\x02. In the common form a
blank line ends a sentence, a tab or spaces part unit and label, and further columns between the two are passed over.
"""
from __future__ import annotations

import json
from pathlib import Path

from reader.errors import InputError
from reader.finetune.labels import Classes, tag_classes
from reader.finetune.rows import Account, Lines, TagRow

SEPARATOR = "\x02"


class Tagged:
    """The sentences of one file.

    Args:
        path: the file. classes: ``Classes`` of the labels. labelled: labels must be there. strict: see ``Table``.
    """

    def __init__(self, path, classes, *, labelled: bool = True, strict: bool = True):
        self.path, self.classes, self.labelled = path, classes, labelled
        self.account = Account(path, strict)
        self.lines = Lines(path)
        first = next((text for _, text in self.lines if text.strip()), None)
        if first is None:
            raise InputError("is empty", path)
        self.header = first.split("\t") if first.split("\t")[0] == "text_a" or "\tlabel" in first else None
        if self.header and ("text_a" not in self.header or labelled and "label" not in self.header):
            raise InputError(f"columns found: {', '.join(self.header)}; expected text_a, label", path, 1)

    def __iter__(self):
        for units, names, line in self.named():
            labels = None
            if names is not None:
                try:
                    labels = [self.classes.read(name) for name in names]
                except ValueError as error:
                    if self.labelled:
                        self.account.reject("label outside the set", line, str(error))
                        continue
                    self.account.note("a label outside the set, which is not used", line)
            self.account.rows += 1
            yield TagRow(units, labels, line)
        self.account.finish()

    def named(self):
        """(units, label names or None, line) of every sentence."""
        return self._table() if self.header else self._columns()

    def _table(self):
        text, label = self.header.index("text_a"), self.header.index("label") if "label" in self.header else None
        header = True
        for number, line in self.lines:
            if header or not line.strip():
                header = header and not line.strip()
                continue
            values = line.split("\t")
            if len(values) <= max(text, label or 0):
                self.account.reject("too few columns", number,
                                    f"{len(values)} columns where the header has {len(self.header)}")
                continue
            # text that nobody has cut into units is cut into characters
            units = values[text].split(SEPARATOR) if SEPARATOR in values[text] or label is not None \
                else list(values[text])
            names = None if label is None else values[label].split(SEPARATOR)
            if names is not None and len(names) != len(units):
                self.account.reject("units and labels differ in number", number,
                                    f"{len(units)} units but {len(names)} labels")
                continue
            yield units, names, number

    def _columns(self):
        units, names, start, bare = [], [], 0, False
        for number, line in self.lines:
            if not line.strip() or line.startswith("-DOCSTART-"):
                if units:
                    yield units, None if bare else names, start
                units, names = [], []
                continue
            values = _parts(line)
            if not units:
                start, bare = number, len(values) == 1 and not self.labelled
            if len(values) == 1 and not bare:
                self.account.reject("no label", number, f"expected `unit label`, found {line[:40]!r}")
                continue
            units.append(values[0])
            names.append(values[-1])
        if units:
            yield units, None if bare else names, start


def _parts(line: str) -> list[str]:
    """The columns of a line; a line that begins with a space tags that space."""
    if "\t" in line:
        return line.split("\t")
    return [line[0], *line.split()] if line[0].isspace() else line.split()


def label_map(path, tags: bool = True) -> Classes:
    """The classes in a ``label_map.json``: {"B-PER": 0, ...}, indices without gaps. ``tags``: of chunks."""
    try:
        mapping = json.loads(Path(path).read_text("utf-8"))
        names = sorted(mapping, key=mapping.get)
        whole = [mapping[name] for name in names] == list(range(len(names)))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"not a map of labels to numbers ({error})", path) from None
    if not names or not whole:
        raise InputError("the numbers of the labels do not run from 0 without gaps", path)
    return tag_classes(names) if tags else Classes(names)


def observed_classes(path) -> Classes:
    """Every label of a tagged file, sorted, O last."""
    names = {name for _, labels, _ in Tagged(path, None).named() for name in labels}
    try:
        return tag_classes(sorted(names - {"O"}) + ["O"])
    except InputError as error:
        raise InputError(error.reason, path) from None
