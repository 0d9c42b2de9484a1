"""Fine-tuning from a pre-trained run and from random weights: same model size, vocabulary, data, recipe and seeds.

Prints both means with their spreads, and the difference seed by seed. Where of a task of questions only ``dev.json``
is at hand, ``--split-dev`` makes train and dev data of it: every fifth article is dev data.

example: python benchmarks/finetune_from_pretraining.py --init output/demo_zh --data chnsenticorp --task chnsenticorp \\
             --seeds 3 --set learning_rate=3e-4 --set epochs=2 --output output/transfer
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def split_dev(data: Path, folder: Path) -> Path:
    """Train and dev files made of the one ``dev.json`` in SQuAD's layout, by article."""
    content = json.loads((data / "dev.json").read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, keep in ("train", lambda at: at % 5), ("dev", lambda at: at % 5 == 0):
        articles = [article for at, article in enumerate(content["data"]) if keep(at)]
        (folder / f"{name}.json").write_text(json.dumps({**content, "data": articles}, ensure_ascii=False), "utf-8")
    return folder


def results(args: argparse.Namespace, data: Path, name: str, start: list) -> list:
    """Dev metrics of every seed, fine-tuned from one start."""
    from ernie.cli import main
    output = Path(args.output) / args.task / name
    command = ["finetune", "--task", args.task, "--data", str(data), "--output", str(output), "--runs",
               str(args.seeds), *start]
    for assignment in args.assignments:
        command += ["--set", assignment]
    if main(command):
        sys.exit(f"fine-tuning from {name} failed")
    return [json.loads((output / f"seed-{seed}" / "result.json").read_text())["dev"]
            for seed in range(1, args.seeds + 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True, help="a pre-training run, or any checkpoint with a vocabulary")
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="output/transfer")
    parser.add_argument("--split-dev", action="store_true", help="make train and dev data of dev.json, by article")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="over the recipe, both sides")
    args = parser.parse_args()

    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.checkpoints.warm_start import read_pretrained
    from ernie.finetuning.predictor import find_model
    from ernie.finetuning.recipe import load
    recipe = load(args.task, "base", args.assignments)
    data = split_dev(Path(args.data), Path(args.output) / args.task / "data") if args.split_dev else Path(args.data)
    pretrained = read_pretrained(find_model(args.init) or args.init)
    config = Path(args.output) / "model.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(pretrained.config.to_dict()))
    sides = {"random": results(args, data, "random", ["--model", str(config), "--vocab", str(pretrained.vocab)]),
             "pre-trained": results(args, data, "pre-trained", ["--init", args.init])}
    print(f"\n{args.task}: dev data, {args.seeds} seeds, {args.assignments}")
    for metric in recipe.metrics:
        values = {name: [100 * scores[metric] for scores in found] for name, found in sides.items()}
        for name, found in values.items():
            spread = f" ± {stdev(found):.1f}" if args.seeds > 1 else ""
            print(f"  {metric:16} {name:12} {mean(found):5.1f}{spread}   {', '.join(f'{v:.1f}' for v in found)}")
        gains = [after - before for before, after in zip(values["random"], values["pre-trained"])]
        print(f"  {metric:16} gain by seed: {', '.join(f'{gain:+.1f}' for gain in gains)}")


if __name__ == "__main__":
    main()
