"""Chinese: words from jieba, names from its dictionary tags, phrases from long words and mined collocations.

Words. Runs of Chinese characters, Latin letters and digits are cut by jieba (with its HMM), or by ``rjieba`` where that
is installed, which gives the same words many times faster. Characters, not words, are the tokens; a word is a unit.

Entity rule. Words of two or more characters that jieba's dictionary tags nr, ns, nt or nz (person, place, organisation,
other name), and words of two or three characters that the dictionary does not know and that begin with a family name
of reader/text/data/surnames_zh.txt.

Words that the dictionary calls names and that hardly ever are one (东西, 城市) are listed in
reader/text/data/not_names_zh.txt.

Phrase rule. Sequences of two to four words that gensim's ``Phrases`` finds by normalised pointwise mutual information
in a sample (``phrases.txt``); outside of them noun phrases by the dictionary's tags, two or three words and three to
eight characters: adjectives and nouns (a, b, n ..., vn), then a noun; and single words of four or more characters that
are no names (compounds, idioms).

Sentence rule. ``。！？!?`` and the quotes or brackets that close behind them end a sentence; an ellipsis does so only
before a closing quote; a full stop ``.`` does when white space follows, a wide one ``．`` unless a letter or digit
stands before it.

Options: user_dict=FILE (jieba's format, ``word [frequency] [tag]`` lines), convert=t2s (any OpenCC configuration: the
text is converted before anything else), segmenter=rjieba or jieba.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from reader.text.annotators import Annotation, Annotator
from reader.text.annotators.collocations import mine_phrases
from reader.text.annotators.spans import Phrases, covered, quote_opens
from reader.text.annotators.word_lists import DATA, read_lines, write_lines
from reader.text.chunk_cache import Numbers, word_key
from reader.text.chunks import Block
from reader.text.converter import open_converter
from reader.text.flags import ENTITY, PHRASE, WORD
from reader.utils.errors import InputError
from reader.utils.files import StrPath

ENDER, ELLIPSIS, STOP, OPENER, CLOSER, PLAIN_QUOTE, WIDE_STOP, LATIN = (1 << bit for bit in range(8))
NAME, LONG, HANZI, HEAD, NOUN, MODIFIER, SINGLE = (1 << bit for bit in range(7))
NAME_TAGS = ("nr", "ns", "nt", "nz")
NOUN_TAGS = frozenset(("n", "ng", "vn", "an", "l", "j", "s", "ns", "nz", "nt"))
MODIFIER_TAGS = frozenset(("a", "b", "ad", "z"))
LONG_WORD = 4
PHRASE_WORDS, PHRASE_CHARACTERS = 3, (3, 8)  # longest noun phrase; least and most characters
_OUTSIDE = re.compile("[^\u4e00-\u9fd5a-zA-Z0-9]")  # what no word crosses; both segmenters agree on the rest
_HANZI = re.compile("[\u4e00-\u9fd5]+")
_ROLES = {ENDER: "。！？!?｡", ELLIPSIS: "…", STOP: ".", WIDE_STOP: "．", OPENER: "“‘「『（(《〈【[{〔",
          CLOSER: "”’」』）)》〉】]}〕", PLAIN_QUOTE: "\"'"}


class Chinese(Annotator):
    """The default annotator for Chinese; the rules are those of the module."""

    language = "zh"
    sample = 2_000_000

    def __init__(self, user_dict: StrPath | None = None, convert: str | None = None,
                 segmenter: str | type | None = None, **options: Any):
        super().__init__(**options)
        kind = segmenter if isinstance(segmenter, type) else find_segmenter(segmenter)
        self.segmenter = kind(read_user_dict(user_dict) if user_dict else [])
        self._converter = open_converter(convert) if convert else None
        self.phrases, self._words = Phrases([]), Numbers()
        self._bits: list[int] = []
        self._keys: list[int] = []

    def convert(self, document: list[str]) -> list[str]:
        """Convert traditional to simplified characters, where it was asked for."""
        return [self._converter.convert(paragraph) for paragraph in document] if self._converter else document

    @classmethod
    def mine(cls, sample: Iterable[list[str]], path: StrPath, **options: Any) -> None:
        """Write phrases.txt."""
        annotator = cls(**options)
        runs = (run for document in sample for paragraph in annotator.convert(document)
                for run in annotator.runs(paragraph))
        phrases = mine_phrases([run for run in runs if len(run) > 1])
        long = (phrase for phrase in phrases if len(phrase.replace(" ", "")) >= LONG_WORD)
        write_lines(Path(path, "phrases.txt"), long)

    def runs(self, paragraph: str) -> list[list[str]]:
        """Return the runs of Chinese words in a paragraph; anything else ends a run."""
        words = (word if _HANZI.fullmatch(word) else "" for word in self.segmenter.cut(paragraph)[0])
        return [list(run) for hanzi, run in groupby(words, bool) if hanzi]

    def open(self, path: StrPath) -> None:
        """Read phrases.txt."""
        self.phrases = Phrases([line.split(" ") for line in read_lines(Path(path, "phrases.txt"))])

    def describe(self, word: str) -> int:
        """Return the roles of a punctuation mark, or LATIN for a word that ends in a non-Chinese letter or digit."""
        role = sum(role for role, marks in _ROLES.items() if word in marks) if len(word) == 1 else 0
        return role | (LATIN if word and word[-1].isalnum() and not _HANZI.match(word[-1]) else 0)

    def annotate(self, block: Block) -> Annotation:
        """Apply the rules; n chunks make m words."""
        first = np.zeros(len(block) + 1, bool)
        first[block.paragraphs] = True
        first = first[:-1]
        first[sentence_starts(block, first)] = True
        words, entries = self.segmenter.cut(block.text)
        numbers, lengths = self._look_up(entries), np.fromiter(map(len, words), np.int64, len(words))
        owner = np.repeat(np.arange(len(words)), lengths)[block.starts]  # word of each chunk
        continues = np.r_[False, owner[1:] == owner[:-1]] & ~first
        starts = np.flatnonzero(~continues)                               # [m] first chunk of each word
        stops = np.r_[starts[1:], len(block)]
        numbers = numbers[owner[starts]]
        kinds, starts, stops = self._units(np.array(self._bits)[numbers], np.array(self._keys, np.uint64)[numbers],
                                           first[starts], starts, stops)
        return Annotation(np.flatnonzero(first), starts, stops, kinds, continues)

    def _units(self, bits, keys, first, starts, stops) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kinds = np.where(bits & NAME > 0, ENTITY, np.where(bits & LONG > 0, PHRASE, WORD))
        free = (bits & HANZI > 0) & (kinds != ENTITY)
        begin, end = self.phrases.find(keys, free, first, bits & HEAD > 0)
        free &= ~covered(begin, end, len(bits))
        nominal, final = noun_phrases(bits, stops - starts, free, first)
        begin, end = np.r_[begin, nominal], np.r_[end, final]
        alone = np.flatnonzero(~covered(begin, end, len(bits)) & ((kinds != WORD) | (stops - starts > 1)))
        kinds = np.r_[kinds[alone], np.full(len(begin), PHRASE)]
        starts, stops = np.r_[starts[alone], starts[begin]], np.r_[stops[alone], stops[end - 1]]
        order = np.argsort(starts)
        return kinds[order], starts[order], stops[order]

    def _look_up(self, entries: list) -> np.ndarray:
        if len(self._words) > 1_000_000:
            self._words, self._bits, self._keys = Numbers(), [], []
        numbers, new = self._words.of(entries)
        for word, tag in map(self.segmenter.word_and_tag, new):
            self._bits.append(self._describe_word(word, tag))
            self._keys.append(word_key(word))
        return numbers

    def _describe_word(self, word: str, tag: str) -> int:
        if not _HANZI.search(word):
            return 0
        name = len(word) > 1 and self._is_name(word, tag)
        bits = NAME if name else LONG if len(word) >= LONG_WORD else 0
        if not name and tag:
            bits |= NOUN if tag in NOUN_TAGS else MODIFIER if tag in MODIFIER_TAGS else 0
        bits |= SINGLE if len(word) == 1 else 0
        return bits | (HANZI if _HANZI.fullmatch(word) else 0) | (HEAD if word in self.phrases.first_words else 0)

    def _is_name(self, word: str, tag: str) -> bool:
        if tag:
            return tag[:2] in NAME_TAGS and word not in not_names()
        return len(word) <= 3 and word.startswith(self._surnames)

    @cached_property
    def _surnames(self) -> tuple:
        return tuple(" ".join(read_lines(DATA / "surnames_zh.txt")).split())


@cache
def not_names() -> frozenset[str]:
    """Return the words that jieba's dictionary tags as names and that are common words."""
    return frozenset(" ".join(read_lines(DATA / "not_names_zh.txt")).split())


def noun_phrases(bits: np.ndarray, lengths: np.ndarray, free: np.ndarray,
                 first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find noun phrases of two or more words, by the rule of the module.

    Args:
        bits: [m] of each word. lengths: [m] its chunks. free: [m] bool, words that may be part of a phrase.
        first: [m] bool, words that open a sentence.
    Returns:
        (starts, stops) word ranges, in order.
    """
    noun = free & (bits & NOUN > 0)
    modifier = free & (bits & MODIFIER > 0)
    member = noun | modifier
    before = lambda mask: np.r_[False, mask[:-1]]  # noqa: E731
    single = bits & SINGLE > 0
    start = member & (~before(member) | first | modifier & before(noun) | before(noun & single))
    starts = np.flatnonzero(start)
    if not len(starts):
        return starts, starts
    group = np.cumsum(start) - 1
    inside = np.flatnonzero(noun)
    last = np.full(len(starts), -1)
    np.maximum.at(last, group[inside], inside)  # the last noun of each group ends its phrase
    stops, characters = last + 1, np.r_[0, np.cumsum(lengths)]
    kept = stops > starts
    starts, stops = starts[kept], stops[kept]
    starts = np.maximum(starts, stops - PHRASE_WORDS)
    for _ in range(PHRASE_WORDS - 1):
        starts = np.where(characters[stops] - characters[starts] > PHRASE_CHARACTERS[1], starts + 1, starts)
    count = characters[stops] - characters[starts]
    kept = (stops - starts > 1) & (count >= PHRASE_CHARACTERS[0])
    return starts[kept], stops[kept]


def sentence_starts(block: Block, paragraph_start: np.ndarray) -> np.ndarray:
    """Find chunks that open a sentence inside a paragraph, by the rule of the module. paragraph_start: [n] bool."""
    features, spaced = block.features, block.spaced
    if len(features) < 2:
        return np.zeros(0, np.int64)
    has = lambda bits: features & bits > 0  # noqa: E731
    plain = has(PLAIN_QUOTE)
    opens = quote_opens(plain, spaced, paragraph_start)
    closer = has(CLOSER) | plain & ~opens
    ends = has(ENDER) | has(STOP) & spaced | has(WIDE_STOP) & ~np.r_[False, has(LATIN)[:-1]]
    before_closer = np.r_[closer[1:], False]
    ends |= has(ELLIPSIS) & before_closer & ~paragraph_start
    for _ in range(3):
        ends[1:] |= closer[1:] & ends[:-1] & ~paragraph_start[1:]
    more = has(ENDER | ELLIPSIS | STOP | WIDE_STOP) | closer  # the run of marks goes on
    return np.flatnonzero(ends[:-1] & ~more[1:] & ~paragraph_start[1:]) + 1


class DictionarySegmenter:
    """A segmenter whose tags are those of jieba's dictionary and of the user's words."""

    def __init__(self, user_words: list[tuple]):
        self.tags = {**dictionary_tags(), **{word: tag for word, _, tag in user_words}}
        self._segment = self._open(user_words)

    def _open(self, user_words: list[tuple]) -> Callable[[str], list[str]]:
        raise TypeError(f"{type(self).__name__} cuts nothing: define _open()")

    def cut(self, text: str) -> tuple[list[str], list]:
        """Cut a text into words, which joined are as long as it, and what ``word_and_tag`` wants to know of each."""
        words = self._segment(_OUTSIDE.sub(" ", text))
        return words, words

    def word_and_tag(self, entry: str) -> tuple[str, str]:
        """Return a word and its tag, "" where the dictionary does not know it."""
        return entry, self.tags.get(entry, "")


class JiebaSegmenter(DictionarySegmenter):
    """jieba itself."""

    def _open(self, user_words: list[tuple]):
        import jieba
        jieba.setLogLevel(60)
        tokenizer = jieba.Tokenizer()
        tokenizer.initialize()
        for word, frequency, tag in user_words:
            tokenizer.add_word(word, frequency, tag)
        return tokenizer.lcut


class RjiebaSegmenter(DictionarySegmenter):
    """The same segmentation by rjieba."""

    def _open(self, user_words: list[tuple]):
        import rjieba
        tokenizer = rjieba.Jieba()
        for word, frequency, tag in user_words:
            tokenizer.add_word(word, frequency, tag)
        return tokenizer.cut


def find_segmenter(name: str | None) -> type:
    """Return rjieba where it is installed, else jieba; or the named one.

    Raises:
        InputError: it is not known or not installed.
    """
    known = {"rjieba": RjiebaSegmenter, "jieba": JiebaSegmenter}
    if name not in (None, *known):
        raise InputError(f"unknown segmenter {name!r}: one of {', '.join(known)}")
    for module in [name] if name else known:
        try:
            __import__(module)
            return known[module]
        except ImportError:
            continue
    raise InputError(f"segmenter not installed: pip install {name or 'rjieba'} (or the extra: ernie-pretrain[zh])")


def dictionary_tags() -> dict[str, str]:
    """Return {word: tag} of jieba's dictionary."""
    import jieba
    with jieba.Tokenizer().get_dict_file() as file:
        lines = (line.split(" ") for line in file.read().decode("utf-8").splitlines())
        return {parts[0]: parts[2] for parts in lines if len(parts) == 3}


def read_user_dict(path: StrPath) -> list[tuple]:
    """Read (word, frequency or None, tag) of a dictionary in jieba's format; the tag defaults to nz, other names.

    Raises:
        InputError: the file is missing or a line is not ``word [frequency] [tag]``.
    """
    words = []
    try:
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"user dictionary cannot be read ({error})", path) from None
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"(\S+)(?:\s+(\d+))?(?:\s+([a-z]+))?", line.strip())
        if match:
            words.append((match[1], int(match[2]) if match[2] else None, match[3] or "nz"))
        elif line.strip():
            raise InputError(f"{line.strip()[:40]!r} is not `word [frequency] [tag]`", path, number)
    return words
