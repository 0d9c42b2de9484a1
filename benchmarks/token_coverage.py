"""How often training sees a token, by the length of its document: one epoch of a task over stores.

    python benchmarks/token_coverage.py --corpus store/wiki store/dialog --task knowledge_masking
    python benchmarks/token_coverage.py --made         # turns of 3 to 40 tokens beside books, made here

An epoch is over when as many text tokens were drawn as the corpus has. 1.00 everywhere means that each token is seen
equally often.
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np

import tasks
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.store.store import Store, StoreWriter

EDGES = [0, 10, 20, 40, 100, 500, 2000, 10**9]
BATCH_TOKENS = 8192


def make_store(folder: Path) -> Store:
    """A store of 40,000 short documents and 40 long ones, 8 tokens a sentence, of random tokens."""
    rng = np.random.default_rng(0)
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{k}" for k in range(995))]) + "\n",
                     "utf-8")
    writer = StoreWriter(folder / "store", vocab, "en")
    for size in rng.permutation(np.r_[rng.integers(3, 40, 40_000), rng.integers(5_000, 50_000, 40)]).tolist():
        sentences = [min(8, size - start) for start in range(0, size, 8)]
        writer.add(rng.integers(5, 1000, size), np.full(size, 1), sentences, [len(sentences)], [1])
    writer.close()
    return Store(folder / "store")


def coverage(task: str, corpus: Corpus, passes: int) -> list[np.ndarray]:
    """[tokens] of each store: how often each was in an example while ``passes`` epochs were drawn."""
    batches = Batches(tasks.load(task), [], corpus, seed=1, task_id=0, batch_tokens=BATCH_TOKENS)
    counts, drawn, n = [np.zeros(len(store), np.int64) for store in corpus.stores], 0, 0
    while drawn < passes * corpus.tokens:
        window, rows = batches.rows(n)
        for row in rows.tolist():
            example = window.example(row)
            for start, stop in example.segments:
                counts[example.store][start:stop] += 1
                drawn += stop - start
        n += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[], help="stores")
    parser.add_argument("--made", action="store_true", help="a store made here")
    parser.add_argument("--task", default="knowledge_masking")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--max-length", type=int, default=512)
    args = parser.parse_args()
    if not args.made and not args.corpus:
        parser.error("give --corpus or --made")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus([make_store(Path(folder))] if args.made else args.corpus, max_length=args.max_length)
        counts = coverage(args.task, corpus, args.passes)
        sizes, seen = [], []
        for store, count in zip(corpus.stores, counts):
            lengths = np.diff(store.sentences[store.paragraphs[store.documents]])
            sizes.append(np.repeat(lengths, lengths))
            seen.append(count)
    size, times = np.concatenate(sizes), np.concatenate(seen) / args.passes
    print(f"{args.task}, {args.passes} epochs of {len(size):,} tokens, max_length {args.max_length}")
    print("tokens of the document   share of the text   times seen an epoch   never seen")
    for low, high in zip(EDGES, EDGES[1:]):
        mine = (size >= low) & (size < high)
        if mine.any():
            name = f"{low} to {high - 1}" if high < EDGES[-1] else f"{low} and more"
            never = (times[mine] == 0).mean()
            print(f"{name:>23}{100 * mine.mean():18.1f}%{times[mine].mean():22.2f}{100 * never:12.1f}%")


if __name__ == "__main__":
    main()
