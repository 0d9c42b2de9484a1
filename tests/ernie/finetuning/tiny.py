"""A model of a few thousand parameters, a few rows for every task, and the command that trains one on the other."""
from __future__ import annotations

import json

from ernie.cli import main
from ernie.finetuning.recipe import load

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99,
        "max_position_embeddings": 64, "use_task_id": True, "task_type_vocab_size": 16,
        "hidden_dropout_prob": 0.1}
QUICK = ["max_length=32", "epochs=1", "batch_size=32", "log_every=1"]


def table(path, header, rows):
    lines = ([header] if header else []) + rows
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), "utf-8")


def make_data(task, directory):
    """A few rows in the task's own layout. In classification, texts with "a" are of the last class."""
    recipe = load(task)
    directory.mkdir(parents=True, exist_ok=True)
    texts = ["a b", "c d", "a e", "f g", "b a", "d c", "e f", "a h"]
    for split in ["train", *recipe.splits("dev"), *recipe.splits("test")]:
        path = directory / recipe.reader.files.get(split, [split + (
            ".json" if recipe.kind == "reading_comprehension" else ".tsv")])[0]
        if recipe.kind == "reading_comprehension":
            path.write_text(json.dumps({"data": [{"paragraphs": [{"context": f"天地{t}人", "qas": [
                {"id": f"{split}{n}", "question": "天", "answers": [{"text": t[0], "answer_start": 2}]}]}
                for n, t in enumerate(texts)]}]}, ensure_ascii=False), "utf-8")
        elif recipe.kind == "sequence_labelling":
            table(path, ["text_a", "label"], [["\x02".join("天光荣地"), "\x02".join(["O", "B-ORG", "I-ORG", "O"])]] * 8)
        else:
            columns = recipe.reader.columns[0]
            header = columns.get("headerless") or [*columns["text"], columns.get("label", "label"),
                                                   *filter(None, [columns.get("group")]), *columns.get("only", {})]
            rows = []
            for n, text in enumerate(texts):
                classes = recipe.reader.classes
                label = classes[-1 if "a" in text else 0] if classes else round(0.7 * n, 1)
                values = dict.fromkeys(columns["text"], text)
                values.update({columns.get("label", "label"): label, **columns.get("only", {})})
                values.setdefault(columns.get("group", ""), f"q{n // 4}")
                rows.append([values.get(name, "x") for name in header])
            table(path, None if "headerless" in columns else header, rows)
    return directory


def finetune(task, data, output, model_files, *settings, extra=()):
    arguments = ["finetune", "--task", task, "--data", str(data), "--output", str(output),
                 "--model", str(model_files[0]), "--vocab", str(model_files[1]), *extra]
    for setting in [*QUICK, *settings]:
        arguments += ["--set", setting]
    return main(arguments)


def result(output):
    return json.loads((output / "result.json").read_text("utf-8"))
