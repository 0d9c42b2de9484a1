"""Damaged records of a run: a page, or one line that names the file; never a traceback."""
import json
import random
import shutil

import pytest

from ernie import cli
from ernie.finetuning.predictor import find_model
from ernie.finetuning.recipe import load
from ernie.finetuning.summary import summed_up
from reader.utils.errors import InputError
from tests.long_form import LONG

STAGES = [{"number": 1, "budgets": {"knowledge_masking": 8}, "new": ["knowledge_masking"], "until_converged": None},
          {"number": 2, "budgets": {"knowledge_masking": 4, "capitalization": 4}, "new": ["capitalization"]}]
DEV = {"knowledge_masking": {"loss": 4.1, "accuracy": 0.2, "targets": 90, "groups": {"word": {"accuracy": 0.2,
                                                                                              "targets": 9}}},
       "capitalization": {"loss": 0.4, "accuracy": 0.8, "targets": 90, "majority": 0.7, "chance": 0.5,
                          "baseline": {"name": "token", "accuracy": 0.75, "loss": 0.5, "by_loss": False}}}
VALUES = [None, True, -1, 0, 1e400, float("nan"), 10 ** 30, "", "x", [], [1], {}, {"a": 1}, [[]], "é" * 3000, 3.7]


@pytest.fixture
def run(tmp_path):
    """The records of a run of two stages, as the trainer writes them."""
    record = {"curriculum": {"name": "made", "tasks": [], "corpora": {}}, "stages": STAGES, "model": {"vocab_size": 64},
              "vocabulary": "abc", "data": {"made": "abc"}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    for stage in (1, 2):
        folder = tmp_path / "run" / f"stage-{stage}"
        folder.mkdir()
        (folder / "done.json").write_text(json.dumps({"checkpoint": "step-00000008", "reason": "finished", "step": 8,
                                                      "time": 1.0, "seconds": 2.0, "tokens": 300}))
        (folder / "dev.json").write_text(json.dumps(DEV if stage == 2 else {k: DEV[k] for k in ["knowledge_masking"]}))
        lines = [{"step": step, "of": 8, "time": 1.0 + step, "launched": 1.0, "cards": 1, "task": "knowledge_masking",
                  "tasks": {"knowledge_masking": {"loss": 5.0 - step / 8, "accuracy": 0.1, "targets": 9}},
                  "drawn": {"knowledge_masking": 1}, "learning_rate": 1e-3, "loss_scale": 1.0, "gradient_norm": 2.0,
                  "tokens_per_second": 100.0, "padding": 0.1, "data_wait": 0.0, "memory_mib": 300, "skipped": 0,
                  "tokens": 30 * step, "eta_stage": 1.0, "eta_run": 2.0} for step in range(1, 9)]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "run"


def mutate(content, rng) -> None:
    for _ in range(8):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(content[key], (dict, list)) and content[key] and rng.random() < 0.75:
            content = content[key]
        elif rng.random() < 0.3 and isinstance(content, dict):
            del content[key]
            return
        else:
            content[key] = rng.choice(VALUES)
            return


def damage(file, rng) -> None:
    if rng.random() < 0.3:
        raw = bytearray(file.read_bytes())
        place = rng.randrange(len(raw))
        raw[place:place + rng.choice([1, 30])] = rng.randbytes(rng.choice([0, 1, 3]))
        file.write_bytes(raw)
        return
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    mutate(rng.choice(lines), rng)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_page_or_a_line(tmp_path, run, capsys):
    """60 damaged runs, 1,000 in the long form."""
    rng, codes = random.Random(5), {0: 0, 2: 0}
    assert cli.main(["report", str(run)]) == 0
    capsys.readouterr()
    for _ in range(1_000 if LONG else 60):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        files = sorted(file for file in copy.rglob("*.json*"))
        damage(rng.choice([copy / "run.json", copy / "run.json", *files]), rng)
        code = cli.main(["report", str(copy)])
        codes[code] += 1
        error = capsys.readouterr().err
        assert code == 0 or error.startswith("ernie: ") and error.count("\n") == 1, error
    assert codes[0] > 10 and codes[2] > 10, codes


@pytest.fixture
def output(tmp_path):
    """The records of a fine-tuning of two seeds, as the trainer writes them."""
    recipe, place, results = load("mrpc"), tmp_path / "outputs" / "mrpc", []
    place.mkdir(parents=True)
    (place / "finetune.json").write_text(json.dumps({**recipe.to_dict(), "size": "base", "init": "x"}) + "\n")
    for seed in (1, 2):
        scores = {"accuracy": 0.5 + seed / 10, "f1": 0.6}
        points = [{"step": step, "epoch": step, "loss": 0.7, **scores} for step in (1, 2)]
        result = {"seed": seed, "run": f"seed-{seed}", "steps": 2, "seconds": 1.0, "tokens": 99, "best_step": 1,
                  "last": scores, "dev_points": points, "dev": scores, "evaluation": {"dev": {
                      "rows": 8, "metrics": scores, "majority": 0.5, "names": ["no", "yes"],
                      "confusion": [[3, 1], [1, 3]]}}}
        results.append(result)
        folder = place / f"seed-{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(result) + "\n")
        (folder / "log.jsonl").write_text("".join(json.dumps({
            "step": step, "of": 2, "time": 1.0 + step, "launched": 1.0, "cards": 1, "task": "mrpc", "tasks": {
                "mrpc": {"loss": 0.7, "targets": 4}}, "learning_rate": 1e-3, "tokens": 40 * step}) + "\n"
            for step in (1, 2)))
    (place / "result.json").write_text(json.dumps(summed_up(recipe, results, "base")) + "\n")
    return place.parent


def test_a_page_and_a_table_of_fine_tuning_or_a_line(tmp_path, output, capsys):
    """60 damaged outputs, 1,000 in the long form."""
    rng, codes = random.Random(6), {0: 0, 2: 0}
    for command in (["report", str(output)], ["finetune", "--summary", str(output)]):
        assert cli.main(command) == 0, capsys.readouterr().err
    capsys.readouterr()
    for _ in range(1_000 if LONG else 60):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(output, copy)
        summary = copy / "mrpc" / "result.json"
        damage(rng.choice([summary, summary, *sorted(copy.rglob("*.json*"))]), rng)
        for command in (["report", str(copy)], ["finetune", "--summary", str(copy)]):
            code = cli.main(command)
            codes[code] += 1
            error = capsys.readouterr().err
            assert code == 0 or error.startswith("ernie: ") and error.count("\n") == 1, error
        try:
            assert find_model(copy / "mrpc") is None
        except InputError as error:
            assert "result.json" in str(error)
    assert codes[0] > 10 and codes[2] > 10, codes
