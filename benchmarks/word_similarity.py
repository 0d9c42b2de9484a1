"""Write SimLex-999, which gensim ships, as a fine-tuning data set: 599 rows for training and 400 for dev.

example: python benchmarks/word_similarity.py output/word_similarity
"""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from gensim.test.utils import datapath

DEV = 400


def main(output: Path) -> None:
    """Draw the dev rows and write both files, in STS-B's columns."""
    lines = Path(datapath("simlex999.txt")).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    order = np.random.Generator(np.random.Philox(key=999)).permutation(len(rows)).tolist()
    output.mkdir(parents=True, exist_ok=True)
    for name, chosen in ("dev", sorted(order[:DEV])), ("train", sorted(order[DEV:])):
        text = "".join(f"{first}\t{second}\t{float(score) / 2:g}\n" for first, second, score in
                       map(rows.__getitem__, chosen))
        (output / f"{name}.tsv").write_text("sentence1\tsentence2\tscore\n" + text, "utf-8")
        print(f"{output / name}.tsv: {len(chosen)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
