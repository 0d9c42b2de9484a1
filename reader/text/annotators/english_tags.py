"""A light part-of-speech tagger for English: the tags of words by a lexicon or their endings, and noun phrases of them.

The lexicon is that of Brill's tagger, as the textblob package carries it: the most frequent tag of 94 thousand words.
Nothing of textblob is imported. A few rules on the neighbours stand in for a tagger that reads the context.
"""
from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from reader.utils.errors import InputError

NOUN, ADJECTIVE, PARTICIPLE, VERB, DETERMINER, SUBJECT = (1 << bit for bit in range(6))
LEXICON = "en/en-lexicon.txt"
LONGEST = 4  # words of a noun phrase
_BITS = {"NN": NOUN, "NNS": NOUN, "NNP": NOUN, "NNPS": NOUN, "JJ": ADJECTIVE, "JJR": ADJECTIVE, "JJS": ADJECTIVE,
         "VBN": PARTICIPLE, "VBG": PARTICIPLE, "VBD": PARTICIPLE, "VB": VERB, "VBP": VERB, "VBZ": VERB,
         "DT": DETERMINER, "PRP$": DETERMINER, "MD": SUBJECT}
_SUBJECTS = frozenset(("i", "he", "she", "we", "they", "who", "to", "not"))
_ENDINGS = (("ly", 0), ("ing", PARTICIPLE), ("ed", PARTICIPLE), ("ous", ADJECTIVE), ("ful", ADJECTIVE),
            ("able", ADJECTIVE), ("ible", ADJECTIVE), ("less", ADJECTIVE), ("ish", ADJECTIVE), ("ive", ADJECTIVE),
            ("ical", ADJECTIVE), ("ic", ADJECTIVE), ("ary", ADJECTIVE), ("ese", ADJECTIVE), ("ian", ADJECTIVE))


@cache
def lexicon() -> dict[str, int]:
    """Return word -> bits of its most frequent tag; 0 for tags that no noun phrase needs.

    Raises:
        InputError: the textblob package is missing.
    """
    spec = importlib.util.find_spec("textblob")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the English annotator needs the lexicon of the textblob package: pip install textblob")
    text = Path(spec.submodule_search_locations[0], LEXICON).read_text("utf-8")
    pairs = (line.split() for line in text.splitlines() if not line.startswith(";;;"))
    return {pair[0]: _BITS.get(pair[1].partition("|")[0], 0) for pair in pairs if len(pair) == 2}


def tag_bits(word: str) -> int:
    """Return the bits of a word: by the lexicon, lower-cased or as it is written, else by its ending."""
    lower = word.lower()
    if lower in _SUBJECTS:
        return SUBJECT
    known = lexicon()
    bits = known.get(lower, known.get(word, -1))
    if bits >= 0:
        return bits
    return next((bits for ending, bits in _ENDINGS if lower.endswith(ending)), NOUN)


def noun_phrases(tags: np.ndarray, free: np.ndarray, first: np.ndarray,
                 hyphen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find noun phrases of two to LONGEST words: modifiers, then nouns; no determiner.

    Args:
        tags: [n] int64, ``tag_bits`` of each chunk. free: [n] bool, words that may be part of a phrase.
        first: [n] bool, chunks that open a sentence. hyphen: [n] bool, hyphens between two words, which they join.
    Returns:
        (starts, stops) chunk ranges, in order.
    """
    n = len(tags)
    if n < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    has = lambda bits: tags & bits > 0  # noqa: E731
    before = lambda mask: np.r_[False, mask[:-1]]  # noqa: E731
    after = lambda mask: np.r_[mask[1:], False]    # noqa: E731
    determiner, adjective = has(DETERMINER), has(ADJECTIVE) & free
    noun = has(NOUN) & free & ~before(has(SUBJECT))             # "he hands", "can book"
    opened = before(determiner | adjective)
    noun |= has(VERB) & free & opened                           # "a long walk"
    participle = has(PARTICIPLE) & free & opened
    adjective |= participle & after(noun | adjective | has(PARTICIPLE) & free)  # "the broken chair"
    noun |= participle & ~adjective & before(determiner)        # "the meeting"
    adjective |= free & ~noun & (after(hyphen) | before(hyphen))  # "well-known"
    member = adjective | noun | hyphen
    start = member & (~before(member) | first | adjective & before(noun & ~after(hyphen)))
    start[hyphen] = False
    starts = np.flatnonzero(start)
    group = np.cumsum(start) - 1                                # of each member chunk, once one has begun
    inside = np.flatnonzero(noun & member & (group >= 0))
    last = np.full(len(starts), -1)
    np.maximum.at(last, group[inside], inside)                  # the last noun of each group
    stops = last + 1
    words = np.r_[0, np.cumsum(free)]
    kept = last >= starts
    starts, stops = starts[kept], stops[kept]
    for _ in range(8):                                          # too many words: the head is at the end
        starts = np.where(words[stops] - words[starts] > LONGEST, starts + 1, starts)
    starts = np.where(hyphen[starts], starts + 1, starts)
    count = words[stops] - words[starts]
    kept = (count >= 2) & (count <= LONGEST)
    return starts[kept], stops[kept]
