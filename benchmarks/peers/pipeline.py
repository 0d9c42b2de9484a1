"""The data pipeline beside transformers and PaddleNLP: text to ids, and ids to batches for masked language modelling.

    python -m ernie demo-data --language en --output output/bench/corpus
    python benchmarks/peers/pipeline.py --shape minilm:32x128

A turn tokenizes 500 paragraphs of the demo's text; with "batches" it makes 16 batches of the shape: ours from the
store, with the labels of three tasks; transformers' whole-word and PaddleNLP's plain masking collator, from ids made
before, with those of one.
"""
from __future__ import annotations

import json
from itertools import islice

import paired

CORPUS = paired.ROOT / "output" / "bench" / "corpus"
PARAGRAPHS, BATCHES = 500, 16
TASKS = ("knowledge_masking", "capitalization", "token_document")


def texts() -> list[str]:
    """The first paragraphs of some length."""
    with open(CORPUS / "text" / "train.jsonl", encoding="utf-8") as file:
        paragraphs = (text for line in file for text in json.loads(line)["text"].split("\n") if len(text) > 200)
        return list(islice(paragraphs, PARAGRAPHS))


def ours(options: set[str], shape: paired.Shape):
    import tasks
    from reader.batches.batches import Batches
    from reader.batches.corpus import Corpus
    from reader.text.tokenizer import Tokenizer
    if "batches" not in options:
        tokenizer, read = Tokenizer.load(CORPUS / "vocab.txt"), texts()
        return lambda: tokenizer.encode_batch(read)
    corpus, first = Corpus([CORPUS / "train"], max_length=shape.width), iter(range(10 ** 9))
    made = Batches(tasks.load(TASKS[0]), [tasks.load(name) for name in TASKS], corpus, seed=1, task_id=0,
                   batch_tokens=shape.rows * shape.width, slices=1)
    return lambda: [made.at(n, [0]) for n in islice(first, BATCHES)]


def transformers(options: set[str], shape: paired.Shape):
    from transformers import BertTokenizerFast, DataCollatorForLanguageModeling
    tokenizer, read = BertTokenizerFast(str(CORPUS / "vocab.txt")), texts()
    if "batches" not in options:
        return lambda: tokenizer(read, add_special_tokens=False)["input_ids"]
    found = tokenizer(read, truncation=True, padding="max_length", max_length=shape.width,
                      return_special_tokens_mask=True, return_offsets_mapping=True)
    rows = [{key: found[key][n % len(read)] for key in found} for n in range(BATCHES * shape.rows)]
    collate = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
    return lambda: [collate([dict(row) for row in rows[start:start + shape.rows]])
                    for start in range(0, len(rows), shape.rows)]


def paddlenlp(options: set[str], shape: paired.Shape):
    import zlib  # noqa: F401  (before paddle 2.6)

    from paddlenlp.data import DataCollatorForLanguageModeling
    from paddlenlp.transformers import ErnieTokenizer
    tokenizer, read = ErnieTokenizer(str(CORPUS / "vocab.txt")), texts()
    if "batches" not in options:
        return lambda: [tokenizer(text, add_special_tokens=False)["input_ids"] for text in read]
    encoded = [tokenizer(text, max_length=shape.width, truncation=True) for text in read]
    rows = [encoded[n % len(read)] for n in range(BATCHES * shape.rows)]
    collate = DataCollatorForLanguageModeling(tokenizer, return_tensors="np")
    return lambda: [collate([dict(row) for row in rows[start:start + shape.rows]])
                    for start in range(0, len(rows), shape.rows)]


if __name__ == "__main__":
    paired.main(__doc__, {"ours": ours, "transformers": transformers, "paddlenlp": paddlenlp},
                ["ours", "transformers", "paddlenlp", "ours:batches", "transformers:batches", "paddlenlp:batches"],
                ["minilm:32x128"])
