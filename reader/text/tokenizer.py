"""One WordPiece tokenizer for every family of checkpoints, over the ``tokenizers`` library."""
from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reader.utils.errors import InputError
from reader.utils.files import StrPath
from reader.utils.text import HALF

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# the symbols of PaddleNLP: those of Unicode, and some letters and numbers that it counts among them
SYMBOLS = r"[\p{S}\x{00B2}\x{00BA}\x{3007}\x{00B5}\x{00D8}\x{014B}\x{01B1}]"


class Encoding(NamedTuple):
    """A tokenized text. ids: [n] int64. offsets: [n, 2] int64, characters [start, stop) of the raw text."""

    ids: np.ndarray
    offsets: np.ndarray


class Tokenizer:
    """BERT's tokenizer: clean, split at spaces, punctuation and CJK characters, then the longest pieces first.

    Special tokens are never read from text: "[MASK]" written in a document is an ordinary bracketed word.

    Args:
        vocab: tokens by id. lower_case: lower-case and strip accents, as all ERNIE vocabularies expect.
        split_symbols: make every symbol (℃ ● ~ emoji; Unicode S*) a word of its own and drop private-use characters, as
            PaddleNLP does; BERT, Baidu's releases and transformers do not.
    Attributes:
        vocab: list of str. size: its length. pad_id, cls_id, sep_id, unk_id, mask_id: ids of the special tokens.
        regular_ids: [k] int64, the ids that may replace a token at random: neither special nor reserved ones.
        backend: the ``tokenizers.Tokenizer``.
    Raises:
        InputError: a special token is missing.
    """

    def __init__(self, vocab: list[str], lower_case: bool = True, split_symbols: bool = False,
                 path: StrPath | None = None):
        from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
        from tokenizers import Tokenizer as Backend

        index = {token: number for number, token in enumerate(vocab)}
        missing = [token for token in SPECIAL_TOKENS if token not in index]
        if missing:
            raise InputError(f"vocabulary lacks {', '.join(missing)}", path)
        self.vocab, self.size, self.lower_case = vocab, len(vocab), lower_case
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (index[token] for token in SPECIAL_TOKENS)
        reserved = [token.startswith("[unused") or token in SPECIAL_TOKENS for token in vocab]
        self.regular_ids = np.flatnonzero(~np.array(reserved))
        self.backend = Backend(models.WordPiece(index, unk_token="[UNK]", max_input_chars_per_word=100))
        self.backend.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        self.backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        if split_symbols:
            self.backend.normalizer = normalizers.Sequence([
                normalizers.Replace(Regex(r"[\p{C}&&[^\t\n\r]]"), ""), self.backend.normalizer])
            self.backend.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(SYMBOLS), "isolated"), self.backend.pre_tokenizer])
        self.backend.decoder = decoders.WordPiece()

    @classmethod
    def load(cls, vocab_file: StrPath, lower_case: bool = True, split_symbols: bool = False) -> Tokenizer:
        """Read a vocabulary file: a token a line, or ``token<TAB>id`` lines as the Chinese release has them.

        Raises:
            InputError: the file is missing, not UTF-8, or its ids are not 0, 1, 2, ...
        """
        return cls(read_vocab(vocab_file), lower_case, split_symbols, vocab_file)

    def __len__(self) -> int:
        return self.size

    def encode(self, text: str) -> Encoding:
        """Return the ids and raw-text offsets of a text, without special tokens."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[Encoding]:
        """Apply ``encode`` to many texts, on all cores."""
        try:
            encoded = self.backend.encode_batch(texts, add_special_tokens=False)
        except TypeError:  # what it says of half of a surrogate pair, which no file of text holds and a program may
            encoded = self.backend.encode_batch([HALF.sub("\ufffd", text) for text in texts], add_special_tokens=False)
        return [Encoding(np.array(found.ids, np.int64), np.array(found.offsets, np.int64).reshape(-1, 2))
                for found in encoded]

    def tokens(self, ids: Any) -> list[str]:
        """Return the vocabulary entries of ids."""
        return [self.vocab[number] for number in np.asarray(ids).tolist()]

    def decode(self, ids: Any) -> str:
        """Return readable text of ids: pieces joined, special tokens kept."""
        return self.backend.decode(np.asarray(ids).tolist(), skip_special_tokens=False)


def read_vocab(vocab_file: StrPath) -> list[str]:
    """Read the tokens of a vocabulary file by id; see ``Tokenizer.load``."""
    path = Path(vocab_file)
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except FileNotFoundError:
        raise InputError("vocabulary file not found", path) from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"vocabulary cannot be read ({error})", path) from None
    vocab: list[str] = []
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, 1):
        token, tab, index = line.rstrip("\r").partition("\t")
        if tab and index.strip() != str(len(vocab)):
            raise InputError(f"id {index!r} of token {token!r} is not {len(vocab)}", path, number)
        vocab.append(token)
    return vocab


def is_capitalised(word: str) -> bool:
    """Tell whether the first cased letter of a word is upper (or title) case: the label of the capitalization task."""
    for character in word:
        if character.islower():
            return False
        if character.isupper() or unicodedata.category(character) == "Lt":
            return True
    return False
