"""Knowledge masking, section 4.2.1 of the paper: predict words, phrases and named entities that were masked whole."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reader.batches.examples import Tokens
from reader.batches.sampling import hash_keys, uniform
from reader.text.flags import ENTITY, KIND, KIND_NAMES, KIND_SHIFT, PHRASE, UNIT_START, WORD
from reader.text.special_ids import SpecialIds
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tasks.base import CorruptingTask

REPLACED, RANDOM = 0.8, 0.1  # of the chosen tokens: [MASK], any other token; the rest stays as it is


@dataclass
class KnowledgeMasking(CorruptingTask):
    """Masked language modelling over three granularities, each with its own probability.

    A phrase or a named entity is chosen as a whole. The basic granularity is the word piece, or the Chinese
    character, as in the paper; with ``whole_words`` it is the word. Of the chosen tokens, each for itself, 80 % are
    masked, 10 % replaced at random and 10 % left; all of them are predicted.

    Args:
        basic, phrase, entity: probability that a unit of this granularity is chosen.
        whole_words: choose all pieces of a word that belongs to no phrase or entity together.
        units: choose phrases and entities as a whole; without it every piece is chosen for itself, as BERT does.
    """

    basic: float = 0.15
    phrase: float = 0.15
    entity: float = 0.15
    whole_words: bool = False
    units: bool = True

    name = "knowledge_masking"
    groups = KIND_NAMES
    metrics = ("loss", "accuracy", "accuracy by group")

    def __post_init__(self):
        for option in ("basic", "phrase", "entity"):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise InputError(f"knowledge_masking: {option} {value!r} is no probability")
        for option in ("whole_words", "units"):
            if not isinstance(getattr(self, option), bool):
                raise InputError(f"knowledge_masking: {option} {getattr(self, option)!r} is neither true nor false")

    def corrupt(self, tokens: Tokens, vocabulary: SpecialIds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See ``CorruptingTask.corrupt``; groups are the kinds of ``reader.store.store``."""
        kinds = (tokens.flags & KIND) >> KIND_SHIFT
        starts_of_units = self.unit_starts(tokens)
        chance = np.array([0.0] * 4)
        chance[[WORD, PHRASE, ENTITY]] = self.basic, self.phrase, self.entity
        chosen = uniform(hash_keys(tokens.key[starts_of_units], "unit")) < chance[kinds[starts_of_units]]
        return corrupted(tokens.ids, tokens.key, chosen, vocabulary), np.where(chosen, tokens.ids, IGNORE), kinds

    def unit_starts(self, tokens: Tokens) -> np.ndarray:
        """Return [n] index of the first token of the unit that each token is chosen with.

        A unit never reaches beyond its segment. In an example that is masked piece by piece every token is a unit.
        """
        starts = (tokens.flags & UNIT_START > 0) | (tokens.offset == 0)
        if not self.units:
            starts[:] = True
        elif not self.whole_words:
            starts |= (tokens.flags & KIND) >> KIND_SHIFT == WORD
        if tokens.unit_chance is not None:  # drawn once for an example: by the key of its first token
            first = np.searchsorted(tokens.row, tokens.row)
            starts |= uniform(hash_keys(tokens.key, "by unit"))[first] >= tokens.unit_chance
        return np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))


def corrupted(ids: np.ndarray, keys: np.ndarray, chosen: np.ndarray, vocabulary: SpecialIds) -> np.ndarray:
    """Return [n] ids as the model reads them: of the chosen 80 % [MASK], 10 % a random regular id, 10 % unchanged."""
    places = np.flatnonzero(chosen)
    fate = uniform(hash_keys(keys[places], "fate"))
    pick = uniform(hash_keys(keys[places], "replacement"))
    random = vocabulary.regular_ids[(pick * len(vocabulary.regular_ids)).astype(np.int64)]
    read = ids.copy()
    read[places] = np.where(fate < REPLACED, vocabulary.mask_id,
                            np.where(fate < REPLACED + RANDOM, random, ids[places]))
    return read
