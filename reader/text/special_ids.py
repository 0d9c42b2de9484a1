"""The ids that are not text, read from a vocabulary file; all that making batches needs to know of a vocabulary."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError
from reader.utils.files import StrPath

NOT_REGULAR = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]")


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens. regular_ids: [k] int64, the ids that may stand in for a token at random."""

    cls_id: int
    sep_id: int
    mask_id: int
    pad_id: int
    regular_ids: np.ndarray

    @classmethod
    def of(cls, vocabulary: Any) -> SpecialIds:
        """Copy the same five attributes of any object, such as a tokenizer."""
        return cls(vocabulary.cls_id, vocabulary.sep_id, vocabulary.mask_id, vocabulary.pad_id,
                   np.asarray(vocabulary.regular_ids, np.int64))

    @classmethod
    def from_file(cls, path: StrPath) -> SpecialIds:
        """Read them from a vocabulary file. Raises InputError when a special token is missing."""
        ids = {token: index for index, token in enumerate(read_vocab(path))}
        missing = [token for token in ("[CLS]", "[SEP]", "[MASK]", "[PAD]") if token not in ids]
        if missing:
            raise InputError(f"vocabulary lacks {', '.join(missing)}", path)
        regular = [index for token, index in ids.items() if token and not NOT_REGULAR.fullmatch(token)]
        return cls(ids["[CLS]"], ids["[SEP]"], ids["[MASK]"], ids["[PAD]"], np.array(regular, np.int64))
