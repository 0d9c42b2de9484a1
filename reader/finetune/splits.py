"""From a data directory to the rows of its train, dev and test files, as a recipe's ``reader`` section says."""
from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from reader.finetune.labels import Classes, ClassSets, Score, tag_classes
from reader.finetune.questions import Questions
from reader.finetune.records import FORMATS, by_text, spellings
from reader.finetune.rows import NumberedLines
from reader.finetune.tables import Columns, Table
from reader.finetune.tagged import Tagged, label_map, observed_classes
from reader.utils.errors import InputError
from reader.utils.text import did_you_mean, shortened

LAYOUTS = ("table", "tagged", "questions")
SOURCE, SOURCE_CHARACTERS = "ernie-source.txt", 200  # beside the rows; what is read of it
INPUT = "input"  # a file that is given to be answered: every row of it, in constant memory
SUFFIXES = {"table": (".tsv", ".csv", ".jsonl", ".json", ".parquet"), "tagged": (".tsv", ".txt"),
            "questions": (".json",)}


@dataclass
class SplitReader:
    """The ``reader`` section of a recipe.

    Attributes:
        layout: "table", "tagged" or "questions". folder: the task's own folder name, looked for in the data directory
            whatever its capitals, hyphens and underscores. files: split -> file names to try, one after the other
            (default: the name of the split with a suffix of the layout). format: of a table, whatever the suffix says:
            tsv, csv, json, jsonl or parquet.
        columns: distributions of a table: mappings with the fields of ``Columns``. classes: names in the order of their
            indices; none for scores, and for tags that are taken from the data. aliases: other spellings of labels.
        label_separator: a row has any number of labels (multi-label), with this between them. score_range: lowest and
            highest score that is no mistake. skip_labels: rows to leave out.
        held_out: where a distribution lists the dev rows of its train file. no_answer: questions without an answer are
            rows too (SQuAD 2). simplify: convert traditional characters. remove_spaces: from every text, as Baidu's
            ``for_cn``.
    """

    layout: str = "table"
    folder: str = ""
    files: dict = field(default_factory=dict)
    format: str = ""
    columns: list[dict] = field(default_factory=list)
    classes: list = field(default_factory=list)
    aliases: dict = field(default_factory=dict)
    label_separator: str = ""
    score_range: list = field(default_factory=list)
    skip_labels: list = field(default_factory=list)
    held_out: dict = field(default_factory=dict)
    no_answer: bool = False
    simplify: bool = False
    remove_spaces: bool = False

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            raise InputError(f"layout {self.layout!r} is not one of {', '.join(LAYOUTS)}")
        odd = [name for name in self.classes if not isinstance(name, str)]
        if odd:  # yaml reads yes, no, 0 and 1 as something else
            raise InputError(f"reader.classes: {odd[0]!r} is not text: put it in quotes")
        if self.layout == "table" and not self.columns:
            raise InputError("a table needs `columns`")
        if self.format and self.format not in FORMATS:
            raise InputError(f"reader.format {self.format!r} is not one of {', '.join(FORMATS)}")
        if self.label_separator and not self.classes:
            raise InputError("reader.label_separator needs `classes`")
        if self.score_range and (len(self.score_range) != 2 or not all(
                isinstance(bound, (int, float)) for bound in self.score_range)):
            raise InputError(f"reader.score_range: expected [lowest, highest], found {self.score_range}")
        self.distributions  # noqa: B018  (a mistake in them is said now)
        # as texts from here on: json, in which a recipe is kept beside its model, has no yes and no on
        self.columns = [_in_texts(entry) for entry in self.columns]
        self.aliases, self.skip_labels = by_text(self.aliases), spellings(self.skip_labels)
        if self.classes:
            self.labels()

    @property
    def distributions(self) -> list[Columns]:
        """Return the columns of a table, of each distribution that it may come from."""
        return [_columns(entry) for entry in self.columns]

    def find(self, directory: str | Path, split: str, required: bool = True) -> Any:
        """Find the file of a split in ``folder`` (else in the directory) or anywhere below; None when not required.

        Args:
            directory: the data, or one file of it alone: of the split whose name it bears, else the training file.
        Raises:
            InputError: no such directory, several files that could be meant, or none where one is required.
        """
        directory = Path(directory)
        names = self._names(split)
        if directory.is_file():
            return self._alone(directory, split, required)
        if not directory.is_dir():
            raise InputError("no such data directory", directory)
        directory = self._inside(directory) or directory  # of a folder of several tasks look into no other
        for name in names:
            if (directory / name).is_file():
                return directory / name
        for name in () if any(Path(name).is_absolute() for name in names) else names:
            found = sorted(path for path in directory.rglob(name) if path.is_file())
            if len(found) == 1:
                return found[0]
            if found:
                raise InputError(f"several files could be the {split} data: {found[0]}, {found[1]}; "
                                 f"name the right directory", directory)
        if required:
            present = ", ".join(sorted(path.name for path in directory.iterdir())[:12]) or "nothing"
            raise InputError(f"no {split} file: expected {' or '.join(names)}; found {present}", directory)
        return None

    def unread(self, directory: str | Path) -> list[str]:
        """List the names of data files in a data directory that are no split's, such as ``valid.tsv``."""
        place = Path(directory)
        if not place.is_dir():
            return []
        place = self._inside(place) or place
        names = [Path(name) for split in {"train", "dev", "test", *self.files} for name in self._names(split)]
        if any(name.is_absolute() for name in names):  # the files themselves are named, and no folder of them
            return []
        known = {name.name for name in names}
        suffixes = tuple(end for suffix in SUFFIXES[self.layout] for end in (suffix, suffix + ".gz"))
        return sorted(path.name for path in place.iterdir()
                      if path.name.lower().endswith(suffixes) and path.name not in known
                      and path.name != "label_map.json" and path.is_file())

    def source(self, directory: str | Path) -> str:
        """Return what a line in ``ernie-source.txt`` beside the data says it is; empty without one.

        Raises:
            InputError: it cannot be read.
        """
        place = Path(directory)
        place = place.parent if place.is_file() else place
        if not place.is_dir():
            return ""
        file = (self._inside(place) or place) / SOURCE
        if not file.is_file():
            return ""
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                return shortened(lines.readline(SOURCE_CHARACTERS).strip())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", file) from None

    def _names(self, split: str) -> list[str]:
        """The file names that a split may have, as patterns below the data directory."""
        names = self.files.get(split, [split + suffix for suffix in SUFFIXES[self.layout]])
        return [names] if isinstance(names, str) else names

    def _alone(self, file: Path, split: str, required: bool) -> Path | None:
        """The file if it is that of the split: it bears its name or, for the training file, that of no split."""
        splits = {"train", "dev", "test", *self.files}
        known = {each: [Path(name).name for name in self._names(each)] for each in sorted(splits)}
        bears = [each for each, names in known.items() if file.name in names] or ["train"]
        if split in bears:
            return file
        if required:
            raise InputError(f"is the {bears[0]} file by its name, and the {split} data is needed: name their folder, "
                             "or give the file another name", file)
        return None

    def _inside(self, directory: Path):
        """The task's own folder in a folder of several tasks, however its name is written; None without one."""
        if not self.folder or directory.is_file():
            return None
        return next((path for path in sorted(directory.iterdir())
                     if _plain(path.name) == _plain(self.folder) and path.is_dir()), None)

    def labels(self, directory: str | Path | None = None) -> Any:
        """Return ``Classes`` or a ``Score``; tags not named here come from label_map.json or the training file."""
        if self.layout == "tagged" and self.classes:
            return tag_classes(self.classes, self.aliases)
        if self.label_separator or any(not isinstance(columns.label, str) for columns in self.distributions):
            return ClassSets(self.classes, self.aliases, self.label_separator or ",")
        if self.classes or self.layout == "questions":
            return Classes(self.classes, self.aliases)
        if self.layout == "table":
            return Score(*self.score_range)
        if directory is None:
            raise InputError("the classes of this task are read from its data: name the directory")
        train = self.find(directory, "train", required=False)
        places = [Path(directory), self._inside(Path(directory)) or Path(directory), *([train.parent] if train else [])]
        mapping = next((place / "label_map.json" for place in places if (place / "label_map.json").is_file()), None)
        return label_map(mapping) if mapping else observed_classes(train or self.find(directory, "train"))

    def open(self, path: str | Path, split: str, classes: Any,
             strict: bool | None = None) -> Questions | Tagged | Table:
        """Return the rows of one file as an iterable that has an ``account``.

        Args:
            split: "train" and "dev..." must have labels; other files may. ``INPUT``: a file of its own.
            classes: from ``labels``.
            strict: see ``Account``. By default the short lines of labelled tables, which the official distribution has,
                are left out and counted, and everything else is fatal.
        """
        labelled = split.startswith(("train", "dev"))
        if self.layout == "questions":
            return Questions(path, labelled=labelled, simplify=self.simplify, strict=strict is not False,
                             watch_ids=split != INPUT, no_answer=self.no_answer)
        if self.layout == "tagged":
            return Tagged(path, classes, labelled=labelled, strict=strict is not False)
        return Table(path, self.distributions, classes, labelled=labelled, skip_labels=self.skip_labels,
                     strict=strict is not False, forgive_short=labelled and strict is None,
                     forgive_blank=split != INPUT and (labelled or None), keep=self._kept(path, split),
                     remove_spaces=self.remove_spaces, file_format=self.format)

    def _kept(self, path, split: str):
        """Return what tells the rows of a split in a file of both train and dev: column values -> bool, or None."""
        if not self.held_out or split == INPUT or Path(path).name not in self.held_out["of"]:
            return None
        beside = Path(path).parent
        listing = next((beside / name for name in self.held_out["listed_in"] if (beside / name).is_file()), None)
        if listing is None:
            raise InputError(f"holds train and dev rows; the list of the dev rows is missing: "
                             f"{' or '.join(self.held_out['listed_in'])}", path)
        dev = {tuple(line.split("\t")) for _, line in NumberedLines(listing) if line.strip()}
        names = self.held_out["by"]
        return lambda row: (tuple(row[name] for name in names) in dev) == (split == "dev")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _in_texts(entry: dict) -> dict:
    """A mapping with the fields of ``Columns`` whose labels and wanted values are texts."""
    found = dict(entry)
    if entry.get("labels"):
        found["labels"] = by_text(entry["labels"])
    if entry.get("only"):
        found["only"] = {key: value if isinstance(value, str) else spellings(value)
                         for key, value in entry["only"].items()}
    return found


def _columns(entry: dict) -> Columns:
    known = [each.name for each in fields(Columns)]
    if not isinstance(entry, dict) or "text" not in entry:
        raise InputError(f"reader.columns: expected mappings with `text`, found {entry!r}")
    odd = next((key for key in entry if key not in known), None)
    if odd is not None:
        raise InputError(f"reader.columns: unknown key {odd!r}" + (did_you_mean(odd, known)
                                                                  or f" (known: {', '.join(known)})"))
    for key in "labels", "only":
        if not isinstance(entry.get(key, {}), dict):
            raise InputError(f"reader.columns: {key}: expected a mapping, found {entry[key]!r}")
    return Columns(**entry)
