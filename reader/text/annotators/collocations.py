"""Collocations and name words mined from a sample of a corpus, with gensim's ``Phrases``."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from reader.text.annotators.word_lists import word_lists
from reader.text.chunks import chunk_pattern

NPMI = 0.35      # normalised pointwise mutual information of a collocation: 0 is independence, 1 always together
CLITICS = frozenset(("s", "t", "d", "m", "ll", "ve", "re"))
RARE = 4        # occurrences below which nothing is learnt
_ENDS = frozenset(".!?:;…\"“”‘'([{")


def mine_english(documents: Iterable[list[str]]) -> tuple[list[str], list[str]]:
    """Find (phrases of two to four lower-case words, words mostly written with a capital inside sentences), sorted."""
    from gensim.models.phrases import ENGLISH_CONNECTOR_WORDS
    runs: list[list[str]] = []
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for paragraphs in documents:
        for paragraph in paragraphs:
            run: list[str] = []
            opening, glued = True, False
            for chunk in chunk_pattern().findall(paragraph):
                word = chunk.strip()
                broken, glued = glued and word in CLITICS, chunk in ("'", "’")
                if broken:  # the half of a contraction, "ve" of "I've"
                    run = []
                elif word.isalpha():
                    run.append(word.lower())
                    if word[0].islower():
                        small[run[-1]] += 1
                    elif not opening:
                        capital[run[-1]] += 1
                    opening = False
                elif word:
                    if len(run) > 1:
                        runs.append(run)
                    run, opening = [], opening and not word[0].isalnum() or word in _ENDS
            if len(run) > 1:
                runs.append(run)
    names = sorted(word for word, count in capital.items() if count > 1 and count > 2 * small[word])
    functions = word_lists()[""]
    phrases = [phrase for phrase in mine_phrases(runs, ENGLISH_CONNECTOR_WORDS)
               if functions.isdisjoint((phrase.split()[0], phrase.split()[-1])) and len(phrase.split()[0]) > 1]
    return phrases, names


def mine_phrases(runs: list[list[str]], connectors: frozenset[str] = frozenset()) -> list[str]:
    """Find collocations in runs of words, words joined by a space, sorted; two passes find up to four words.

    A connector ("of", "the") stands inside a phrase, never at its ends, and does not count as one of its words.
    """
    from gensim.models.phrases import Phrases
    options = {"min_count": RARE, "threshold": NPMI, "scoring": "npmi", "delimiter": " ", "connector_words": connectors}
    pairs = Phrases(runs, **options)
    frozen = pairs.freeze()
    longer = Phrases([frozen[run] for run in runs], **options)
    found = {*pairs.export_phrases(), *longer.export_phrases()}
    return sorted(phrase for phrase in found if 2 <= phrase.count(" ") + 1 <= 4)
