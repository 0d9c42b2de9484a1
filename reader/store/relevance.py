"""Queries with their titles, from search logs: paragraph 0 is the query, the others are titles with their classes."""
from __future__ import annotations

import contextlib
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from reader.store.pairs import PairEncoder, forget, fraction, split_parts
from reader.text.documents import Rejected
from reader.text.formats.base import Span
from reader.text.formats.lines import Lines
from reader.utils.files import Paths, StrPath, one_writer
from reader.utils.labels import IGNORE
from reader.utils.text import shortened

CLICKED, SHOWN = 0, 1
BUCKET_BYTES = 1 << 26


@one_writer
def build_relevance(files: Paths, like: StrPath, output: StrPath, *, dev_files: Paths = (),
                    dev: float = 0.1) -> tuple[dict, Rejected]:
    """Pair stores from search logs: lines ``query<TAB>title<TAB>clicked`` (1 or 0), plain or .gz, in any order.

    A query's titles are brought together through files on disk, so that memory does not grow with the log; a title that
    was clicked once is clicked. Queries are split into train and dev, unless ``dev_files`` are given.

    Returns:
        ({"train": {"clicked": titles, "shown": titles}, "dev": {...}}, what could not be used)
    """
    parts, encoder, rejected = split_parts(files, dev_files), PairEncoder(like), Rejected()
    Path(output).mkdir(parents=True, exist_ok=True)
    (taken, every), report = fraction(dev), {}
    forget(output)
    for name, paths in parts:
        with tempfile.TemporaryDirectory(dir=output) as folder:
            buckets = scatter(paths, Path(folder), rejected)
            for part in (name,) if name else ("train", "dev"):
                documents = (document for bucket in buckets for document in gather(bucket) if name
                             or (zlib.crc32(document[0][0].encode()) // 7919 % every < taken) == (part == "dev"))
                report[part] = encoder.write(documents, Path(output) / part, ["clicked", "shown"], rejected)
    return report, rejected


def scatter(paths: list[Path], folder: Path, rejected: Rejected) -> list[Path]:
    """Cut logs into files so that all lines of a query are in the same one, small enough for memory."""
    size = sum(path.stat().st_size * (4 if path.suffix == ".gz" else 1) for path in paths)
    names = [folder / str(k) for k in range(min(256, size // BUCKET_BYTES + 1))]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(name, "w", encoding="utf-8")) for name in names]
        for path in paths:
            for query, title, clicked in log_rows(path, rejected):
                files[zlib.crc32(query.encode()) % len(files)].write(f"{query}\t{title}\t{clicked}\n")
    return names


def log_rows(path: Path, rejected: Rejected) -> Iterator[tuple[str, str, str]]:
    """Yield (query, title, clicked) of the good lines of a search log; the others are counted in ``rejected``."""
    lines = Lines(Span(str(path)), rejected, strip="\r\n")
    for _, line in lines:
        if line is None:
            continue
        fields = [" ".join(field.split()) for field in line.split("\t")]
        if lines.number == 1 and fields == ["query", "title", "clicked"]:
            continue
        if len(fields) != 3:
            lines.reject("line of other than 3 columns", count=1 if line else lines.empty)
        elif fields[2] not in ("0", "1"):
            lines.reject("clicked is neither 0 nor 1", shortened(repr(fields[2])))
        elif not (fields[0] and fields[1]):
            lines.reject("empty query or title")
        else:
            yield fields[0], fields[1], fields[2]


def gather(bucket: Path) -> Iterator[tuple[list[str], list[int]]]:
    """Yield ([query, title, ...], [IGNORE, class, ...]) of a scattered file, queries in their order of appearance."""
    queries: dict[str, dict[str, int]] = {}
    with open(bucket, encoding="utf-8", newline="\n") as file:
        for line in file:
            query, title, clicked = line.rstrip("\n").split("\t")
            titles = queries.setdefault(query, {})
            titles[title] = min(titles.get(title, SHOWN), CLICKED if clicked == "1" else SHOWN)
    for query, titles in queries.items():
        yield [query, *titles], [IGNORE, *titles.values()]
