"""What shallow features reach on fine-tuning tasks: the floor that a fine-tuned score is read against.

Texts: logistic regression on the rarity-weighted words and pairs of words (runs of one to three characters of Chinese),
in pairs of texts also on how much they share. Sequences: the label that training rows give most often to a word, alone
or with its neighbours. The variant, and how strongly it is regularised, is chosen by cross-validation on the training
rows; dev rows are seen once. The same files, drawn rows and metrics as `ernie finetune`.

example: python benchmarks/finetune_shallow.py cola=glue/CoLA mrpc=glue/MRPC sst-2=glue/SST-2 --set train_rows=10000
"""
from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ernie.finetuning.data import FinetuningData  # noqa: E402
from ernie.finetuning.recipe import load  # noqa: E402
from tasks.finetune.classification import Choice  # noqa: E402
from tasks.finetune.sequence_labelling import Tags  # noqa: E402

WORDS = {"words": {"analyzer": "word", "token_pattern": r"\w+|[^\w\s]"},
         "words and pairs": {"analyzer": "word", "token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)}}
CHARACTERS = {f"runs of 1 to {most} characters": {"analyzer": "char", "ngram_range": (1, most)} for most in (1, 2, 3)}
CONTEXTS = {"word": (0,), "word and left neighbour": (-1, 0), "word and right neighbour": (0, 1),
            "word and both neighbours": (-1, 0, 1)}
HAN = re.compile("[\u4e00-\u9fff]")
FOLDS = 5


def shared(parts: list[sparse.csr_matrix]) -> np.ndarray:
    """Return [n, f]: cosine of two texts, and what share of the words of each the other has."""
    first, second = parts
    has = [(part > 0).astype(np.float64) for part in parts]
    both = np.asarray(has[0].multiply(has[1]).sum(1)).ravel()
    sizes = [np.maximum(1, np.asarray(one.sum(1)).ravel()) for one in has]
    cosine = np.asarray(first.multiply(second).sum(1)).ravel()  # rows have length 1
    return np.column_stack([cosine, both / sizes[0], both / sizes[1], *(np.log(size) for size in sizes)])


def matrix(rows: list, vectorizer: TfidfVectorizer) -> sparse.csr_matrix:
    """Return the features of rows, of one or two texts."""
    parts = [vectorizer.transform([row.texts[k] for row in rows]) for k in range(len(rows[0].texts))]
    return sparse.hstack(parts + ([sparse.csr_matrix(shared(parts))] if len(parts) == 2 else []), format="csr")


def classes(kind, metrics: list[str], train: list, dev: list, variants: dict[str, dict]) -> tuple[str, list]:
    """Return (name of the variant, answers about the dev rows) of the best logistic regression."""
    labels, found = np.array([row.label for row in train]), []
    for name, settings in variants.items():
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, **settings)
        vectorizer.fit([text for row in train for text in row.texts])
        inputs = matrix(train, vectorizer)
        for strength in (0.3, 1.0, 3.0, 10.0):
            model = LogisticRegression(C=strength, max_iter=1000)
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1)
            chosen = choices(cross_val_predict(model, inputs, labels, cv=folds), kind)
            scores = kind.score(train, chosen)
            value = mean(scores[metric] for metric in metrics)
            found.append((value, f"{name}, C {strength}", model, inputs, vectorizer))
    _, name, model, inputs, vectorizer = max(found, key=lambda each: each[0])
    return name, choices(model.fit(inputs, labels).predict(matrix(dev, vectorizer)), kind)


def choices(labels: np.ndarray, kind) -> list[Choice]:
    """Return answers of the kind that are certain of a class each."""
    return [Choice(int(label), np.eye(len(kind.classes))[label]) for label in labels]


def tags(kind, metrics: list[str], train: list, dev: list) -> tuple[str, list]:
    """Return (name of the variant, answers about the dev rows) of the best table of words and neighbours."""
    def score(context: tuple) -> float:
        answers = {}
        for rest, held in KFold(FOLDS, shuffle=True, random_state=1).split(train):
            tables = counted([train[at] for at in rest], context)
            answers.update((at, tagged(train[at], tables)) for at in held.tolist())
        return mean(kind.score(train, [answers[at] for at in range(len(train))])[metric] for metric in metrics)

    name = max(CONTEXTS, key=lambda each: score(CONTEXTS[each]))
    tables = counted(train, CONTEXTS[name])
    return name, [tagged(row, tables) for row in dev]


def counted(rows: list, context: tuple) -> list[tuple[tuple, dict]]:
    """Return tables of the most frequent label: of a word in this context, of the word, of anything."""
    tables = []
    for places in dict.fromkeys((context, (0,), ())):
        seen: dict[tuple, Counter] = defaultdict(Counter)
        for row in rows:
            for at, label in enumerate(row.labels):
                seen[key(row.words, at, places)][label] += 1
        tables.append((places, {each: counts.most_common(1)[0][0] for each, counts in seen.items()}))
    return tables


def key(words: list, at: int, places: tuple) -> tuple:
    """Return the words around a place that a table looks at."""
    return tuple(words[at + step] if 0 <= at + step < len(words) else None for step in places)


def tagged(row, tables: list[tuple[tuple, dict]]) -> Tags:
    """Return the label of every word by the first table that has seen it."""
    labels = [next(table[found] for places, table in tables if (found := key(row.words, at, places)) in table)
              for at in range(len(row.words))]
    return Tags(labels, [1.0] * len(labels))


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", metavar="TASK=DIR", help="classes of texts, or labels of words")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="over every recipe")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    for pair in args.tasks:
        task, _, folder = pair.partition("=")
        recipe = load(task, "base", args.assignments)
        data = FinetuningData(recipe, folder, lambda line: None)
        path, dev = (recipe.reader.find(folder, split) for split in ("train", "dev"))
        source = data.open(path, "train")
        train, dev = list(data.drawn(source, path) if recipe.train_rows else source), list(data.open(dev, "dev"))
        metrics = list(recipe.metrics)
        if recipe.kind == "sequence_labelling":
            name, answers = tags(data.kind, metrics, train, dev)
        else:
            sample = "".join(text for row in train[:200] for text in row.texts)
            chinese = 2 * len(HAN.findall(sample)) > len(sample)
            name, answers = classes(data.kind, metrics, train, dev, CHARACTERS if chinese else WORDS)
        scores = data.kind.score(dev, answers)
        print(f"{task}: {100 * mean(scores[metric] for metric in metrics):.1f} ({', '.join(metrics)}; {name}; "
              f"{len(train):,} rows)", flush=True)


if __name__ == "__main__":
    main()
