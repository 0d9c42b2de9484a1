"""The corpus on disk: memory-mapped arrays beside a manifest.

A store is a directory. Opening it maps the arrays and reads the manifest, whatever its size. Per token it keeps the id,
one byte of flags and two distances; sentences, paragraphs and documents are offset arrays, each counted in the next
smaller unit:

    documents [D+1] -> paragraphs [P+1] -> sentences [S+1] -> tokens [T]

Everything kept per token is relative to the token itself, so that stores are joined by appending files.
"""
from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reader.store.integrity import (
    BLOCK,
    CHECKSUMS,
    FirstReads,
    check_array,
    check_content,
    check_manifest,
    verify_blocks,
    verify_store,
)
from reader.utils.errors import InputError
from reader.utils.files import StrPath, place_of, replace_directory

VERSION = 1
NOBODY = 255  # in ``speakers``: the document is no conversation, or nobody said who speaks
FAR = np.iinfo(np.uint16).max  # distances saturate here: far outside any segment
TOKEN_ARRAYS = ("ids", "flags", "back", "ahead")
OFFSET_ARRAYS = ("sentences", "paragraphs", "documents")


def occurrence_distances(ids: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure how far back the first and how far ahead the last occurrence of each token's id lies in its document.

    A token at offset k of a segment [a, b) also occurs outside that segment, in the same document, exactly when
    ``back > k`` or ``ahead >= b - a - k``: the label of the token-document relation in two comparisons.

    Args:
        ids: [T] token ids. documents: [D+1] token offsets of the documents.
    Returns:
        two uint16 arrays [T], saturated at FAR.
    """
    total = len(ids)
    owner = np.repeat(np.arange(len(documents) - 1, dtype=np.int64), np.diff(documents))
    order = np.argsort(owner * (int(ids.max(initial=0)) + 1) + ids, kind="stable")
    keys = (owner * (int(ids.max(initial=0)) + 1) + ids)[order]
    firsts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if total else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[firsts, total])
    back, ahead = np.empty(total, np.int64), np.empty(total, np.int64)
    back[order] = order - np.repeat(order[firsts], sizes)
    ahead[order] = np.repeat(order[firsts + sizes - 1], sizes) - order
    return np.minimum(back, FAR).astype(np.uint16), np.minimum(ahead, FAR).astype(np.uint16)


class Store:
    """A built corpus, opened read-only in constant time; its content is checked on samples.

    Attributes:
        ids: [T] uint16 or uint32. flags: [T] uint8. back, ahead: [T] uint16, see ``occurrence_distances``.
        sentences: [S+1] token offsets. paragraphs: [P+1] sentence offsets. documents: [D+1] paragraph offsets.
        speakers: [P] uint8 number of the speaker of each paragraph in its document, NOBODY where unknown; or None.
        labels: [P] int32, or None: pair stores only (``kind == "pairs"``), the class of each paragraph.
        manifest: version, kind, language, vocabulary hash, counts, fingerprint and what the builder reported.
    Raises:
        InputError: the directory is not a whole store of this version, or its arrays do not fit together.
    """

    ids: np.ndarray
    flags: np.ndarray
    back: np.ndarray
    ahead: np.ndarray
    sentences: np.ndarray
    paragraphs: np.ndarray
    documents: np.ndarray

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        check_manifest(self.manifest, self.path)
        for name in TOKEN_ARRAYS + OFFSET_ARRAYS:
            setattr(self, name, self._map(name))
        self.labels = self._map("labels") if self.kind == "pairs" else None
        self.speakers = self._map("speakers") if "speakers" in self.manifest["arrays"] else None
        check_content(self)

    def _map(self, name: str) -> np.ndarray:
        try:
            array = np.load(self.path / f"{name}.npy", mmap_mode="r")
        except Exception as error:  # numpy reads a damaged header as Python, and raises whatever comes of it
            raise InputError(f"store is damaged: {name}.npy cannot be mapped ({error})", self.path) from None
        check_array(name, array, self.manifest["arrays"][name], self.path)
        return np.asarray(array)  # a plain view: every access to a memmap object costs a microsecond more

    @property
    def kind(self) -> str:
        """Kind of the store, "documents" or "pairs"."""
        return self.manifest["kind"]

    @property
    def language(self) -> str:
        """Language of the text, "en" or "zh"."""
        return self.manifest["language"]

    @property
    def fingerprint(self) -> str:
        """Hash of everything in the store; a run that is resumed must find it again."""
        return self.manifest["fingerprint"]

    @property
    def vocab_file(self) -> Path:
        """Return the path of the vocabulary that the ids belong to."""
        return self.path / "vocab.txt"

    @cached_property
    def before_reading(self) -> FirstReads:
        """To be called with the offsets of tokens that are about to be read: verifies their blocks the first time."""
        return FirstReads(self)

    def __reduce__(self) -> tuple:  # worker processes map the files themselves
        return Store, (str(self.path),)

    def __len__(self) -> int:
        """Tokens in the store."""
        return len(self.ids)

    def sentence_at(self, token: int) -> int:
        """Return the sentence that holds a token offset."""
        return int(np.searchsorted(self.sentences, token, side="right")) - 1

    def paragraph_at(self, sentence: int) -> int:
        """Return the paragraph that holds a sentence."""
        return int(np.searchsorted(self.paragraphs, sentence, side="right")) - 1

    def document_at(self, paragraph: int) -> int:
        """Return the document that holds a paragraph."""
        return int(np.searchsorted(self.documents, paragraph, side="right")) - 1

    def document_span(self, document: int) -> tuple[int, int]:
        """Return the token offsets [start, stop) of a document."""
        first, last = self.documents[document], self.documents[document + 1]
        return int(self.sentences[self.paragraphs[first]]), int(self.sentences[self.paragraphs[last]])

    def release(self) -> None:
        """Give the pages that were read back to the system, so that resident memory stays flat over a long run."""
        self._advise("MADV_DONTNEED")

    def advise_random_access(self) -> None:
        """Tell the system not to read ahead of the pages that are touched; for sampling, not for reading all of it."""
        self._advise("MADV_RANDOM")

    def _advise(self, what: str) -> None:
        for name in TOKEN_ARRAYS + OFFSET_ARRAYS:
            mapped = getattr(getattr(self, name).base, "_mmap", None)
            if mapped is not None and hasattr(mmap, what):
                mapped.madvise(getattr(mmap, what))


def read_manifest(path: StrPath) -> dict[str, Any]:
    """Read the manifest of a store, or raise InputError when there is no whole store of this version at ``path``."""
    file = Path(path) / "manifest.json"
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        inside = [str(part.parent) for part in sorted(Path(path).glob("*/ids.npy"))]
        if inside:  # of --dev-share, or of a demo
            raise InputError(f"holds stores and is none itself: name one of {', '.join(inside)}", path) from None
        raise InputError("not a corpus store (no manifest.json): build one with `ernie build-corpus`", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"manifest is not JSON ({error})", file) from None
    if not isinstance(manifest, dict):
        raise InputError(f"manifest holds a {type(manifest).__name__}, not a mapping", file)
    if manifest.get("version") != VERSION:
        raise InputError(f"store version {manifest.get('version')!r}, this code reads {VERSION}: build it again", path)
    return manifest


class StoreWriter:
    """Appends documents to the arrays of a store that does not exist under its name until ``close``.

    Args:
        path: the store's directory; it is written as ``<path>.partial`` and renamed when whole.
        vocab_file: the vocabulary the ids belong to; copied into the store.
        language: "en" or "zh". kind: "documents" or "pairs".
    """

    def __init__(self, path: StrPath, vocab_file: StrPath, language: str, kind: str = "documents"):
        self.path = place_of(path)
        self.partial = Path(f"{self.path}.partial")
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        shutil.copyfile(vocab_file, self.partial / "vocab.txt")
        vocabulary = (self.partial / "vocab.txt").read_bytes()
        vocab_size = vocabulary.count(b"\n") + (not vocabulary.endswith(b"\n"))
        self.manifest = {"version": VERSION, "kind": kind, "language": language, "vocab_size": vocab_size,
                         "vocab_sha256": hashlib.sha256(vocabulary).hexdigest()}
        wide = vocab_size > 2**16
        dtypes: dict[str, Any] = {"ids": np.uint32 if wide else np.uint16, "flags": np.uint8, "back": np.uint16,
                                  "ahead": np.uint16, **dict.fromkeys(OFFSET_ARRAYS, np.int64)}
        if kind == "pairs":
            dtypes["labels"] = np.int32
        self.arrays = {name: _NpyAppender(self.partial / f"{name}.npy", dtype) for name, dtype in dtypes.items()}
        for name in OFFSET_ARRAYS:
            self.arrays[name].append(np.zeros(1, np.int64))

    def add(self, ids: Any, flags: Any, sentences: Any, paragraphs: Any, documents: Any, labels: Any = None,
            distances: tuple[np.ndarray, np.ndarray] | None = None, speakers: Any = None) -> None:
        """Append whole documents.

        Args:
            ids, flags: [t]. sentences: [s] tokens in each sentence. paragraphs: [p] sentences in each paragraph.
            documents: [d] paragraphs in each document. labels: [p], pair stores only. speakers: [p], where known.
            distances: (back, ahead) when they are already known; worked out here otherwise.
        """
        sentences, paragraphs, documents = (np.asarray(x, np.int64) for x in (sentences, paragraphs, documents))
        ends = np.cumsum(sentences)[np.cumsum(paragraphs)[np.cumsum(documents) - 1] - 1]
        back, ahead = distances or occurrence_distances(np.asarray(ids, np.int64), np.r_[0, ends])
        for name, array in (("ids", ids), ("flags", flags), ("back", back), ("ahead", ahead)):
            self.arrays[name].append(array)
        for name, sizes in (("sentences", sentences), ("paragraphs", paragraphs), ("documents", documents)):
            self.arrays[name].append(np.cumsum(sizes) + self.arrays[name].last)
        if labels is not None:
            self.arrays["labels"].append(labels)
        self._add_speakers(speakers, len(paragraphs))

    def _add_speakers(self, speakers: np.ndarray | None, count: int) -> None:
        """Append the speakers of the last ``count`` paragraphs; the file is begun with the first that are known."""
        if "speakers" not in self.arrays:
            if speakers is None:
                return
            self.arrays["speakers"] = _NpyAppender(self.partial / "speakers.npy", np.uint8)
            before = self.arrays["paragraphs"].count - 1 - count
            self.arrays["speakers"].append(np.full(before, NOBODY))
        self.arrays["speakers"].append(np.full(count, NOBODY) if speakers is None else np.minimum(speakers, NOBODY))

    def append_store(self, path: str | Path) -> None:
        """Append all of another store, streaming its files, never holding one in memory.

        Raises:
            InputError: the other store is damaged, or was built with another vocabulary.
        """
        part = Store(path)
        if not verify_blocks(part):
            verify_store(part)
        if part.manifest["vocab_sha256"] != self.manifest["vocab_sha256"] or part.kind != self.manifest["kind"]:
            raise InputError("part was built with another vocabulary or of another kind", path)
        step = 1 << 22
        for name, array in [item for item in self.arrays.items() if item[0] != "speakers"]:
            source, base = getattr(part, name), array.last if name in OFFSET_ARRAYS else 0
            for start in range(1 if name in OFFSET_ARRAYS else 0, len(source), step):
                array.append(source[start:start + step] + base if base else source[start:start + step])
            part.release()
        self._add_speakers(part.speakers, len(part.paragraphs) - 1)

    def close(self, **report: Any) -> dict[str, Any]:
        """Finish the store: headers, fingerprint, manifest, fsync, rename. Returns the manifest.

        Args:
            report: anything the builder wants to keep in the manifest (annotator, units per kind, sources ...).
        """
        digest = hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode())
        for _, array in sorted(self.arrays.items()):
            digest.update(array.close())
        checksums: dict[str, Any] = {name: np.array(array.checksums, np.uint32)
                                     for name, array in self.arrays.items()}
        np.savez(self.partial / CHECKSUMS, **checksums)
        counts = {name: array.count for name, array in self.arrays.items()}
        self.manifest.update(fingerprint=digest.hexdigest()[:32], arrays=counts, tokens=counts["ids"],
                             documents=counts["documents"] - 1, paragraphs=counts["paragraphs"] - 1,
                             sentences=counts["sentences"] - 1, **report)
        file = self.partial / "manifest.json"
        file.write_text(json.dumps(self.manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")
        for name in ("manifest.json", "vocab.txt", CHECKSUMS):
            with open(self.partial / name, "rb") as opened:
                os.fsync(opened.fileno())
        replace_directory(self.partial, self.path)
        return self.manifest

    def abandon(self) -> None:
        """Drop what was written so far."""
        shutil.rmtree(self.partial, ignore_errors=True)


class _NpyAppender:
    """A one-dimensional .npy file that grows; its header has room for any length and is written last."""

    HEADER = 128

    def __init__(self, path: Path, dtype):
        self.dtype, self.count, self.last = np.dtype(dtype), 0, 0
        self.file = open(path, "wb")  # noqa: SIM115  (grows until close)
        self.digest = hashlib.sha256()
        self.checksums: list[int] = []  # of every block; the last one may still grow
        self.file.write(b"\0" * self.HEADER)

    def append(self, values: Any) -> None:
        values = np.ascontiguousarray(values, dtype=self.dtype)
        if len(values):
            self.file.write(values)
            self.digest.update(values)
            self._add_checksums(values)
            self.count, self.last = self.count + len(values), int(values[-1])

    def _add_checksums(self, values: np.ndarray) -> None:
        start = 0
        while start < len(values):
            place = (self.count + start) % BLOCK
            part = values[start:start + BLOCK - place]
            if place:
                self.checksums[-1] = zlib.crc32(part.data, self.checksums[-1])
            else:
                self.checksums.append(zlib.crc32(part.data))
            start += len(part)

    def close(self) -> bytes:
        """Write the header and return the SHA-256 of the values."""
        header = repr({"descr": self.dtype.str, "fortran_order": False, "shape": (self.count,)})
        room = self.HEADER - 10
        self.file.seek(0)
        self.file.write(b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + header.ljust(room - 1).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return self.digest.digest()
