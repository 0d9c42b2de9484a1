"""Tokens a second of making batches on one core: an English stage with all its token-level labels, and a peer.

    python benchmarks/make_batches.py --corpus data/demo-en/train --pairs data/discourse/train
    python benchmarks/make_batches.py --corpus data/demo-en/train --slices 1,48,192
    python benchmarks/make_batches.py --corpus data/demo-en/train --billion

Drawing, sorting, cutting, padding and labelling are timed together, in CPU seconds. The peer is transformers' collator
for whole-word masking (the numpy and the torch form, where they are installed), which gets its examples ready made and
padded, and makes one kind of label. --slices prints what a rank spends on one micro-batch of --batch-tokens when the
global batch is so many of them. --billion makes a store of a billion tokens (sparse files: 7 GB that take 0.4 GB of
disk), opens it and draws from it.
"""
import argparse
import json
import resource
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import tasks
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.batches.examples import Excerpt
from reader.batches.walk import Walk
from reader.store.store import VERSION, Store

TOKEN_TASKS = ("knowledge_masking", "capitalization", "token_document")
STAGE = (*TOKEN_TASKS, "sentence_reordering", "discourse_relation")


def ours(name: str, corpus: Corpus, args, slices: int = 1) -> tuple[int, int, float, int]:
    """(tokens, places in padded batches, CPU seconds, micro-batches) of whole windows of one task, as one rank does."""
    batches = Batches(tasks.load(name), [tasks.load(other) for other in TOKEN_TASKS], corpus, seed=1, task_id=0,
                      batch_tokens=args.batch_tokens * slices, slices=slices)
    windows = batches.windows.size * batches.windows.turns
    count = max(1, args.tokens // (args.batch_tokens * windows)) * windows
    tokens, places, begun = 0, 0, time.process_time()
    for n in range(count):
        for batch in batches.at(n, [slices // 2]):
            tokens, places = tokens + batch.tokens, places + batch.token_ids.size
    return tokens, places, time.process_time() - begun, count


def by_slices(corpora: dict, args) -> None:
    """Milliseconds of a rank for a micro-batch, by the number of micro-batches in the global batch."""
    print(f"milliseconds of a rank for its {args.batch_tokens:,} tokens, and padding; global batch in micro-batches:")
    print(f"{'drawn task':28}" + "".join(f"{count:>16}" for count in args.slices))
    for name, corpus in corpora.items():
        row = ""
        for slices in args.slices:
            tokens, places, seconds, count = ours(name, corpus, args, slices)
            row += f"{1000 * seconds / count:8.2f} ({100 * (1 - tokens / places):4.1f}%)"
        print(f"{name:28}{row}")


def peer(corpus: Corpus, args, form: str) -> tuple[str, float]:
    """(name and version, tokens a CPU second) of transformers' whole-word masking of the same running text."""
    import transformers
    warnings.filterwarnings("ignore")
    tokenizer = transformers.BertTokenizerFast(str(corpus.stores[0].vocab_file))
    if hasattr(transformers, "DataCollatorForWholeWordMask"):  # before version 5
        collate = transformers.DataCollatorForWholeWordMask(tokenizer=tokenizer, return_tensors=form)
    else:
        collate = transformers.DataCollatorForLanguageModeling(tokenizer=tokenizer, return_tensors=form,
                                                               whole_word_mask=True)
    rows = max(1, args.batch_tokens // corpus.max_length)
    texts = [corpus.text(*anchor) for anchor in Walk(corpus, Excerpt(), 8 * corpus.max_length, 1).sample(rows * 16)]
    keys = ("input_ids", "attention_mask", "special_tokens_mask", "offset_mapping")
    ready = [tokenizer(texts[start:start + rows], truncation=True, max_length=corpus.max_length, padding=True,
                       return_offsets_mapping=True, return_special_tokens_mask=True)
             for start in range(0, len(texts), rows)]
    ready = [[{key: encoded[key][row] for key in keys} for row in range(rows)] for encoded in ready]
    tokens, begun = 0, time.process_time()
    for batch in ready:
        tokens += sum(sum(example["attention_mask"]) for example in batch)
        collate(batch)
    return f"transformers {transformers.__version__} ({form})", tokens / (time.process_time() - begun)


def billion(folder: Path, like: Store, tokens: int = 10**9) -> None:
    """What it takes to open a store of a billion tokens and to draw from it."""
    make_sparse(folder, like, tokens)
    begun = time.perf_counter()
    corpus = Corpus([folder])
    opened = time.perf_counter() - begun
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batches = Batches(tasks.load("sentence_reordering"), [tasks.load(name) for name in TOKEN_TASKS], corpus, seed=1,
                      task_id=0, batch_tokens=393_216, slices=48)
    begun, made = time.process_time(), 0
    for n in range(12):
        made += sum(batch.tokens for batch in batches.at(n, range(8)))
    seconds = time.process_time() - begun
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"store of {tokens:,} tokens: opened in {1000 * opened:.1f} ms; 12 global batches of 393,216 tokens drawn, a "
          f"sixth of each made, in {seconds:.1f} CPU s: {added:.0f} MB of memory more")


def make_sparse(folder: Path, like: Store, tokens: int) -> None:
    """A store whose text is all one token (its files have holes), with sentences of 25 tokens."""
    folder.mkdir(parents=True)
    shutil.copyfile(like.vocab_file, folder / "vocab.txt")
    sentences, paragraphs, documents = tokens // 25, tokens // 125, tokens // 1000
    shapes = {"ids": (tokens, np.uint16), "flags": (tokens, np.uint8), "back": (tokens, np.uint16),
              "ahead": (tokens, np.uint16)}
    for name, (count, dtype) in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count,)).flush()
    for name, (count, step) in {"sentences": (sentences, 25), "paragraphs": (paragraphs, 5),
                                "documents": (documents, 8)}.items():
        np.save(folder / f"{name}.npy", np.arange(count + 1) * step)
    arrays = {**dict.fromkeys(shapes, tokens), "sentences": sentences + 1, "paragraphs": paragraphs + 1,
              "documents": documents + 1}
    manifest = {**like.manifest, "version": VERSION, "arrays": arrays, "tokens": tokens}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True, help="stores of English text")
    parser.add_argument("--pairs", nargs="*", default=[], help="discourse stores")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--slices", type=lambda text: [int(part) for part in text.split(",")], metavar="N,N,...",
                        help="measure a rank's share of global batches of so many micro-batches instead")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="to make for each task")
    parser.add_argument("--billion", action="store_true", help="measure a store of a billion tokens instead")
    args = parser.parse_args()
    corpus = Corpus(args.corpus, max_length=args.max_length)
    if args.billion:
        with tempfile.TemporaryDirectory() as folder:
            billion(Path(folder) / "store", corpus.stores[0])
        return
    corpora = {name: Corpus(args.pairs, max_length=args.max_length) if name == "discourse_relation" else corpus
               for name in STAGE if name != "discourse_relation" or args.pairs}
    if args.slices:
        by_slices(corpora, args)
        return
    total = np.zeros(4)
    print(f"{'drawn task':28} M tokens/s a core   padding")
    for name, drawn in corpora.items():
        made = np.array(ours(name, drawn, args))
        total += made
        print(f"{name:28} {made[0] / made[2] / 1e6:18.2f} {100 * (1 - made[0] / made[1]):8.1f}%")
    rate = total[0] / total[2]
    print(f"{'the stage, equal tokens':28} {rate / 1e6:18.2f} {100 * (1 - total[0] / total[1]):8.1f}%")
    for form in ("np", "pt"):
        try:
            name, theirs = peer(corpus, args, form)
        except ImportError as error:
            print(f"peer not installed: {error}")
            continue
        print(f"{name:28} {theirs / 1e6:18.2f}            ours is {rate / theirs:.1f} times as fast")


if __name__ == "__main__":
    main()
