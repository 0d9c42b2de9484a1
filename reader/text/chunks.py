"""Raw text to chunks: the pieces that a BERT tokenizer can never join across.

WordPiece of a text is the concatenation of WordPiece of its chunks, so each distinct chunk need be tokenized only once
and a whole corpus becomes array look-ups (reader/text/chunk_cache.py). A chunk is a maximal run of characters that
are neither white space nor punctuation, or one punctuation character, or one CJK character; a single space after it
belongs to it.
"""
from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np

from reader.text.chunk_cache import PARAGRAPH_END, ChunkCache

# White space as the tokenizer sees it. Control characters (\x0b, \x0c, \x1c-\x1f, \x85) are not: it deletes them, so
# what stands on both sides of one is joined.
_SPACES = "\t\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CJK = ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
        "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f")


@cache
def chunk_pattern() -> re.Pattern:
    """Compile the regular expression whose ``findall`` splits any text into chunks, with white space, nothing lost.

    Punctuation: ASCII that is neither letter, digit nor space, and Unicode P*. Only characters on which the Unicode
    versions of Python and of the tokenizer agree split here; a newer one stays inside its chunk, where the tokenizer
    itself splits it.
    """
    single = _single_characters()
    return re.compile(f"[^{single}{_SPACES}\n]+ ?|[{single}] ?|\n|[{_SPACES}]+")


@cache
def _single_characters() -> str:
    """The inside of a character class: characters that are a chunk of their own."""
    points = [point for point in range(0x80, 0x20000)
              if unicodedata.ucd_3_2_0.category(chr(point))[0] == "P" == unicodedata.category(chr(point))[0]]
    return "!-/:-@\\[-`{-~" + _ranges(points) + _CJK


@cache
def _run_pattern() -> re.Pattern:
    return re.compile(f"[^{_single_characters()}{_SPACES}\n]+")


def drop_long_chunks(text: str, limit: int) -> tuple[str, int]:
    """Replace chunks of more than ``limit`` characters by a space; return the text and how many there were."""
    count = 0

    def keep(match: re.Match) -> str:
        nonlocal count
        if match.end() - match.start() <= limit:
            return match[0]
        count += 1
        return " "

    return _run_pattern().sub(keep, text), count


def _ranges(points: list[int]) -> str:
    parts, first = [], None
    for point, following in zip(points, points[1:] + [None]):
        first = point if first is None else first
        if following != point + 1:
            parts.append(f"\\U{first:08x}-\\U{point:08x}")
            first = None
    return "".join(parts)


class Block:
    """Several documents, split into chunks together; only the n chunks that make tokens are kept.

    Args:
        documents: documents as lists of paragraphs; a paragraph holds no newline.
        chunk_cache: what is known of each distinct chunk (reader/text/chunk_cache.py).
    Attributes:
        text: all paragraphs, each followed by PARAGRAPH_END.
        ids: [n] numbers of the chunks in the chunk_cache; ``chunk_cache.pieces_of(ids)`` are the tokens.
        starts, stops: [n] character offsets into ``text``, without the white space after the chunk.
        spaced: [n] bool, white space or the paragraph's end follows. features, keys: [n], see ChunkCache.
        paragraphs: [p+1] chunk offsets of the paragraphs, empty ones included.
        documents: [d+1] paragraph offsets of the documents.
    """

    def __init__(self, documents: list[list[str]], chunk_cache: ChunkCache):
        self.documents = np.cumsum([0] + [len(paragraphs) for paragraphs in documents])
        self.text = "".join(f"{paragraph}{PARAGRAPH_END}" for paragraphs in documents for paragraph in paragraphs)
        chunks = chunk_pattern().findall(self.text)
        every = chunk_cache.ids_of(chunks)
        lengths, trailing = chunk_cache.lengths[every], chunk_cache.trailing[every]
        visible = np.flatnonzero(chunk_cache.counts[every])
        self.ids = every[visible]
        self.starts = (np.cumsum(lengths) - lengths)[visible]
        self.stops = self.starts + lengths[visible] - trailing[visible]
        spaces = np.r_[0, np.cumsum(trailing > 0)]
        self.spaced = np.diff(spaces[np.r_[visible, len(every)]]) > 0
        self.features, self.keys = chunk_cache.features[self.ids], chunk_cache.keys[self.ids]
        ends = np.flatnonzero(every == chunk_cache.paragraph_end)
        self.paragraphs = np.r_[0, np.searchsorted(visible, ends)]

    def __len__(self) -> int:
        return len(self.ids)

    def paragraph_text(self) -> list[str]:
        """Return the paragraphs of the block."""
        return self.text.split(PARAGRAPH_END)[:-1]

    def chunk(self, index: int) -> str:
        """Return the raw text of one chunk."""
        return self.text[self.starts[index]:self.stops[index]]
