"""Documents to the tokens of a store: what decides them, and the steps."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reader.text.annotators import Annotation, find_annotator
from reader.text.annotators.spans import covered
from reader.text.chunk_cache import ChunkCache
from reader.text.chunks import Block
from reader.text.documents import Document, ReadOptions
from reader.text.fingerprints import exact_key, is_dev, words_of
from reader.text.flags import KIND_SHIFT, UNIT_START, WORD_START
from reader.text.tokenizer import Tokenizer

BLOCK_CHARACTERS = 1 << 19      # text that is annotated and tokenized at once


@dataclass(frozen=True)
class BuildRecipe:
    """Everything that decides what the store of a part holds, besides its input; sent to the workers."""

    language: str
    vocab_file: str
    layout: str = "file"
    annotator: str = "english"
    options: dict = field(default_factory=dict)
    lower_case: bool = True
    document_tokens: int | None = None  # longer documents are cut, see ``cut_documents``
    text_field: str = "text"
    title_field: str = "title"
    dev_share: float = 0.0     # of the documents go to a store of their own
    deduplicate: bool = False  # leave out copies of earlier documents

    @property
    def reading(self) -> ReadOptions:
        """Options of reading the input files."""
        return ReadOptions(self.layout, self.language, self.text_field, self.title_field)

    def is_train(self, document: Document) -> bool:
        """Tell whether a document is for train, not for dev."""
        return not self.dev_share or not is_dev(exact_key(words_of(document.paragraphs)), self.dev_share)


class PartTokens(NamedTuple):
    """A block as the store wants it."""

    ids: np.ndarray         # [t]
    flags: np.ndarray       # [t] uint8
    sentences: np.ndarray   # [s] tokens in each
    paragraphs: np.ndarray  # [p] sentences in each
    documents: np.ndarray   # [d] paragraphs in each
    units: np.ndarray       # [3] units of each kind
    kept: np.ndarray        # [q] bool, which of the paragraphs that were given have tokens


class Pipeline:
    """Documents to tokens: the annotator, with what it has learnt, and the chunk_cache it fills as it goes."""

    def __init__(self, recipe: BuildRecipe, learnt: Path):
        self.annotator = find_annotator(recipe.annotator)(**recipe.options)
        self.annotator.open(learnt)
        self.chunk_cache = ChunkCache(Tokenizer.load(recipe.vocab_file, recipe.lower_case), self.annotator.describe)

    def tokens(self, documents: list[list[str]], split: bool = True) -> PartTokens | None:
        """Tokenize documents; None when there are none. split: find sentences; else a paragraph is one."""
        self.chunk_cache.trim()
        block = Block([self.annotator.convert(document) for document in documents], self.chunk_cache)
        if not len(block):
            return None
        annotation = self.annotator.annotate(block)
        return to_tokens(block, annotation if split else replace(annotation, sentences=block.paragraphs[:0]),
                         self.chunk_cache)


def cut_documents(tokens: PartTokens, limit: int) -> PartTokens:
    """Cut documents of more than ``limit`` tokens between paragraphs; a paragraph stays whole.

    In a long document nearly every token occurs elsewhere too, and the token-document relation says little.
    """
    ends = np.cumsum(tokens.sentences)[np.cumsum(tokens.paragraphs) - 1]
    lengths = np.diff(np.r_[0, ends]).tolist()
    sizes, paragraph = [], 0
    for count in tokens.documents.tolist():
        held, size = 0, 0
        for length in lengths[paragraph:paragraph + count]:
            if held and size + length > limit:
                sizes.append(held)
                held, size = 0, 0
            held, size = held + 1, size + length
        sizes.append(held)
        paragraph += count
    return tokens._replace(documents=np.array(sizes, np.int64))


def batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield documents in groups of about BLOCK_CHARACTERS."""
    group, size = [], 0
    for document in documents:
        group.append(document)
        size += sum(map(len, document.paragraphs))
        if size >= BLOCK_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def to_tokens(block: Block, annotation: Annotation, chunk_cache: ChunkCache) -> PartTokens:
    """Return the PartTokens, flags and sizes of an annotated block of n > 0 chunks."""
    n = len(block)
    ids, flags, counts = chunk_cache.pieces_of(block.ids)
    ends = np.r_[0, np.cumsum(counts)]
    inner = covered(annotation.starts, annotation.stops, n)
    inner[annotation.starts] = False
    kinds = np.zeros(n, np.uint8)
    kinds[annotation.starts] = annotation.kinds
    owner = np.maximum.accumulate(np.where(inner, 0, np.arange(n)))
    kinds = np.where(inner, kinds[owner], kinds)
    if annotation.continues is not None:
        flags = flags & ~np.repeat(np.where(annotation.continues, WORD_START | UNIT_START, 0).astype(np.uint8), counts)
    flags = flags & ~np.repeat(np.where(inner, UNIT_START, 0).astype(np.uint8), counts)
    several = np.repeat(kinds != 0, counts)  # words inside one odd chunk are one unit, when the chunk is in one
    first = np.zeros(len(ids), bool)
    first[ends[:-1]] = True
    flags = np.where(several & ~first, flags & ~np.uint8(UNIT_START), flags) | np.repeat(kinds << KIND_SHIFT, counts)
    flags = flags.astype(np.uint8)
    units = np.bincount((flags[flags & UNIT_START > 0] & 0b1100) >> KIND_SHIFT, minlength=3)
    starts = np.zeros(n + 1, bool)
    starts[annotation.sentences] = True
    starts[block.paragraphs] = True
    starts[n] = True
    bounds = np.flatnonzero(starts)
    sentences = np.diff(ends[bounds])
    per_paragraph = np.diff(np.searchsorted(bounds, block.paragraphs))
    filled = per_paragraph > 0
    per_document = np.diff(np.r_[0, np.cumsum(filled)][block.documents])
    return PartTokens(ids, flags, sentences, per_paragraph[filled], per_document[per_document > 0], units,
                      filled)
