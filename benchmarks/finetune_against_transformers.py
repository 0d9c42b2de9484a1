"""Fine-tuning on GLUE: this project and transformers on torch, the same weights, data and recipe, seed by seed.

Needs torch and transformers beside paddle in one environment, a BERT checkpoint in Hugging Face's layout, and GLUE as
published. Prints both means with their spreads, and whether they differ by more than the spreads allow.

example: python benchmarks/finetune_against_transformers.py --init MODEL --data glue --task cola --seeds 5 \\
             --set train_rows=2000 --set learning_rate=1e-4
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def ours(args, recipe) -> list:
    """Results of our seeds: the best dev metric and seconds of training."""
    from ernie.cli import main
    command = ["finetune", "--task", args.task, "--data", args.data, "--init", args.init, "--output",
               str(Path(args.output) / args.task), "--runs", str(args.seeds)]
    for assignment in args.assignments:
        command += ["--set", assignment]
    if main(command):
        sys.exit("our side failed")
    found = []
    for seed in range(1, args.seeds + 1):
        result = json.loads((Path(args.output) / args.task / f"seed-{seed}" / "result.json").read_text())
        found.append((mean(result["dev"][metric] for metric in recipe.metrics), result["seconds"]))
    return found


def theirs(args, recipe) -> list:
    """The same with transformers' own model, tokenizer and schedule, and torch's AdamW."""
    import numpy as np
    import torch
    from transformers import BertForSequenceClassification, BertTokenizerFast, get_linear_schedule_with_warmup

    from ernie.finetuning.data import FinetuningData
    from tasks.finetune.batches import by_length
    data = FinetuningData(recipe, args.data)
    tokenizer = BertTokenizerFast.from_pretrained(args.init)
    encoded = {}
    for split in "train", "dev":
        source = data.recipe.reader.open(data.recipe.reader.find(args.data, split), split, data.classes)
        rows = list(source)[:recipe.train_rows or None] if split == "train" else list(source)
        ids = tokenizer(*zip(*(row.texts for row in rows)), truncation=True, max_length=recipe.max_length)
        encoded[split] = rows, ids

    def batch(split, chosen):
        _, ids = encoded[split]
        picked = {key: [ids[key][at] for at in chosen] for key in ("input_ids", "token_type_ids", "attention_mask")}
        return tokenizer.pad(picked, return_tensors="pt")

    def dev_metric(model):
        rows, ids = encoded["dev"]
        outputs = [None] * len(rows)
        model.eval()
        with torch.no_grad():
            for chosen in by_length(np.array([len(one) for one in ids["input_ids"]]), 8192):
                for at, scores in zip(chosen, model(**batch("dev", chosen)).logits.numpy()):
                    outputs[at] = scores
        model.train()
        scores = data.kind.score(rows, data.kind.decode(rows, None, outputs))
        return mean(scores[metric] for metric in recipe.metrics)

    found = []
    for seed in range(1, args.seeds + 1):
        torch.manual_seed(seed)
        model = BertForSequenceClassification.from_pretrained(args.init, num_labels=len(data.classes))
        rows, _ = encoded["train"]
        decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
        plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": recipe.weight_decay},
                                       {"params": plain, "weight_decay": 0.0}],
                                      lr=recipe.learning_rate, eps=recipe.epsilon, fused=True)
        steps = -(-len(rows) // recipe.batch_size) * recipe.epochs
        schedule = get_linear_schedule_with_warmup(optimizer, int(steps * recipe.warmup_proportion), steps)
        labels, best, seconds = torch.tensor([row.label for row in rows]), -1.0, 0.0
        model.train()
        for _ in range(recipe.epochs):
            begun, order = time.perf_counter(), torch.randperm(len(rows))
            for chosen in order.split(recipe.batch_size):
                loss = model(**batch("train", chosen.tolist()), labels=labels[chosen]).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            seconds += time.perf_counter() - begun
            best = max(best, dev_metric(model))
        print(f"transformers, seed {seed}: {best:.4f}, {seconds:.0f} s", flush=True)
        found.append((best, seconds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True, help="BERT checkpoint, Hugging Face layout")
    parser.add_argument("--data", required=True, help="GLUE folder")
    parser.add_argument("--task", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", default="output/against_transformers")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="over the recipe, both sides")
    args = parser.parse_args()
    from ernie.finetuning.recipe import load
    recipe = load(args.task, "base", args.assignments)
    sides = {"transformers": theirs(args, recipe), "ours": ours(args, recipe)}
    print(f"\n{args.task}: mean of {', '.join(recipe.metrics)} on dev data, {args.seeds} seeds, {args.assignments}")
    for name, found in sides.items():
        values = [value for value, _ in found]
        print(f"  {name:13} {100 * mean(values):5.1f} ± {100 * stdev(values):.1f}   "
              f"{', '.join(f'{100 * value:.1f}' for value in values)}   {mean(s for _, s in found):.0f} s a seed")
    (a, b), spread = (mean(value for value, _ in found) for found in sides.values()), sum(
        stdev(value for value, _ in found) for found in sides.values())
    print(f"  difference {100 * abs(a - b):.1f}, the two spreads together {100 * spread:.1f}: "
          + ("agrees" if abs(a - b) <= spread else "DIFFERS"))


if __name__ == "__main__":
    main()
