"""Verification of stores: cheap checks at opening, checksums of blocks as they are first read, all of it.

A block is ``BLOCK`` entries of an array. Its CRC-32 is computed while the store is written and kept in
``checksums.npz``, one uint32 array for each array of the store. Stores that were written before there were checksums
open as well; as a whole they are held to their fingerprint.
"""
from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from reader.utils.errors import InputError

Store = Any  # of reader.store.store, which imports this module
BLOCK = 1 << 17      # entries
CHECKSUMS = "checksums.npz"
SAMPLES, SAMPLE = 16, 1 << 12  # places of a large array that are looked at when it is opened, entries at each
TOKEN_TYPES = {"ids": ("<u2", "<u4"), "flags": ("|u1",), "back": ("<u2",), "ahead": ("<u2",)}
OFFSET_UNITS = {"sentences": "ids", "paragraphs": "sentences", "documents": "paragraphs"}  # what an offset counts
TYPES = {**TOKEN_TYPES, **dict.fromkeys(OFFSET_UNITS, ("<i8",)), "labels": ("<i4",),
         "speakers": ("|u1",)}
DESCRIBED = ("version", "kind", "language", "vocab_size", "vocab_sha256")  # of a manifest: what the fingerprint covers


def check_manifest(manifest: Any, path: Path) -> None:
    """Raise InputError unless a manifest says everything that opening a store needs."""
    kinds = {"kind": str, "language": str, "vocab_size": int, "vocab_sha256": str, "fingerprint": str, "arrays": dict}
    for key, kind in kinds.items():
        if not isinstance(manifest.get(key), kind):
            raise InputError(f"manifest.json is damaged: {key} is {manifest.get(key)!r}", path)
    if manifest["kind"] not in ("documents", "pairs"):
        raise InputError(f"manifest.json is damaged: kind is {manifest['kind']!r}", path)
    needed = [*TOKEN_TYPES, *OFFSET_UNITS, *(["labels"] if manifest["kind"] == "pairs" else [])]
    for name in needed:
        if not isinstance(manifest["arrays"].get(name), int):
            raise InputError(f"manifest.json is damaged: it has no length of {name}", path)


def check_together(manifests: dict[Path, dict[str, Any]], more: tuple[str, ...] = ()) -> None:
    """Raise InputError where stores, named by their paths, differ in what the ids of their tokens mean, or in ``more``.

    Args:
        more: further keys of the manifests that have to be the same.
    """
    (first, wanted), *others = manifests.items()
    for path, manifest in others:
        for key in ("vocab_sha256", "language", *more):
            if manifest.get(key) != wanted.get(key):
                raise InputError(f"cannot be used with {first}: another {key.replace('_sha256', 'ulary')}", path)
        if manifest.get("lower_case", True) != wanted.get("lower_case", True):
            raise InputError(f"cannot be used with {first}: another lower_case (one is of ernie build-corpus --cased)",
                             path)


def check_array(name: str, array: np.ndarray, expected: int, path: Path) -> None:
    """Raise InputError unless a mapped array has the type and length that the manifest says, and its file no more."""
    if array.ndim != 1 or array.dtype.str not in TYPES[name]:
        raise InputError(f"store is damaged: {name}.npy is an array of type {array.dtype} with {array.ndim} dimensions",
                         path)
    if len(array) != expected:
        raise InputError(f"store is damaged: {name}.npy holds {len(array)} values, not {expected}", path)
    odd = (path / f"{name}.npy").stat().st_size - array.nbytes
    if not 0 < odd <= 4096:
        raise InputError(f"store is damaged: {name}.npy is {odd} bytes larger than its {len(array)} values", path)


def check_content(store: Store) -> None:
    """Look at samples of a store: ids below the vocabulary's size, offsets that rise to the end of what they count.

    Takes milliseconds, whatever the size of the store; a small one is looked at wholly.

    Raises:
        InputError: naming the array and the first odd value.
    """
    for name, unit in OFFSET_UNITS.items():
        offsets, end = getattr(store, name), len(getattr(store, unit)) - (unit != "ids")
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != end:
            raise InputError(f"store is damaged: {name}.npy does not run from 0 to the {end} {unit} there are",
                             store.path)
        for start, part in _samples(offsets):
            falling = np.flatnonzero(np.diff(part) < 0)
            if len(falling):
                raise InputError(f"store is damaged: offset {start + int(falling[0]) + 1} of {name}.npy is smaller "
                                 "than the one before", store.path)
    for name in TOKEN_TYPES:
        if len(getattr(store, name)) != len(store.ids):
            raise InputError(f"store is damaged: {name}.npy has {len(getattr(store, name))} values for "
                             f"{len(store.ids)} tokens", store.path)
    size = store.manifest["vocab_size"]
    for start, part in _samples(store.ids):
        if len(part) and part.max() >= size:
            place = int(np.argmax(part >= size))
            raise InputError(f"store is damaged: token {start + place} has id {part[place]}, the vocabulary has "
                             f"{size} entries", store.path)
    if store.labels is not None and len(store.labels) != len(store.paragraphs) - 1:
        raise InputError(f"store is damaged: {len(store.labels)} labels for {len(store.paragraphs) - 1} paragraphs",
                         store.path)
    if store.speakers is not None and len(store.speakers) != len(store.paragraphs) - 1:
        raise InputError(f"store is damaged: {len(store.speakers)} speakers for {len(store.paragraphs) - 1} paragraphs",
                         store.path)
    try:
        vocabulary = store.vocab_file.read_bytes()
    except OSError as error:
        raise InputError(f"store is damaged: vocab.txt cannot be read ({error.strerror})", store.path) from None
    if hashlib.sha256(vocabulary).hexdigest() != store.manifest["vocab_sha256"]:
        raise InputError("vocab.txt is not the vocabulary that the store was built with", store.path)


class FirstReads:
    """Verifies the blocks of a store as they are first read.

    Args:
        store: opened. Without checksums nothing is verified, and ``known`` is False.
    Raises:
        InputError: the file of checksums is damaged.
    """

    def __init__(self, store: Store):
        self.store = store
        self.known = (store.path / CHECKSUMS).is_file()
        self.checksums = read_checksums(store) if self.known else {}
        self.seen = {name: np.zeros(len(sums), bool) for name, sums in self.checksums.items()}

    def __call__(self, places: np.ndarray) -> None:
        """Verify the blocks in which the tokens at these offsets lie, as far as they have not been read before.

        Raises:
            InputError: a block is not what was written.
        """
        if not self.known:
            return
        blocks = places // BLOCK
        if self.seen["ids"][blocks].all():
            return
        for block in np.unique(blocks[~self.seen["ids"][blocks]]).tolist():
            self._verify(block)

    def _verify(self, block: int) -> None:
        for name in TOKEN_TYPES:
            self._verify_range(name, block, block)
        first, last = block * BLOCK, min((block + 1) * BLOCK, len(self.store)) - 1
        for name in OFFSET_UNITS:  # the offsets by which these tokens are found
            offsets = getattr(self.store, name)
            first, last = (int(np.searchsorted(offsets, place, side="right")) for place in (first, last))
            first, last = max(0, first - 1), min(last, len(offsets) - 1)
            self._verify_range(name, first // BLOCK, last // BLOCK)
            if name == "sentences" or name == "paragraphs":
                last = max(first, last - 1)
            if name == "paragraphs":
                for each in ("labels", "speakers"):
                    self._verify_paragraphs(each, first, last)

    def _verify_paragraphs(self, name: str, first: int, last: int) -> None:
        """Verify what is kept for each paragraph, where the store has it."""
        values = getattr(self.store, name)
        if values is not None and len(values):
            most = len(values) - 1
            self._verify_range(name, min(first, most) // BLOCK, min(last, most) // BLOCK)

    def _verify_range(self, name: str, first: int, last: int) -> None:
        for block in range(first, last + 1):
            if not self.seen[name][block]:
                verify_block(self.store, name, block, self.checksums[name])
                self.seen[name][block] = True


def read_checksums(store: Store) -> dict[str, np.ndarray]:
    """Read the checksums of a store's blocks, or raise InputError."""
    file = store.path / CHECKSUMS
    try:
        with np.load(file) as content:
            found = {name: content[name] for name in store.manifest["arrays"]}
    except Exception as error:  # whatever numpy and zipfile raise for a damaged file
        raise InputError(f"cannot be read ({type(error).__name__}: {error})", file) from None
    for name, sums in found.items():
        if sums.shape != (blocks_of(store.manifest["arrays"][name]),) or sums.dtype != np.uint32:
            raise InputError(f"has not one checksum for each block of {name}", file)
    return found


def blocks_of(entries: int) -> int:
    """Return the number of blocks in an array of so many entries."""
    return -(-entries // BLOCK)


def verify_block(store: Store, name: str, block: int, checksums: np.ndarray) -> None:
    """Raise InputError unless a block of an array is what was written."""
    content = np.ascontiguousarray(getattr(store, name)[block * BLOCK:(block + 1) * BLOCK])
    if zlib.crc32(content.data) != checksums[block]:
        raise InputError(f"store is damaged: entries {block * BLOCK} to {block * BLOCK + len(content) - 1} of "
                         f"{name}.npy are not what was written (checksum)", store.path)


def verify_blocks(store: Store) -> bool:
    """Hold every block of a store to its checksum. Returns False, having read nothing, where there are no checksums.

    Raises:
        InputError: naming the first block that is not what was written.
    """
    if not (store.path / CHECKSUMS).is_file():
        return False
    for name, checksums in read_checksums(store).items():
        for block in range(len(checksums)):
            verify_block(store, name, block, checksums)
        store.release()
    return True


def verify_store(store: Store) -> str:
    """Hold all of a store to its checksums, its fingerprint and its own rules. Returns a line of what was verified.

    Raises:
        InputError: naming what is not as it was written.
    """
    blocks = verify_blocks(store)
    digest = hashlib.sha256(json.dumps({key: store.manifest[key] for key in DESCRIBED}, sort_keys=True).encode())
    for name in sorted(store.manifest["arrays"]):
        array, inner = getattr(store, name), hashlib.sha256()
        for start in range(0, len(array), BLOCK):
            part = np.ascontiguousarray(array[start:start + BLOCK])
            inner.update(part.data)
            _check_part(store, name, start, part)
        digest.update(inner.digest())
        store.release()
    if digest.hexdigest()[:32] != store.fingerprint:
        raise InputError("store is damaged: its arrays are not those of its fingerprint", store.path)
    return (f"{len(store):,} tokens: arrays agree with the fingerprint"
            + (" and every block with its checksum" if blocks else "; written before there were checksums of blocks, "
               "so damage would not be noticed while training"))


def _check_part(store: Store, name: str, start: int, part: np.ndarray) -> None:
    if name == "ids" and len(part) and part.max() >= store.manifest["vocab_size"]:
        raise InputError(f"store is damaged: token {start + int(np.argmax(part))} has id {part.max()}, the "
                         f"vocabulary has {store.manifest['vocab_size']} entries", store.path)
    if name in OFFSET_UNITS and (np.diff(part) < 0).any():
        raise InputError(f"store is damaged: {name}.npy falls after entry {start}", store.path)


def _samples(array: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(first entry, entries) of parts of an array: all of a small one, some of a large one."""
    if len(array) <= SAMPLES * SAMPLE:
        return [(0, array)]
    starts = np.linspace(0, len(array) - SAMPLE, SAMPLES).astype(np.int64).tolist()
    return [(start, array[start:start + SAMPLE]) for start in starts]
