"""Spearman correlation of cosine similarities with people's scores, on a file in the layout of STS-B.

    python benchmarks/similarity.py --init CHECKPOINT --data STS-B/dev.tsv

GLUE's own files (a header that names sentence1, sentence2 and score) and the original ones without a header (score,
sentence1, sentence2 in columns 5 to 7).
"""
import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import ernie


def rows(path) -> list:
    """(sentence, sentence, score) of every row."""
    lines = [line.split("\t") for line in Path(path).read_text("utf-8").splitlines()]
    columns = [5, 6, 4]
    if "sentence1" in lines[0]:
        columns = [lines[0].index(name) for name in ("sentence1", "sentence2", "score")]
        lines = lines[1:]
    return [(line[columns[0]], line[columns[1]], float(line[columns[2]])) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pooling", default="mean", choices=("mean", "first", "cls"))
    args = parser.parse_args()
    model, (first, second, scores) = ernie.load(args.init), zip(*rows(args.data))
    a, b = model.encode(first, args.pooling), model.encode(second, args.pooling)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"Spearman x 100: {100 * spearmanr(cosine, scores).statistic:.2f} on {len(scores)} pairs")


if __name__ == "__main__":
    main()
