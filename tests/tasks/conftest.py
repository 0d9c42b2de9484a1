"""Real text as a store, for properties that have to hold on it."""
import numpy as np
import pytest

from reader.batches.collator import Collator, Window, read_tokens
from reader.batches.corpus import Corpus
from reader.batches.examples import Anchor, Excerpt
from reader.batches.sampling import generator, hash_int
from reader.batches.walk import Walk
from reader.batches.windows import draw


@pytest.fixture(scope="session")
def real_files(peer, tmp_path_factory):
    """Thirty cased articles of the Wikipedia sample that gensim ships, a file each."""
    peer("gensim")
    from reader.store.demo import wikipedia
    folder = tmp_path_factory.mktemp("articles")
    files = [folder / f"{number:02}.txt" for number in range(30)]
    for file, (_, paragraphs) in zip(files, wikipedia()):
        file.write_text("\n\n".join(paragraphs) + "\n", "utf-8")
    return files


@pytest.fixture(scope="session")
def real_store(real_files, tmp_path_factory):
    """The articles as a store, built with the default English annotators."""
    from reader.store.build import build_corpus
    from reader.store.store import Store
    from reader.text.vocabulary import build_vocab
    folder = tmp_path_factory.mktemp("real")
    build_vocab(real_files, "en", 4000, folder / "vocab.txt")
    build_corpus(real_files, "en", folder / "vocab.txt", folder / "store")
    return Store(folder / "store")


def place(token: int) -> Anchor:
    """A token of the first store, to ask where it lies."""
    return Anchor(0, token, token + 1)


def excerpts(corpus: Corpus, excerpt: Excerpt, count: int, seed: int = 1) -> list[Anchor]:
    """The excerpts of so many blocks, one of each."""
    return Walk(corpus, excerpt, corpus.max_length, seed).sample(count)


def many(task, corpus: Corpus, count: int, seed: int = 1, pick: Anchor | None = None) -> list:
    """Examples of so many excerpts from all over the corpus, or of one; those that do not serve are left out."""
    rng = generator(seed)
    anchors = excerpts(corpus, task.excerpt, count, seed) if pick is None else [pick] * count
    examples = [draw(task, corpus, anchor, rng) for anchor in anchors]
    return [example for example in examples if example is not None]


def flat(corpus: Corpus, examples, seed: int = 0):
    """The flat tokens of some examples, as a task labels them."""
    window = Window.of(examples, hash_int(seed))
    rows = np.arange(len(examples))
    return read_tokens(corpus, window, rows, Collator(window, rows))
