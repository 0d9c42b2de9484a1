"""English without models: sentences by rule, phrases by mined collocations, named entities by capitals.

Sentence rule. ``. ! ? …`` and the quotes or brackets that close behind it end a sentence, when white space follows and
then something that can open one: not a lower-case letter. A full stop after a title or a reference ("Mr.", "No.")
never ends one; after another abbreviation or a single letter ("Inc.", "J.", "U.S.") only when a function word follows
("The", "He", "In"). A number at the head of a paragraph ("1.") is a list mark.

Entity rule. A name word begins with a capital, is no function word, and does not open a sentence; the opening word
counts when the corpus writes it with a capital inside sentences too (mined, ``names.txt``). Adjacent name words make
one entity, across "of", "of the", "de la", "van" and the like, hyphens, apostrophes, "&" and the full stop of an
initial or title. Runs of more than eight words are headings, not names.

Phrase rule. Outside entities, noun phrases: adjectives, participles behind a determiner and nouns, then the nouns that
end them, two to four words without the determiner (reader/text/annotators/english_tags.py has the tags). What they
leave: word sequences of two to four words that gensim's ``Phrases`` finds by normalised pointwise mutual information in
a sample of the corpus (``phrases.txt``), the longest first. The two halves of a contraction ("I've", "don't") are in no
phrase.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from reader.text.annotators import Annotation, Annotator
from reader.text.annotators.english_tags import DETERMINER, noun_phrases, tag_bits
from reader.text.annotators.spans import Phrases, covered, quote_opens
from reader.text.annotators.word_lists import read_lines, word_lists, write_lines
from reader.text.chunks import Block
from reader.text.flags import ENTITY, PHRASE
from reader.utils.files import StrPath

(LOWER, UPPER, DIGIT, STOP, ENDER, OPENER, CLOSER, TITLE, ABBREVIATION, INITIAL, FUNCTION, NAME, LINK, ARTICLE, JOINER,
 PLAIN_QUOTE, HEAD, ACRONYM, CAPITALS, APOSTROPHE, CLITIC, NEGATION) = (1 << bit for bit in range(22))
TAG_SHIFT = 22  # the bits of english_tags.py stand above these
ACRONYMS = frozenset(("US", "UN", "WHO", "IT"))  # what is a function word when it is not written in capitals
CLITICS = frozenset(("s", "t", "d", "m", "ll", "ve", "re"))
LINKS = frozenset(("of", "de", "del", "della", "der", "den", "di", "da", "du", "des", "van", "von", "bin", "ibn", "al",
                   "el", "la", "le", "los", "las"))
LONGEST_ENTITY = 8


class English(Annotator):
    """The default annotator for English; the rules are those of the module."""

    language = "en"

    def __init__(self, **options):
        super().__init__(**options)
        self.names, self.phrases = frozenset(), Phrases([])

    @classmethod
    def mine(cls, sample: Iterable[list[str]], path: StrPath, **options: Any) -> None:
        """Write phrases.txt and names.txt."""
        from reader.text.annotators.collocations import mine_english
        phrases, names = mine_english(sample)
        write_lines(Path(path, "phrases.txt"), phrases)
        write_lines(Path(path, "names.txt"), names)

    def open(self, path: StrPath) -> None:
        """Read phrases.txt and names.txt."""
        self.names = frozenset(read_lines(Path(path, "names.txt")))
        self.phrases = Phrases([line.split(" ") for line in read_lines(Path(path, "phrases.txt"))])

    def describe(self, word: str) -> int:
        """Return the bits of a chunk: its case, its role as punctuation, the word lists it is in."""
        lower = word.lower()
        if not word or not any(map(str.isalnum, word)):
            return _punctuation_bits(word)
        lists = word_lists()
        bits = UPPER if word[0].isupper() else LOWER if word[0].islower() else 0
        bits |= DIGIT if word[0].isdigit() else 0
        bits |= INITIAL if len(word) == 1 and word.isupper() else 0
        bits |= TITLE if lower in lists["!"] else 0
        bits |= ABBREVIATION if lower in lists["="] or bits & UPPER and lower in lists["^"] else 0
        bits |= FUNCTION if lower in lists[""] else 0
        bits |= NAME if lower in self.names else 0
        bits |= LINK if word in LINKS else 0
        bits |= ARTICLE if word == "the" else 0
        bits |= CAPITALS if word.isupper() and len(word) > 1 else 0
        bits |= ACRONYM if word in ACRONYMS else 0
        bits |= CLITIC if lower in CLITICS else 0
        bits |= NEGATION if lower == "t" else 0
        bits |= tag_bits(word) << TAG_SHIFT
        return bits | (HEAD if lower in self.phrases.first_words else 0)

    def annotate(self, block: Block) -> Annotation:
        """Apply the three rules."""
        first = np.zeros(len(block) + 1, bool)
        first[block.paragraphs] = True
        first[sentence_starts(block, first)] = True
        first = first[:-1]
        features, spaced = block.features, block.spaced
        starts, stops = entities(features, spaced, first)
        contracted = contractions(features, spaced)
        free = ~covered(starts, stops, len(block)) & (features & (UPPER | LOWER) > 0) & ~contracted
        before, after = np.r_[False, free[:-1] & ~spaced[:-1]], np.r_[free[1:], False]
        hyphen = (features & JOINER > 0) & (features & APOSTROPHE == 0) & before & after & ~spaced & ~first
        plain = free & ((features & FUNCTION == 0) | np.r_[hyphen[1:], False])  # "well-known"
        tags = features >> TAG_SHIFT | contracted * DETERMINER  # a genitive opens a noun phrase as "the" does
        phrase_starts, phrase_stops = noun_phrases(tags, plain, first, hyphen)
        free &= ~covered(phrase_starts, phrase_stops, len(block))
        mined_starts, mined_stops = self.phrases.find(block.keys, free, first, features & HEAD > 0)
        kinds = np.repeat((ENTITY, PHRASE, PHRASE), (len(starts), len(phrase_starts), len(mined_starts)))
        starts = np.concatenate((starts, phrase_starts, mined_starts))
        stops = np.concatenate((stops, phrase_stops, mined_stops))
        order = np.argsort(starts)
        return Annotation(np.flatnonzero(first), starts[order], stops[order], kinds[order])


def contractions(features: np.ndarray, spaced: np.ndarray) -> np.ndarray:
    """Mark, [n] bool, what follows the apostrophe of a contraction or genitive, and the word before "n't"."""
    has = lambda bits: features & bits > 0  # noqa: E731
    found = np.zeros(len(features), bool)
    if len(features) > 2:
        joined = has(APOSTROPHE)[1:-1] & ~spaced[1:-1] & ~spaced[:-2] & has(UPPER | LOWER)[:-2]
        found[2:] = joined & has(CLITIC)[2:]
        found[:-2] |= joined & has(NEGATION)[2:]
    return found


def sentence_starts(block: Block, paragraph_start: np.ndarray) -> np.ndarray:
    """Find chunks that open a sentence inside a paragraph, by the rule of the module.

    Args:
        paragraph_start: [n + 1] bool.
    """
    features, spaced = block.features, block.spaced
    n = len(features)
    if n < 2:
        return np.zeros(0, np.int64)
    has = lambda bits: features & bits > 0  # noqa: E731
    opener, closer = has(OPENER), has(CLOSER)
    plain = has(PLAIN_QUOTE)
    if plain.any():
        opens = quote_opens(plain, spaced, paragraph_start[:n]) & ~doubled(plain & has(JOINER), spaced)
        opener, closer = opener | opens, closer | plain & ~opens
    ends = has(ENDER | STOP)
    bare = ends.copy()
    for _ in range(3):
        ends[1:] |= closer[1:] & ends[:-1]
    opens = ~has(LOWER) & ~closer & ~has(ENDER | STOP)
    opens = opens & ~opener
    for _ in range(3):
        opens[:-1] |= opener[:-1] & opens[1:]
    split = ends[:-1] & spaced[:-1] & opens[1:] & ~paragraph_start[1:n]
    held = np.zeros(n, bool)  # full stops that belong to the word before them
    attached = has(STOP)[1:] & ~spaced[:-1]
    function_next = np.r_[has(FUNCTION)[2:] & has(UPPER)[2:], False]
    number_head = paragraph_start[:n - 1] & has(DIGIT)[:-1]
    held[1:] = attached & (has(TITLE)[:-1] | number_head | has(ABBREVIATION | INITIAL)[:-1] & ~function_next)
    split &= ~(held & bare)[:-1]
    return np.flatnonzero(split) + 1


def doubled(apostrophe: np.ndarray, spaced: np.ndarray) -> np.ndarray:
    """Mark, [n] bool, two apostrophes that stand together: they close what `` opens."""
    pair = np.r_[apostrophe[1:] & apostrophe[:-1] & ~spaced[:-1], False]
    return pair | np.r_[False, pair[:-1]]


def entities(features: np.ndarray, spaced: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find chunk ranges of named entities, by the module's rule. first: [n] bool, chunks that open a sentence."""
    n = len(features)
    has = lambda bits: features & bits > 0  # noqa: E731
    opening = first.copy()
    for _ in range(2):  # the first word may stand behind quotes
        opening[1:] |= opening[:-1] & has(OPENER | PLAIN_QUOTE)[:-1]
    shouted = np.r_[False, has(CAPITALS)[:-1]] | np.r_[has(CAPITALS)[1:], False]  # a heading in capitals
    acronym = has(ACRONYM) & ~shouted
    name = has(UPPER) & ~has(FUNCTION) | acronym
    known = has(NAME) & ~has(FUNCTION) | has(INITIAL | TITLE) | acronym
    name &= ~opening | known | np.r_[(name & known & ~first)[1:], False]
    inside = name.copy()
    before, after = np.r_[False, name[:-1]], np.r_[name[1:], False]
    tight_before, tight_after = np.r_[False, ~spaced[:-1]], ~spaced
    inside |= has(LINK) & before & after
    stop = has(STOP) & np.r_[False, has(INITIAL | TITLE)[:-1]] & tight_before
    inside |= stop & before & after
    inside |= has(JOINER) & before & after & tight_before & tight_after
    if n > 2:
        link_article = has(LINK)[:-1] & has(LINK | ARTICLE)[1:] & before[:-1] & after[1:]
        inside[:-1] |= link_article
        inside[1:] |= link_article
    start = inside & ~(np.r_[False, inside[:-1]] & ~first)
    starts = np.flatnonzero(start)
    stops = np.flatnonzero(inside & ~(np.r_[inside[1:], False] & ~np.r_[start[1:], True])) + 1
    keep = stops - starts <= LONGEST_ENTITY
    return starts[keep], stops[keep]


def _punctuation_bits(word: str) -> int:
    bits = STOP if word == "." else ENDER if word in "!?…‼⁇⁈⁉。！？" else 0
    bits |= OPENER if word in "([{“‘„«¿¡`" else CLOSER if word in ")]}”»’" else 0
    bits |= PLAIN_QUOTE if word in "\"'" else 0
    bits |= APOSTROPHE if word in "'’" else 0
    return bits | (JOINER if word in "-‐‑'’&" else 0)
