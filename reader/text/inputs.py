"""The files of an input: which are read, in what order, and what form each has."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from reader.text.formats.compression import DAMAGE, compression, inner_suffix, open_compressed
from reader.text.rejected import Rejected
from reader.utils.errors import InputError
from reader.utils.files import Paths, StrPath

_FORMS = {".txt": "text", ".text": "text", ".jsonl": "json", ".ndjson": "json", ".parquet": "table",
          ".arrow": "table"}
OTHER_KIND, AGAIN = "file of another kind in a folder", "file that was given before"
VOCABULARY, STORE = "vocabulary in a folder of texts", "corpus store in a folder of texts"
# Of Hugging Face ``datasets``, beside its data: descriptions, and results of map() with the same rows again. Our locks.
_KEPT_BESIDE = re.compile(r"(dataset_infos?|dataset_dict|state)\.json|cache-[0-9a-f]{16}(_\d+_of_\d+)?\.arrow|"
                          r".*\.(lock|partial)")


def form_of(path: str | os.PathLike[str]) -> str:
    """Return the form of a file by its suffix, else by its first bytes.

    Returns:
        "text", "json" (a value a line), "values" (JSON of another layout: an array, or values over several lines),
        "table", "wikipedia" or "extracted" (by WikiExtractor).
    """
    suffix = inner_suffix(path)
    if suffix in _FORMS or suffix.startswith(".xml"):
        return _FORMS.get(suffix, "wikipedia")
    try:
        with open_compressed(path) as file:
            head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except DAMAGE:
        return "text"  # whoever reads it says what is wrong
    if head.startswith((b"PAR1", b"ARROW1")):
        return "table"
    if head.startswith(b"[") and suffix == ".json" or re.match(rb"\[\s*\{|\{\s*\n", head):
        return "values"
    if head.startswith(b"<doc id="):
        return "extracted"
    return "wikipedia" if head.startswith(b"<mediawiki") else "json" if head.startswith(b"{") else "text"


def find_inputs(paths: Paths, rejected: Rejected | None = None, *, json_files: bool = True,
                vocabulary: StrPath | None = None) -> list[Path]:
    """Return the files behind paths: files as given, folders walked for files whose suffix says what they are.

    A file that several paths or links lead to is taken once. Corpus stores inside a folder are no text.

    Args:
        rejected: counts the files that are not taken. json_files: take those called .json out of folders.
        vocabulary: a file that is no text where it lies in a folder.
    Raises:
        InputError: a path does not exist, or a folder holds no such file.
    """
    rejected = Rejected() if rejected is None else rejected
    files: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, (str, os.PathLike)) else paths):
        if os.path.isdir(path):  # these say no to names that are too long, where Path's raise
            files += _inside(path, rejected, json_files, vocabulary)
        elif os.path.isfile(path):
            files.append(path)
        else:
            raise InputError("input not found", path)
    if not files:
        raise InputError("no input given")
    return _once(files, rejected)


def _inside(folder: Path, rejected: Rejected, json_files: bool, vocabulary: StrPath | None) -> list[Path]:
    taken = []
    for file in sorted(file for file in _walk(folder, rejected) if file.is_file()):
        if _KEPT_BESIDE.fullmatch(file.name):
            continue
        if vocabulary is not None and os.path.exists(vocabulary) and file.samefile(vocabulary):
            rejected.add(VOCABULARY, file)
        elif _is_corpus(file, json_files):
            taken.append(file)
        else:
            rejected.add(OTHER_KIND, file)
    if not taken:
        raise InputError("no .txt, .jsonl, .json, .parquet, .arrow or Wikipedia .xml file (plain or compressed) in "
                         "this folder", folder)
    return taken


def _once(files: list[Path], rejected: Rejected) -> list[Path]:
    first: dict[str, Path] = {}
    for file in files:
        if first.setdefault(os.path.realpath(file), file) is not file:
            rejected.add(AGAIN, file)
    return list(first.values())


def _walk(folder: Path, rejected: Rejected) -> Iterator[Path]:
    """Yield what is in a folder and behind its links, each real folder once, nothing hidden, no stores."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a second link to it, or a circle
            folders.clear()
            continue
        seen.add(real)
        if {"manifest.json", "ids.npy"} <= {*names}:
            rejected.add(STORE, place)
        if {"manifest.json", "ids.npy"} <= {*names} or place.endswith((".parts", ".partial")):
            folders.clear()
            continue
        folders[:] = sorted((name for name in folders if not name.startswith(".")),
                            key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _is_corpus(file: Path, json_files: bool) -> bool:
    suffix = inner_suffix(file)
    return (suffix in _FORMS or suffix.startswith(".xml") or json_files and suffix == ".json"
            or re.fullmatch(r"wiki_\d{2,}(\.bz2)?", file.name) is not None)


def splittable(path: Path, layout: str) -> bool:
    """Tell whether a file can be read in parts: cut between lines, or between the streams of a dump."""
    form, packed = form_of(path), compression(path)
    if form == "wikipedia":
        return packed in ("", ".bz2")
    return not packed and (form == "json" or form == "text" and layout == "lines")
