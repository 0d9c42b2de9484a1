"""Raw text to a WordPiece vocabulary."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from reader.text.chunks import chunk_pattern
from reader.text.converter import open_converter
from reader.text.documents import LAYOUTS, ReadOptions, Rejected, find_inputs
from reader.text.sampling import Sample
from reader.text.tokenizer import SPECIAL_TOKENS
from reader.utils.errors import InputError
from reader.utils.files import Paths, StrPath, atomic_write


def train_vocab(texts: Iterable[str], language: str, size: int, lower_case: bool = True) -> list[str]:
    """Learn a WordPiece vocabulary with the ``tokenizers`` library: special tokens, characters, then pieces.

    The same texts give the same vocabulary. The library breaks ties between pieces by the numbers of their characters,
    which it gives out in random order: here the characters get their numbers first, by frequency.

    Args:
        texts: read twice.
        size: tokens. Of them a twentieth at most are characters that open a word in English; in Chinese as many as
            there are, up to nine tenths: every CJK character of the texts is a token.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts: Counter = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    del counts[" "]
    room = size - len(SPECIAL_TOKENS)
    share = min(max(26, size // 20), room // 2) if language == "en" else room * 9 // 10
    characters = sorted(counts, key=lambda character: (-counts[character], character))[:share]
    inside = [f"##{character}" for character in characters if len(chunk_pattern().findall(character * 2)) == 1]
    trainer = trainers.WordPieceTrainer(vocab_size=size, show_progress=False, limit_alphabet=len(characters),
                                        initial_alphabet=characters,
                                        special_tokens=[*SPECIAL_TOKENS, *characters, *inside])
    tokenizer.train_from_iterator(texts, trainer)
    return [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


def write_vocab(vocab: list[str], path: StrPath) -> None:
    """Write a vocabulary, a token a line; the file is whole or absent."""
    with atomic_write(path) as file:
        file.writelines(f"{token}\n" for token in vocab)


def build_vocab(inputs: Paths, language: str, size: int, output: StrPath, *, layout: str = "file", sample: int = 10**9,
                lower_case: bool = True, text_field: str = "text", title_field: str = "title",
                convert: str | None = None) -> tuple[list[str], Rejected]:
    """Learn a vocabulary from files and folders (reader/text/documents.py) and write it.

    Args:
        sample: characters of text that are looked at, a uniform sample of the input (reader/text/sampling.py) where
            it holds more.
        text_field, title_field: names of fields of records (.jsonl, parquet, Arrow).
        convert: an OpenCC configuration that the text is converted by, such as t2s.
    Returns:
        the vocabulary, and what could not be used.
    Raises:
        InputError: bad size or no usable text.
    """
    if size <= len(SPECIAL_TOKENS) + 1:
        raise InputError(f"a vocabulary of {size} tokens has no room for text")
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}: one of {', '.join(LAYOUTS)}")
    rejected, options = Rejected(), ReadOptions(layout, language, text_field, title_field)
    files = find_inputs(inputs, rejected, vocabulary=output)
    texts = Paragraphs(Sample(files, options, sample, rejected), convert)
    vocab = train_vocab(texts, language, size, lower_case)
    if len(vocab) <= len(SPECIAL_TOKENS):
        raise InputError("no usable document in the input" + (f"; {rejected.line}" if rejected.total else ""))
    write_vocab(vocab, output)
    return vocab, rejected



class Paragraphs:
    """The paragraphs of documents, each a list of paragraphs; iterates as often as the documents do.

    Args:
        convert: an OpenCC configuration that the text is converted by, or None.
    """

    def __init__(self, documents: Iterable[list[str]], convert: str | None = None):
        self.documents, self._converter = documents, open_converter(convert) if convert else None

    def __iter__(self) -> Iterator[str]:
        for paragraphs in self.documents:
            yield from map(self._converter.convert, paragraphs) if self._converter else paragraphs
