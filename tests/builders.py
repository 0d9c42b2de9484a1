"""Small stores made by hand, so that a test can state every label."""
from __future__ import annotations

import numpy as np

from reader.store.store import Store, StoreWriter
from reader.text.flags import CAPITAL, ENTITY, KIND_SHIFT, PHRASE, UNIT_START, WORD, WORD_START
from reader.utils.labels import IGNORE

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNITS = {"<": (PHRASE, ">"), "{": (ENTITY, "}")}


def build_store(path, documents, vocabulary=None, language="en", labels=None, speakers=None,
                **report) -> Store:
    """A store of documents, each a list of paragraphs, each a list of sentences.

    A sentence is a string of tokens between spaces; ``##`` goes on with the word before, a capital first letter
    makes a capitalised word, ``<a phrase>`` and ``{A Name}`` are units. With ``labels``, a list of lists with one
    label for each paragraph, it is a store of pairs. ``speakers``: one number for each paragraph.
    """
    texts = [sentence for document in documents for paragraph in document for sentence in paragraph]
    if vocabulary is None:
        vocabulary = SPECIALS + sorted({bare(token) for text in texts for token in text.split()})
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f"{path.name}.vocab.txt"
    file.write_text("\n".join(vocabulary) + "\n", "utf-8")
    number = {token: index for index, token in enumerate(vocabulary)}
    writer = StoreWriter(path, file, language, "pairs" if labels else "documents")
    flags = [flag for text in texts for flag in sentence_flags(text.split())]
    ids = [number[bare(token)] for text in texts for token in text.split()]
    writer.add(np.array(ids), np.array(flags), [len(text.split()) for text in texts],
               [len(paragraph) for document in documents for paragraph in document],
               [len(document) for document in documents],
               labels=[label for row in labels for label in row] if labels else None,
               speakers=speakers)
    writer.close(**report)
    return Store(path)


def bare(token: str) -> str:
    """A token without the marks of its unit, in lower case."""
    return token.strip("<>{}").lower() or token


def sentence_flags(tokens: list[str]) -> list[int]:
    """The flags of the tokens of one sentence."""
    flags, kind, end, capital = [], WORD, "", 0
    for token in tokens:
        opening = UNITS.get(token[0]) if len(token) > 1 else None
        begins_unit = opening is not None
        if opening:
            kind, end = opening
        word = not token.startswith("##")
        if word:
            capital = CAPITAL if token.strip("<>{}")[:1].isupper() else 0
        unit = begins_unit or (word and not end)
        flags.append(word * WORD_START | unit * UNIT_START | kind << KIND_SHIFT | capital)
        if end and token.endswith(end):
            kind, end = WORD, ""
    return flags


def doc(*sentences: str) -> list[list[str]]:
    """A document of one paragraph."""
    return [list(sentences)]


def pair_store(path, pairs, classes, vocabulary=None) -> Store:
    """A discourse store from (first, second, label) rows."""
    return build_store(path, [[[first], [second]] for first, second, _ in pairs], vocabulary,
                       labels=[[IGNORE, label] for *_, label in pairs], classes=list(classes))


def random_documents(count: int, seed: int = 0, words: int = 50) -> list:
    """Documents of random lengths over a small vocabulary, in the form ``build_store`` takes."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        drawn = [f"w{index}" for index in rng.integers(words, size=rng.integers(3, 15))]
        return " ".join([drawn[0].capitalize(), *drawn[1:-2], f"<{drawn[-2]}", f"{drawn[-1]}>", "."])

    return [[[sentence() for _ in range(rng.integers(1, 8))] for _ in range(rng.integers(1, 6))]
            for _ in range(count)]
