"""Padding of one epoch of fine-tuning batches, with rows in any order and with batches of similar length.

example: python benchmarks/padding.py --data glue --init MODEL --tasks cola,mrpc,sst-2 --similar 0,16,64,512
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ernie.finetuning.data import FinetuningData, find_vocabulary  # noqa: E402
from ernie.finetuning.recipe import load  # noqa: E402
from reader.text.tokenizer import Tokenizer  # noqa: E402
from tasks.finetune.batches import EpochBatches  # noqa: E402


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the tasks")
    parser.add_argument("--init", required=True, help="checkpoint whose vocabulary cuts the texts")
    parser.add_argument("--tasks", default="cola,mrpc,sst-2")
    parser.add_argument("--similar", default="0,16,64,512", help="values of similar_lengths")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="over every recipe")
    args = parser.parse_args()
    for task in args.tasks.split(","):
        recipe = load(task, "base", args.assignments)
        data = FinetuningData(recipe, args.data, lambda line: None)
        tokenizer = Tokenizer.load(*find_vocabulary(recipe, data, args.init, None, Path()))
        split = data.split("train", tokenizer, required=True, keep_rows=False)
        assert split is not None  # required
        shares = []
        for similar in map(int, args.similar.split(",")):
            batches = EpochBatches(split.features, data.kind, seed=1, epochs=1, batch_size=recipe.batch_size,
                                   batch_unit=recipe.batch_unit, task_id=0, pad_id=tokenizer.pad_id,
                                   micro_tokens=recipe.micro_batch_tokens, similar=similar)
            made = [batch for step in range(batches.steps) for batch in batches.at(step)]
            held, places = sum(batch.tokens for batch in made), sum(batch.token_ids.size for batch in made)
            shares.append(f"{similar}: {100 * (1 - held / places):.1f} %")
        print(f"{task}, batches of {recipe.batch_size}: {', '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
