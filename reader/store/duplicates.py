"""Find documents of an input that are exact or near copies of earlier ones, whatever file they are in.

Two documents are exact copies when their words are the same, case, punctuation and white space aside; near copies when
the MinHash estimate (rensa) of the Jaccard similarity of their runs of SHINGLE words is at least SIMILAR. Of documents
that are copies of one another, directly or by way of others, the first is kept. Candidates come from bands of the
signatures: a pair of similarity 0.8 is found with probability 0.998, of 0.9 with 1 - 1e-7.

Signatures are made on all cores and lie on disk (520 bytes a document); deciding takes 40 bytes of memory a document.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np

from reader.store.pipeline import BuildRecipe
from reader.text.documents import Rejected, Span, read_documents
from reader.text.fingerprints import exact_key, is_dev, words_of
from reader.text.rejected import EXACT_COPY, NEAR_COPY
from reader.utils.errors import InputError
from reader.utils.files import atomic_write

SHINGLE, SIMILAR = 5, 0.8
BANDS, ROWS = 21, 6
PERMUTATIONS, SEED = 128, 1
KEPT, EXACT, NEAR = 0, 1, 2
REASONS = {EXACT: EXACT_COPY, NEAR: NEAR_COPY}
PAIRS = 1 << 15  # compared at once


def check_rensa() -> None:
    """Raise InputError where the package that makes signatures is missing."""
    try:
        import rensa  # noqa: F401
    except ImportError as error:
        raise InputError(f"--deduplicate needs the extra: pip install ernie-pretrain[corpora] ({error})") from None


def sign_part(recipe: BuildRecipe, spans: list[Span], folder: Path, index: int) -> None:
    """Write the keys [n] uint64 and signatures [n, PERMUTATIONS] uint32 of a part's documents; runs in a worker."""
    from rensa import RMinHash
    keys, signatures = [], []
    for span in spans:
        for document in read_documents(span, recipe.reading, Rejected()):
            words = words_of(document.paragraphs)
            keys.append(exact_key(words))
            minhash = RMinHash(num_perm=PERMUTATIONS, seed=SEED)
            minhash.update([" ".join(words[k:k + SHINGLE]) for k in range(max(1, len(words) - SHINGLE + 1))])
            signatures.append(np.array(minhash.digest(), np.uint32))
    np.save(folder / f"{index:06d}.signatures.npy", np.array(signatures, np.uint32).reshape(-1, PERMUTATIONS))
    with atomic_write(folder / f"{index:06d}.keys.npy", "wb") as file:  # last and whole: it says that the part is done
        np.save(file, np.array(keys, np.uint64))


class Verdicts:
    """Decisions on all documents of an input: [n] uint8 KEPT, EXACT or NEAR, in order.

    Args:
        folder: holds the files of ``sign_part`` of all ``parts``; the verdicts are kept there too.
        dev_share: of the documents, to count copies across train and dev.
    """

    def __init__(self, folder: Path, parts: int, dev_share: float = 0.0):
        file = folder / "verdicts.npz"
        if not file.exists():
            keys = [np.load(folder / f"{index:06d}.keys.npy") for index in range(parts)]
            starts = np.cumsum([0, *map(len, keys)])
            verdicts, across = decide(np.concatenate(keys), signatures_of(folder, starts), dev_share)
            partial = folder / "verdicts.partial.npz"
            np.savez(partial, verdicts=verdicts, starts=starts, across=across)
            partial.rename(file)
        with np.load(file) as content:
            self.verdicts, self.starts, self.across = content["verdicts"], content["starts"], int(content["across"])

    def of_part(self, index: int) -> np.ndarray:
        """Return the verdicts on the documents of a part."""
        return self.verdicts[self.starts[index]:self.starts[index + 1]]


def signatures_of(folder: Path, starts: np.ndarray) -> np.ndarray:
    """Join the signatures of all parts into one array on disk."""
    path = folder / "signatures.npy"
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint32, shape=(int(starts[-1]), PERMUTATIONS))
    for index, (start, stop) in enumerate(zip(starts, starts[1:])):
        whole[start:stop] = np.load(folder / f"{index:06d}.signatures.npy", mmap_mode="r")
    return whole


def decide(keys: np.ndarray, signatures: np.ndarray, dev_share: float = 0.0) -> tuple[np.ndarray, int]:
    """Return ([n] uint8 verdicts, number of near copies on the other side of train and dev than the document kept)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    root = first[inverse.reshape(-1)]                      # [n] the first exact copy
    alone = np.flatnonzero(root == np.arange(len(keys)))
    parent = np.arange(len(keys))
    for band in range(BANDS):
        for one, other in similar_pairs(alone, signatures, band * ROWS):
            join_sets(parent, one, other)
    nearest = np.array([find_set(parent, document) for document in alone.tolist()], np.int64)
    verdicts = np.full(len(keys), EXACT, np.uint8)
    verdicts[alone] = np.where(nearest == alone, KEPT, NEAR)
    dev = np.asarray(is_dev(keys, dev_share))
    return verdicts, int((dev[alone] != dev[nearest]).sum())


def similar_pairs(documents: np.ndarray, signatures: np.ndarray, row: int) -> list[tuple[int, int]]:
    """Find pairs of documents that share the band from ``row`` on and are similar: each with the first that has it,
    and with the one before it."""
    band = np.zeros(len(documents), np.uint64)
    for column in range(row, row + ROWS):
        band = band * np.uint64(0x9E3779B97F4A7C15) + signatures[documents, column] + np.uint64(1)
    order = np.argsort(band, kind="stable")
    repeated = np.flatnonzero(band[order[1:]] == band[order[:-1]]) + 1
    opens = np.r_[True, band[order[1:]] != band[order[:-1]]] if len(order) else np.zeros(0, bool)
    head = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    pairs = np.unique(np.r_[np.c_[head[repeated], repeated], np.c_[repeated - 1, repeated]], axis=0)
    found: list[tuple[int, int]] = []
    for start in range(0, len(pairs), PAIRS):
        one, other = documents[order[pairs[start:start + PAIRS]]].T
        good = (signatures[one] == signatures[other]).mean(1) >= SIMILAR
        found += zip(one[good].tolist(), other[good].tolist())
    return found


def find_set(parent: np.ndarray, member: int) -> int:
    """Return the first document of the set that holds a member."""
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = int(parent[member])
    return member


def join_sets(parent: np.ndarray, one: int, other: int) -> None:
    """Make two sets one, whose first document stands for it."""
    one, other = find_set(parent, one), find_set(parent, other)
    parent[max(one, other)] = min(one, other)
