"""Small vocabularies and pipelines for the tests of the text side."""
from __future__ import annotations

import numpy as np

from reader.text.annotators import Annotation, Annotator, find_annotator
from reader.text.chunk_cache import ChunkCache
from reader.text.chunks import Block
from reader.text.flags import KIND, KIND_NAMES, KIND_SHIFT, UNIT_START, WORD_START
from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-():;&–…“”‘’«»¡。，！？“”（）：；"
WORDS = ("the", "cat", "sat", "un", "##want", "##ed", "run", "##n", "##ing", "new", "york", "city", "mr", "smith")
HANZI = "我爱北京天安门他说你好吗很高兴见到但是因此今天气不错中国人民"
VOCAB = list(dict.fromkeys([*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS, *HANZI]))
TOKENIZER = Tokenizer(VOCAB)


class Plain(Annotator):
    """Every chunk a word, every paragraph a sentence."""

    def annotate(self, block: Block) -> Annotation:
        none = np.zeros(0, np.int64)
        return Annotation(none, none, none, none)


def block_of(documents: list[list[str]], annotator: Annotator | None = None) -> tuple[Block, ChunkCache]:
    """A block and its chunk_cache."""
    chunk_cache = ChunkCache(TOKENIZER, annotator and annotator.describe)
    return Block(documents, chunk_cache), chunk_cache


def opened(name: str, folder, phrases=(), names=(), **options) -> Annotator:
    """An annotator that has learnt just these phrases and name words."""
    for file, lines in (("phrases", phrases), ("names", names)):
        (folder / f"{file}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    annotator = find_annotator(name)(**options)
    annotator.open(folder)
    return annotator


def sentences(annotator: Annotator, text: str) -> list[str]:
    """The sentences an annotator finds in a paragraph."""
    block, _ = block_of([[text]], annotator)
    starts = sorted({0, *annotator.annotate(block).sentences.tolist()})
    return [text[block.starts[a]:block.stops[b - 1]] for a, b in zip(starts, starts[1:] + [len(block)])]


def units(annotator: Annotator, text: str, kinds=("phrase", "entity")) -> list[tuple[str, str]]:
    """(text, kind) of the units an annotator finds in a paragraph."""
    block, _ = block_of([[text]], annotator)
    found = annotator.annotate(block)
    every = [(text[block.starts[a]:block.stops[b - 1]], KIND_NAMES[kind])
             for a, b, kind in zip(found.starts, found.stops, found.kinds)]
    return [unit for unit in every if unit[1] in kinds]


def stored_units(store, start: int, stop: int) -> list[tuple[str, str]]:
    """(pieces joined, kind) of the units in a token range of a store; words are parted by a space."""
    vocab, found = (store.path / "vocab.txt").read_text("utf-8").split("\n"), []
    for token, flag in zip(store.ids[start:stop].tolist(), store.flags[start:stop].tolist()):
        piece = vocab[token]
        piece = piece[2:] if piece.startswith("##") else piece
        if flag & UNIT_START:
            found.append([piece, KIND_NAMES[(flag & KIND) >> KIND_SHIFT]])
        else:
            found[-1][0] += (" " if flag & WORD_START else "") + piece
    return [tuple(unit) for unit in found]
