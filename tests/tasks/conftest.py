"""Real text as a store, for properties that have to hold on it."""
import numpy as np
import pytest

from reader.batches.collator import Collator, Window, read_tokens
from reader.batches.corpus import Corpus
from reader.batches.sampling import hash_int


@pytest.fixture(scope="session")
def real_store(data, tmp_path_factory):
    """Three cased books, built with the default English annotators: (store, their raw texts)."""
    from reader.store.build import build_corpus
    from reader.store.store import Store
    from reader.text.vocabulary import build_vocab
    files = [data(f"corpora/en/gutenberg/{name}.txt")
             for name in ("carroll-alice", "chesterton-brown", "shakespeare-caesar")]
    folder = tmp_path_factory.mktemp("real")
    build_vocab(files, "en", 4000, folder / "vocab.txt")
    build_corpus(files, "en", folder / "vocab.txt", folder / "store")
    return Store(folder / "store")


def flat(corpus: Corpus, examples, seed: int = 0):
    """The flat tokens of some examples, as a task labels them."""
    window = Window.of(examples, hash_int(seed))
    rows = np.arange(len(examples))
    return read_tokens(corpus, window, rows, Collator(window, rows))
