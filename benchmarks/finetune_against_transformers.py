"""Fine-tuning: this project and transformers on torch, the same weights, rows and recipe, seed by seed.

Needs torch and transformers beside paddle in one environment, a BERT checkpoint in Hugging Face's layout, and the data
as published. Both sides train on the same rows (``train_rows`` draws them from the whole file once) and keep the best
epoch on dev data. Every run is a line of <output>/<task>/runs.jsonl with the dev metric of each epoch; a run that
stands there is not repeated, so an interrupted comparison goes on. Ends with both means, their spreads and Mann and
Whitney's rank test.

example: python benchmarks/finetune_against_transformers.py --init MODEL --data glue --task cola --seeds 5 \\
             --set train_rows=2000 --set learning_rate=1e-4
"""
from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SIDES = ("transformers", "ours")


def ours(args: argparse.Namespace, recipe, seed: int) -> dict:
    """Train one of our seeds: the dev metric of every epoch, and the seconds of training."""
    from ernie.cli import main
    output = Path(args.output) / recipe.task / "ours"
    command = ["finetune", "--task", args.task, "--data", args.data, "--init", args.init, "--output", str(output)]
    for assignment in [*args.assignments, f"seed={seed}"]:
        command += ["--set", assignment]
    if main(command):
        sys.exit("our side failed")
    result = json.loads((output / f"seed-{seed}" / "result.json").read_text("utf-8"))
    return {"epochs": [mean(point[metric] for metric in recipe.metrics) for point in result["dev_points"]],
            "seconds": result["seconds"]}


class Theirs:
    """transformers' own model, tokenizer and schedule, and torch's AdamW, over the rows that our reader gives."""

    def __init__(self, args: argparse.Namespace, recipe):
        from transformers import BertTokenizerFast

        from ernie.finetuning.data import FinetuningData
        self.init, self.recipe = args.init, recipe
        self.data = FinetuningData(recipe, args.data)
        self.tokenizer = BertTokenizerFast.from_pretrained(args.init)
        self.rows, self.ids = {}, {}
        for split in "train", "dev":
            path = recipe.reader.find(args.data, split)
            source = recipe.reader.open(path, split, self.data.classes)
            rows = list(self.data.drawn(source, path) if split == "train" and recipe.train_rows else source)
            self.rows[split] = rows
            self.ids[split] = self.tokenizer(*zip(*(row.texts for row in rows)), truncation=True,
                                             max_length=recipe.max_length)

    def batch(self, split: str, chosen: list):
        """Pad the chosen rows of a split."""
        ids = self.ids[split]
        picked = {key: [ids[key][at] for at in chosen] for key in ("input_ids", "token_type_ids", "attention_mask")}
        return self.tokenizer.pad(picked, return_tensors="pt")

    def dev_metric(self, model) -> float:
        """Mean of the recipe's metrics on dev data."""
        import numpy as np
        import torch

        from tasks.finetune.batches import by_length
        rows, ids = self.rows["dev"], self.ids["dev"]
        outputs = [None] * len(rows)
        model.eval()
        with torch.no_grad():
            for chosen in by_length(np.array([len(one) for one in ids["input_ids"]]), 8192):
                for at, scores in zip(chosen, model(**self.batch("dev", chosen)).logits.numpy()):
                    outputs[at] = scores
        model.train()
        scores = self.data.kind.score(rows, self.data.kind.decode(rows, None, outputs))
        return mean(scores[metric] for metric in self.recipe.metrics)

    def train(self, seed: int) -> dict:
        """Train one seed: the dev metric of every epoch, and the seconds of training."""
        import torch
        from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup
        recipe, rows = self.recipe, self.rows["train"]
        torch.manual_seed(seed)
        model = BertForSequenceClassification.from_pretrained(self.init, num_labels=self.data.kind.outputs)
        decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
        plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": recipe.weight_decay},
                                       {"params": plain, "weight_decay": 0.0}],
                                      lr=recipe.learning_rate, eps=recipe.epsilon, fused=True)
        steps = -(-len(rows) // recipe.batch_size) * recipe.epochs
        schedule = get_linear_schedule_with_warmup(optimizer, int(steps * recipe.warmup_proportion), steps)
        labels, epochs, seconds = torch.tensor([row.label for row in rows]), [], 0.0
        model.train()
        for _ in range(recipe.epochs):
            begun, order = time.perf_counter(), torch.randperm(len(rows))
            for chosen in order.split(recipe.batch_size):
                loss = model(**self.batch("train", chosen.tolist()), labels=labels[chosen]).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            seconds += time.perf_counter() - begun
            epochs.append(self.dev_metric(model))
        return {"epochs": epochs, "seconds": seconds}


def report(recipe, runs: list, assignments: list) -> None:
    """Print both distributions, sorted, and whether they differ."""
    from scipy.stats import mannwhitneyu
    values = {side: sorted(100 * max(run["epochs"]) for run in runs if run["side"] == side) for side in SIDES}
    print(f"\n{recipe.task}: mean of {', '.join(recipe.metrics)} on dev data, best epoch, {assignments}")
    for side, found in values.items():
        spread = f" ± {stdev(found):.1f}" if len(found) > 1 else ""
        first = mean(100 * run["epochs"][0] for run in runs if run["side"] == side)
        seconds = mean(run["seconds"] for run in runs if run["side"] == side)
        print(f"  {side:13} {mean(found):5.1f}{spread}   {' '.join(f'{value:.1f}' for value in found)}   "
              f"after the first epoch {first:.1f}   {seconds:.0f} s a seed")
    if min(len(found) for found in values.values()) > 1:
        p = mannwhitneyu(*values.values()).pvalue
        print(f"  difference {mean(values['ours']) - mean(values['transformers']):+.1f}; Mann and Whitney's test, both "
              f"sides: p = {p:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True, help="BERT checkpoint, Hugging Face layout")
    parser.add_argument("--data", required=True, help="GLUE folder, or that of the task")
    parser.add_argument("--task", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", default="output/against_transformers")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="over the recipe, both sides")
    args = parser.parse_args()
    from ernie.finetuning.recipe import load
    recipe = load(args.task, "base", args.assignments)
    log = Path(args.output) / recipe.task / "runs.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    runs = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    if any(run["assignments"] != args.assignments for run in runs):
        sys.exit(f"{log} holds runs with other settings")
    theirs = None
    for seed in range(1, args.seeds + 1):  # by turns, so that what is there after an interruption is paired
        for side in SIDES:
            if any(run["side"] == side and run["seed"] == seed for run in runs):
                continue
            if side == "transformers":
                theirs = theirs or Theirs(args, recipe)
            found = theirs.train(seed) if theirs and side == "transformers" else ours(args, recipe, seed)
            if not all(math.isfinite(value) for value in found["epochs"]):
                found["epochs"] = [value if math.isfinite(value) else 0.0 for value in found["epochs"]]
            runs.append({"side": side, "seed": seed, "assignments": args.assignments, **found})
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(runs[-1]) + "\n")
            print(f"{side}, seed {seed}: {100 * max(found['epochs']):.1f}, {found['seconds']:.0f} s", flush=True)
    report(recipe, runs, args.assignments)


if __name__ == "__main__":
    main()
