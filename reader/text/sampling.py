"""A uniform sample of a corpus of any size, in bounded memory and one pass.

The unit is a run of consecutive paragraphs of one document, about RUN characters long (shorter documents are one run):
every run of the input has the same chance, and so has every character, whatever the number and size of the files and
documents. Each run gets a random key; the runs with the least keys that together have the wanted number of characters
are the sample. A record whose keys are all too large is passed over without being parsed.
"""
from __future__ import annotations

import heapq
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from reader.text.documents import MAX_DOCUMENT, Document, ReadOptions, Rejected, Span, read_documents, read_records
from reader.text.formats.compression import compression

RUN = 1 << 14


class Reservoir:
    """The runs with the least random keys, of ``characters`` characters together; their text lies in a file.

    Args:
        characters: how much to keep; the last run may go beyond it. seed: of the keys.
    Attributes:
        limit: keys from here on are too large.
    """

    def __init__(self, characters: int, seed: int = 0):
        self.characters, self.limit = characters, 1.0
        self._random, self._total = random.Random(seed), 0
        self._heap: list[tuple[float, int, int, int]] = []  # (-key, number, place in the file, characters)
        self._file, self._seen = tempfile.TemporaryFile(), 0  # noqa: SIM115  (closed with the reservoir)

    def keys(self, count: int) -> list[float]:
        """Draw ``count`` keys, uniform in [0, 1)."""
        return [self._random.random() for _ in range(count)]

    def add(self, key: float, paragraphs: list[str]) -> None:
        """Keep a run if its key is among the least so far."""
        if key >= self.limit:
            return
        text = "\n".join(paragraphs)
        place = self._file.seek(0, 2)
        self._file.write(len(encoded := text.encode()).to_bytes(8, "little") + encoded)
        heapq.heappush(self._heap, (-key, self._seen, place, len(text)))
        self._seen, self._total = self._seen + 1, self._total + len(text)
        while self._total - self._heap[0][3] >= self.characters:
            self._total -= heapq.heappop(self._heap)[3]
        if self._total >= self.characters:
            self.limit = -self._heap[0][0]

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the runs that were kept, as paragraphs, in the order of the input."""
        for _, place in sorted((number, place) for _, number, place, _ in self._heap):
            self._file.seek(place)
            size = int.from_bytes(self._file.read(8), "little")
            yield self._file.read(size).decode().split("\n")


class Sample:
    """Paragraphs of a sample of files; iterates any number of times. All of the input, where it is no larger.

    Args:
        characters: how much text to take. rejected: counts what could not be used, among the records that were parsed.
        seed: of the sample. wanted: says of a document whether it may be in the sample.
    """

    def __init__(self, files: list[Path], options: ReadOptions, characters: int, rejected: Rejected, seed: int = 0,
                 wanted: Callable[[Document], bool] = lambda document: True):
        self.files, self.options, self.characters = files, options, characters
        self._rejected, self._seed, self._wanted = rejected, seed, wanted
        self._reservoir: Reservoir | None = None
        small = sum(file.stat().st_size for file in files) <= characters
        self._all = small and not any(map(compression, files))

    def __iter__(self) -> Iterator[list[str]]:
        if self._all:
            rejected, self._rejected = self._rejected, Rejected()  # faults are counted once
            return (document.paragraphs for path in self.files
                    for document in read_documents(Span(str(path)), self.options, rejected)
                    if self._wanted(document))
        if self._reservoir is None:
            self._reservoir = self._fill()
        return iter(self._reservoir)

    def _fill(self) -> Reservoir:
        reservoir = Reservoir(self.characters, self._seed)
        for path in self.files:
            for record in read_records(Span(str(path)), self.options, self._rejected):
                if record.size is None:
                    keys = []
                else:
                    keys = reservoir.keys(1 + record.size // RUN + record.size // MAX_DOCUMENT)
                    if min(keys) >= reservoir.limit:
                        continue
                    keys.reverse()
                for document in filter(self._wanted, record.read()):
                    for run in runs(document.paragraphs):
                        reservoir.add(keys.pop() if keys else reservoir.keys(1)[0], run)
        return reservoir


def runs(paragraphs: list[str]) -> Iterator[list[str]]:
    """Cut a document into runs of paragraphs: each but the last has at least RUN characters."""
    run: list[str] = []
    size = 0
    for paragraph in paragraphs:
        run.append(paragraph)
        size += len(paragraph)
        if size >= RUN:
            yield run
            run, size = [], 0
    if run:
        yield run
