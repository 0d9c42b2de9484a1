"""Task folders in the form in which their makers publish them, with a few rows written for the tests.

What the forms are known for is in the rows: a byte order mark, lone quotes, sentences without a header, labels of
``-``, further languages, separators inside a cell. Where the real files are at hand the tests read those instead.
"""
from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Iterator
from itertools import cycle, islice, product
from pathlib import Path
from string import ascii_lowercase

from tests.dependency_texts import tagged_sentences

PAIRS = [  # premise, hypothesis, what follows
    ("The train left the station at noon.", "A train left at noon.", "entailment"),
    ("The train left the station at noon.", "The train never left the station.", "contradiction"),
    ("She read the letter twice, and smiled.", "The letter was from her brother.", "neutral"),
    ('He said "no, and closed the door.', "He closed the door.", "entailment"),
    ("Nobody in the village owned a boat.", "Every family had a boat.", "contradiction"),
    ("Two dogs sleep under the old table.", "The dogs are brown.", "neutral"),
]
PAIRS_ZH = [
    ("火车中午离开了车站。", "火车开走了。", "entailment"), ("火车中午离开了车站。", "火车没有离开。", "contradiction"),
    ("她把信读了两遍，笑了。", "信是她哥哥写的。", "neutral"), ("村里没有人有船。", "家家都有船。", "contradiction"),
    ("两只狗睡在旧桌子下面。", "狗在睡觉。", "entailment"), ("他说“不”，关上了门。", "他很生气。", "neutral"),
]
SENTENCES = [first for first, _, _ in PAIRS] + [second for _, second, _ in PAIRS]
NAMES = [("王明在北京大学工作。", "B-PER I-PER O B-ORG I-ORG I-ORG I-ORG O O O"),
         ("我们去上海。", "O O O B-LOC I-LOC O"), ("今天很好。", "O O O O O")]
RELEASED = {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "initializer_range": 0.02}
CONFIGURATIONS = {  # as Baidu released them in 2019
    "config/ernie_config.json": {**RELEASED, "hidden_act": "relu", "hidden_size": 768, "max_position_embeddings": 513,
                                 "num_attention_heads": 12, "num_hidden_layers": 12, "type_vocab_size": 2,
                                 "vocab_size": 18000},
    "ernie_large_en/ernie_config.json": {**RELEASED, "hidden_act": "gelu", "hidden_size": 1024,
                                         "max_position_embeddings": 512, "num_attention_heads": 16,
                                         "num_hidden_layers": 24, "sent_type_vocab_size": 4,
                                         "task_type_vocab_size": 16, "vocab_size": 30522},
}
ROWS = {"cola": {"train": 12, "dev": 12, "test": 12}, "sst-2": {"train": 12, "dev": 12, "test": 12},
        "mrpc": {"train": 8, "dev": 4, "test": 5}, "qnli": {"dev": 6, "test": 6}, "cmrc2018": {"dev": 12},
        "msra-ner": {"train": 6, "dev": 6, "test": 6}, "chnsenticorp": {"train": 12, "dev": 12, "test": 12}}
INSTANCES = {"train": 600, "valid": 1500}
TREES = "sentence1_binary_parse | sentence2_binary_parse | sentence1_parse | sentence2_parse"


def table(header: str, rows: Iterable[Iterable[object]], separator: str = "\t") -> str:
    """Lines of a tsv; no header line where ``header`` is empty."""
    lines = [separator.join(map(str, row)) for row in rows]
    return "\n".join(([header.replace(" | ", separator)] if header else []) + lines) + "\n"


def answered(split: str) -> bool:
    return not split.startswith("test")


def single() -> Iterator[tuple[str, str]]:
    """Tasks of one sentence."""
    for split in ("train", "dev", "test"):
        labelled = answered(split)
        rows = [("gj04", k % 2, "*" * (1 - k % 2), text) for k, text in enumerate(SENTENCES)]
        yield f"CoLA/{split}.tsv", table("", rows) if labelled else table("index | sentence", enumerate(SENTENCES))
        rows = [(text.lower() + " ", k % 2) for k, text in enumerate(SENTENCES)]  # tokenised, a space at the end
        yield f"SST-2/{split}.tsv", table("sentence | label", rows) if labelled else table(
            "index | sentence", enumerate(text for text, _ in rows))


def pairs() -> Iterator[tuple[str, str]]:
    """Tasks of two sentences, in GLUE's columns."""
    def two(k: int, first: str, second: str, relation: str) -> object:
        return "entailment" if relation == "entailment" else "not_entailment"

    for split in ("train", "dev", "test"):
        label = " | label" if answered(split) else ""
        for task, names in (("RTE", "sentence1 | sentence2"), ("QNLI", "question | sentence")):
            yield f"{task}/{split}.tsv", table(f"index | {names}{label}", [
                (k, *pair[:2], *[two(k, *pair)] * bool(label)) for k, pair in enumerate(PAIRS)])
        yield f"WNLI/{split}.tsv", table(f"index | sentence1 | sentence2{label}", [
            (k, *pair[:2], *[k % 2] * bool(label)) for k, pair in enumerate(PAIRS)])
        questions = [(k, 2 * k, 2 * k + 1, *pair[:2], k % 2) for k, pair in enumerate(PAIRS)]
        yield f"QQP/{split}.tsv", table("id | qid1 | qid2 | question1 | question2 | is_duplicate", questions) if label \
            else table("id | question1 | question2", [(row[0], *row[3:5]) for row in questions])
        head = "index | genre | filename | year | old_index | source1 | source2 | sentence1 | sentence2"
        yield f"SST-B/{split}.tsv", table(head + " | score" * bool(label), [
            (k, "main-captions", "MSRvid", "2012test", k, "none", "none", *pair[:2], *[k * 0.75] * bool(label))
            for k, pair in enumerate(PAIRS)])
    yield "ax.tsv", table("index | sentence1 | sentence2", [(k, *pair[:2]) for k, pair in enumerate(PAIRS)])


def mnli() -> Iterator[tuple[str, str]]:
    """MultiNLI with its parses; in dev files five annotators, and rows on which they did not agree."""
    head = f"index | promptID | pairID | genre | {TREES} | sentence1 | sentence2"
    for split, voters in (("train", 1), ("dev_matched", 5), ("dev_mismatched", 5), ("test_matched", 0),
                          ("test_mismatched", 0)):
        rows = []
        for k, (first, second, label) in enumerate(PAIRS):
            parsed = [f"( {text} )" for text in (first, second, first, second)]
            gold = ["-" if split == "dev_matched" and k == 2 else label] * bool(voters)
            rows.append((k, k, f"{k}n", "slate", *parsed, first, second, *[label] * voters, *gold))
        labels = "".join(f" | label{n + 1}" for n in range(voters)) + " | gold_label" * bool(voters)
        yield f"MNLI/{split}.tsv", table(head + labels, rows)


def mrpc() -> Iterator[tuple[str, str]]:
    """Microsoft's corpus: a byte order mark, and the ids of the rows that GLUE holds out."""
    rows = [(k % 2, 700 + k, 800 + k, *pair[:2]) for k, pair in enumerate(PAIRS * 2)]
    head = "\ufeffQuality | #1 ID | #2 ID | #1 String | #2 String"
    yield "MRPC/msr_paraphrase_train.txt", table(head, rows)
    yield "MRPC/train.tsv", table(head, rows[4:])
    yield "MRPC/msr_paraphrase_test.txt", table(head, rows[:5])
    yield "MRPC/dev_ids.tsv", table("", [row[1:3] for row in rows[:4]])
    yield "MRPC/test.tsv", table("index | #1 ID | #2 ID | #1 String | #2 String", [
        (k, *row[1:]) for k, row in enumerate(rows[:5])])


def xnli() -> Iterator[tuple[str, str]]:
    """Human translations in all languages in one file, machine translations of the training text a file each."""
    head = f"language | gold_label | {TREES} | sentence1 | sentence2 | promptID | pairID | genre | label1 | label2" \
        " | label3 | label4 | label5 | sentence1_tokenized | sentence2_tokenized | match"
    for split in ("dev", "test"):
        rows = [(language, label, *[""] * 4, *texts, k, k, "facetoface", *[label] * 5, *map(" ".join, texts), "True")
                for language, pairs in (("en", PAIRS), ("zh", PAIRS_ZH)) for k, (*texts, label) in enumerate(pairs)]
        yield f"XNLI-1.0.zip/XNLI-1.0/xnli.{split}.tsv", table(head, rows)
    for language, pairs in (("en", PAIRS), ("zh", PAIRS_ZH)):
        rows = [(*texts, label.replace("contradiction", "contradictory")) for *texts, label in pairs]
        yield (f"XNLI-MT-1.0.zip/XNLI-MT-1.0/multinli/multinli.train.{language}.tsv",
               table("premise | hypo | label", rows))


def ocnli(folder: str) -> Iterator[tuple[str, str]]:
    """A json object a line; the annotators' labels, and ``-`` where they did not agree."""
    for split in ("train", "dev", "test"):
        rows = [{"level": "medium", "sentence1": first, "sentence2": second, "label": "-" if k == 2 else label,
                 **{f"label{n}": label for n in range(5)}, "id": k} if answered(split) else
                {"sentence1": first, "sentence2": second, "id": k} for k, (first, second, label) in enumerate(PAIRS_ZH)]
        yield f"{folder}/{split}.json", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def tagged() -> Iterator[tuple[str, str]]:
    """Names in Chinese text: Baidu's table, a character and its tag a line."""
    for split in ("train_derived_from_dh_msra", "dev", "test"):
        yield f"chinese/msra_ner/{split}.tsv", table("text_a | label", [
            ("\x02".join(text), tags.replace(" ", "\x02")) for text, tags in NAMES * 2])
    order = [f"{place}-{kind}" for kind in ("PER", "ORG", "LOC") for place in "BI"] + ["O"]
    yield "chinese/msra_ner/label_map.json", json.dumps({tag: k for k, tag in enumerate(order)}, indent=2)
    for name, part in (("msra_ner__msra_ner_1.0.0/msra_train_bio.txt", "\t"),
                       ("msra_ner__msra_ner_1.0.0/msra_test_bio.txt", "\t"),
                       ("peoples_daily_ner__peoples_daily_ner_1.0.0/example.train", " ")):
        yield f"layouts/{name}", "\n\n".join("\n".join(f"{character}{part}{tag}" for character, tag in zip(
            text, tags.split())) for text, tags in NAMES) + "\n\n"


def chinese() -> Iterator[tuple[str, str]]:
    """Reviews, and questions on passages."""
    texts = [text for first, second, _ in PAIRS_ZH for text in (first, second)]
    for split in ("train", "dev", "test"):
        yield f"chinese/chnsenticorp/{split}.tsv", table("label | text_a", [(k % 2, t) for k, t in enumerate(texts)])
    yield "chinese/cmrc2018/dev.json", json.dumps({"version": "v1.0", "data": [{"paragraphs": [{
        "id": f"DEV_{k}", "context": context, "qas": [{
            "question": "谁？", "id": f"DEV_{k}_QUERY_0", "answers": [{"text": context[:2], "answer_start": 0}] * 3}]}],
        "id": f"DEV_{k}", "title": "文"} for k, context in enumerate(texts)]}, ensure_ascii=False, indent=2)


def others() -> Iterator[tuple[str, str]]:
    """Sentences with the marker that stood between them; judgements of search results."""
    markers = [f"marker{number}," for number in range(168)] + ["but", "so,", "next,", "first,", "still,", "or,"]
    yield "discourse/discovery_markers.txt", "\n".join(markers) + "\n"
    rows = [(f'"{text}, he said ""now"""', text, marker) for text, marker in zip(cycle(SENTENCES), markers)]
    for split in ("train", "dev", "test"):
        yield f"layouts/discovery__discovery_1.0.0/discovery.zip_dl_1/discovery/discovery/{split}.tsv", table(
            "sentence1 | sentence2 | label", rows)
    yield "relevance/query_title_relevance.tsv", table("qid | query | docid | title | cranfield_code", [
        (query, f"subject {query}", 10 * query + k, text.lower()[:24], grade)
        for query in range(240) for k, (text, grade) in enumerate(zip(SENTENCES, (1, 2, -1, 3, 3, 4, 4, 3, 4)))])


def vocabularies() -> Iterator[tuple[str, str]]:
    """Tokens with their numbers, as many as were released: signs, the characters of CJK, words of letters."""
    words = ("".join(letters) for letters in product(ascii_lowercase, "aeiou", ascii_lowercase, "aeiou"))
    signs = [chr(code) for code in range(0x21, 0x7f) if not chr(code).isupper()] + list("，。、：；“”？！《》（）")
    han = [chr(code) for code in range(0x4E00, 0x9FA6)]
    parts = [f"##{sign}" for sign in signs if sign.isalnum()]
    tokens = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *signs, *parts, "[UNK]"]
    tokens += han[:17964 - len(tokens)]
    yield "config/vocab.txt", "".join(f"{token}\t{number}\n" for number, token in enumerate(tokens))
    tokens = ["[PAD]", *(f"[unused{k}]" for k in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *parts]
    tokens += words
    tokens += han[:30522 - len(tokens)]
    yield "config/vocab_en.txt", "\n".join(tokens) + "\n"


def instances(count: int, numbers: dict[str, int], seed: int) -> Iterator[str]:
    """Lines of Baidu's pre-training text: two runs of tagged sentences of the People's Daily, words marked."""
    sentences, draw = list(tagged_sentences()), random.Random(seed)
    unknown = numbers["[UNK]"]
    for _ in range(count):
        ids, types, words = [1], [0], [-1]
        for side in (0, 1):
            for word in islice(draw.choice(sentences), 40):
                ids += [numbers.get(character, unknown) for character in word]
                words += [0] + [1] * (len(word) - 1)
            ids, words = ids + [2], words + [-1]
            types += [side] * (len(ids) - len(types))
        columns = (ids, types, range(len(ids)), words, [draw.randrange(2)])
        yield ";".join(" ".join(map(str, column)) for column in columns) + "\n"


def texts() -> dict[str, str]:
    """Name below the data -> text, of everything but the instances."""
    found: dict[str, str] = {}
    glue = [*single(), *pairs(), *mnli(), *mrpc()]
    for name, text in glue:
        task = name.partition("/")[0]
        if task in ("CoLA", "SST-2", "MRPC") or (task == "QNLI" and "train" not in name):
            found[f"glue/{name}"] = text
        if task != "MRPC":
            folder = {"ax.tsv": "ax", "SST-B": "stsb", "SST-2": "sst2"}.get(task, task.lower())
            found[f"layouts/glue__{folder}_1.0.0/{name}"] = text
    found.update((f"layouts/xnli__zh_1.1.0/{name}", text) for name, text in xnli())
    found.update(ocnli("layouts/clue__ocnli_1.0.0/OCNLI/data/ocnli"))
    for part in (tagged, chinese, others):
        found.update(part())
    return found


def write(root: Path) -> Path:
    """Write the folders, and Baidu's release of 2019, below ``root``."""
    found = {**texts(), **{f"baidu_release/{name}": text for name, text in vocabularies()},
             **{f"baidu_release/{name}": json.dumps(values, indent=2) for name, values in CONFIGURATIONS.items()}}
    for name, text in found.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    vocabulary = found["baidu_release/config/vocab.txt"].splitlines()
    numbers = {token: int(number) for token, _, number in (line.rpartition("\t") for line in vocabulary)}
    (root / "baidu_release" / "data").mkdir()
    for seed, (name, count) in enumerate(INSTANCES.items()):
        with gzip.open(root / f"baidu_release/data/demo_{name}_set.gz", "wt", 1) as file:
            file.writelines(instances(count, numbers, seed))
    return root
