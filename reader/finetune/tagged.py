"""Tagged sentences for named entity recognition: Baidu's table, or one ``word label`` a line.

Baidu's table has the header ``text_a<TAB>label`` and separates the words of a sentence by \\x02. In the common form a
blank line ends a sentence, a tab or spaces part word and label, and further columns between the two are passed over.
Weibo NER writes a character's place in its word behind it; these digits are cut off.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from reader.finetune.labels import Classes, tag_classes
from reader.finetune.rows import Account, NumberedLines, TagRow
from reader.utils.errors import InputError

SEPARATOR = "\x02"
POSITION = re.compile(r".[0-9]", re.DOTALL)  # a character and its place in its word, as Weibo NER has it


class Tagged:
    """The sentences of one file.

    Args:
        path: the file. classes: ``Classes`` of the labels. labelled: labels must be there. strict: see ``Table``.
    """

    def __init__(self, path: str | Path, classes: Any, *, labelled: bool = True, strict: bool = True):
        self.path, self.classes, self.labelled = path, classes, labelled
        self.account = Account(path, strict)
        self.lines = NumberedLines(path)
        line = next((text for _, text in self.lines if text.strip()), None)
        if line is None:
            raise InputError("is empty", path)
        first = line.split("\t")
        self.header = first if "text_a" in first or "label" in first[1:] else None
        self.numbered = not self.header and _numbered(self.lines)
        if self.header and ("text_a" not in self.header or labelled and "label" not in self.header):
            expected = "text_a, label" if labelled else "text_a; labels are not needed"
            raise InputError(f"columns found: {', '.join(self.header)}; expected {expected}", path, 1)

    def __iter__(self):
        for words, names, line in self.named():
            labels = None if names is None else self._read(names, line)
            if labels is None and self.labelled:
                continue
            self.account.rows += 1
            yield TagRow(words, labels, line)
        self.account.finish()

    def _read(self, names: list, line: int):
        """The indices of the labels; None, and a word about it, when one of them is outside the set."""
        for at, name in enumerate(names):
            try:
                self.classes.read(name)
            except ValueError as error:
                number = line if self.header else line + at
                if self.labelled:
                    return self.account.reject("label outside the set", number, str(error))
                return self.account.note("a label outside the set; the labels of its sentence are not used", number)
        return [self.classes.read(name) for name in names]

    def named(self) -> Iterator[tuple]:
        """Yield (words, label names or None, line) of every sentence."""
        return self._table() if self.header else self._columns()

    def _table(self):
        text, label = self.header.index("text_a"), self.header.index("label") if "label" in self.header else None
        header = True
        for number, line in self.lines:
            if header or not line.strip():
                header = header and not line.strip()
                continue
            values = line.split("\t")
            if len(values) <= max(text, label if label is not None and self.labelled else 0):
                self.account.reject("too few columns", number,
                                    f"{len(values)} columns where the header has {len(self.header)}")
                continue
            # text that nobody has cut into words is cut into characters
            words = values[text].split(SEPARATOR) if SEPARATOR in values[text] or label is not None \
                else list(values[text])
            names = None if label is None or label >= len(values) else values[label].split(SEPARATOR)
            if names is not None and len(names) != len(words):
                self.account.reject("words and labels differ in number", number,
                                    f"{len(words)} words but {len(names)} labels")
                continue
            yield words, names, number

    def _columns(self):
        lines = []
        for number, line in chain(self.lines, [(0, "")]):
            if line.strip() and not line.startswith("-DOCSTART-"):
                lines.append((number, _parts(line)))
            elif lines:
                sentence = self._sentence(lines)
                if sentence:
                    yield sentence
                lines = []

    def _sentence(self, lines: list):
        """(words, names, line) of a sentence; None when a word lacks its label, which is a fault of the sentence."""
        short = next((place for place in lines if len(place[1]) == 1), None)
        bare = not self.labelled and all(len(values) == 1 for _, values in lines)
        if short and not bare:
            return self.account.reject("a word without a label", short[0],
                                       f"expected `word label`, found {short[1][0][:40]!r}")
        if bare:
            self.account.note("words but no labels, a word a line (for a sentence a line, begin with a line `text_a`)",
                              lines[0][0])
        words = [values[0] for _, values in lines]
        if self.numbered:
            self.account.note("words with a digit behind the character, which is cut off", lines[0][0])
            words = [word[:-1] if POSITION.fullmatch(word) else word for word in words]
        return words, None if bare else [values[-1] for _, values in lines], lines[0][0]


def _numbered(lines: NumberedLines, most: int = 200) -> bool:
    """Tell whether the first words of a file are all a character and a digit, with words that go on (0, 1)."""
    words = [_parts(line)[0] for _, line in islice(lines, most) if line.strip()]
    return len(words) > 3 and all(POSITION.fullmatch(word) for word in words) \
        and {"0", "1"} <= {word[1] for word in words}


def _parts(line: str) -> list[str]:
    """The columns of a line; a line that begins with a space tags that space."""
    if "\t" in line:
        return line.split("\t")
    return [line[0], *line.split()] if line[0].isspace() else line.split()


def label_map(path: str | Path, tags: bool = True) -> Classes:
    """Read the classes in a ``label_map.json``: {"B-PER": 0, ...}, numbers without gaps; InputError otherwise.

    Labels that share a number are spellings of one class, which is called by the first of them.

    Args:
        tags: the labels are those of chunks.
    """
    try:
        mapping = json.loads(Path(path).read_text("utf-8"))
        names: dict[int, str] = {}
        aliases = {label: names[number] for label, number in mapping.items()
                   if names.setdefault(number, label) != label}
        numbers = sorted(names)
        whole = numbers == list(range(len(names)))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"not a map of labels to numbers ({error})", path) from None
    if not names or not whole:
        raise InputError("the numbers of the labels do not run from 0 without gaps", path)
    try:
        return (tag_classes if tags else Classes)([names[number] for number in numbers], aliases)
    except InputError as error:
        raise InputError(error.reason, path) from None


def observed_classes(path: str | Path) -> Classes:
    """Collect every label of a tagged file as classes, sorted, O last; InputError for one of no chunking scheme."""
    lines: dict[str, int] = {}
    source = Tagged(path, None)
    for _, labels, line in source.named():
        for at, name in enumerate(labels):
            lines.setdefault(name, line if source.header else line + at)
    names = sorted(lines.keys() - {"O"}) + ["O"]
    try:
        return tag_classes(names)
    except InputError as error:
        odd = next((name for name in names if repr(name) in error.reason), None)
        raise InputError(error.reason, path, lines.get(odd or "")) from None
