"""Raw text to a WordPiece vocabulary."""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reader.documents import LAYOUTS, Rejected, find_inputs, sample_documents
from reader.errors import InputError
from reader.tokenizer import SPECIAL_TOKENS


def train_vocab(texts: Iterable[str], language: str, size: int, lower_case: bool = True) -> list[str]:
    """Learn a WordPiece vocabulary with the ``tokenizers`` library: the special tokens, characters, then pieces.

    The same texts give the same vocabulary. For Chinese every CJK character of the texts is a token, rare ones too, as
    far as ``size`` allows; for English only the thousand most frequent characters are kept.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
                                        limit_alphabet=1000 if language == "en" else max(1, size - len(SPECIAL_TOKENS)))
    tokenizer.train_from_iterator(texts, trainer)
    return [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


def write_vocab(vocab: list[str], path) -> None:
    """A token a line; the file is whole or absent."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(f"{path}.partial")
    partial.write_text("".join(f"{token}\n" for token in vocab), "utf-8")
    os.replace(partial, path)


def build_vocab(inputs, language: str, size: int, output, *, layout: str = "file", sample: int = 10**9,
                lower_case: bool = True) -> tuple[list[str], Rejected]:
    """Learn a vocabulary from files and folders (reader/documents.py) and write it.

    Args:
        sample: characters of text that are looked at, taken evenly from the files when there are more.
    Returns:
        the vocabulary, and what could not be used.
    Raises:
        InputError: bad size or no usable text.
    """
    if size <= len(SPECIAL_TOKENS) + 1:
        raise InputError(f"a vocabulary of {size} tokens has no room for text")
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}: one of {', '.join(LAYOUTS)}")
    rejected = Rejected()
    documents = sample_documents(find_inputs(inputs), layout, language, sample, rejected)
    texts = (paragraph for paragraphs in documents for paragraph in paragraphs)
    vocab = train_vocab(texts, language, size, lower_case)
    if len(vocab) <= len(SPECIAL_TOKENS):
        raise InputError("no usable document in the input" + (f"; {rejected}" if rejected.total else ""))
    write_vocab(vocab, output)
    return vocab, rejected
