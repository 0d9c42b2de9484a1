"""The figures of many outputs side by side, and what is packed for the GLUE server."""
import json
import zipfile

import pytest

from ernie.finetuning.recipe import GLUE_SCORE, load
from ernie.finetuning.summary import summarise
from reader.utils.errors import InputError
from tasks.finetune.submission import FILES


def output_of(directory, task, values, size="base", best_seed=1):
    """What ``summarise`` reads of a finished run: dev figures (split -> metric -> value), one submission file."""
    (directory / f"seed-{best_seed}" / "submission").mkdir(parents=True)
    file = f"{FILES[task, 'test']}.tsv"
    (directory / f"seed-{best_seed}" / "submission" / file).write_text(directory.name)
    figures = {split: {name: {"value": value, "spread": None, "values": [value]} for name, value in found.items()}
               for split, found in values.items()}
    (directory / "result.json").write_text(json.dumps(
        {"task": task, "size": size, "metrics": load(task).metrics, "over_runs": "median", "runs": 1,
         "best_seed": best_seed, "figures": figures}))


def test_of_two_outputs_of_a_task_the_better_one_counts_and_is_named(tmp_path, capsys):
    output_of(tmp_path / "a", "cola", {"dev": {"matthews": 0.40}}, best_seed=3)
    output_of(tmp_path / "b", "cola", {"dev": {"matthews": 0.30}}, size="large")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "finetune.json").write_text("{}")
    (tmp_path / "result.json").write_text("[1, 2]")  # of some other program
    summarise(tmp_path)
    printed = capsys.readouterr().out
    assert f"not finished, left out: {tmp_path / 'c'}" in printed
    assert "cola [a]" in printed
    assert "cola [b]" in printed
    assert "2 outputs of cola: a, the best on dev data, counts below" in printed
    assert "mean of 1 of the 9 GLUE tasks on dev data: 40.0;" in printed
    with zipfile.ZipFile(tmp_path / "glue_submission.zip") as archive:
        assert archive.namelist() == ["CoLA.tsv"]
        assert archive.read("CoLA.tsv") == b"a"


def test_the_answers_of_the_best_fold_are_submitted(tmp_path):
    output_of(tmp_path / "a", "cola", {"dev": {"matthews": 0.4}}, best_seed=2)
    (tmp_path / "a" / "seed-2").rename(tmp_path / "a" / "fold-2")
    file = tmp_path / "a" / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "best_run": "fold-2"}))
    summarise(tmp_path)
    with zipfile.ZipFile(tmp_path / "glue_submission.zip") as archive:
        assert archive.namelist() == ["CoLA.tsv"]


def test_a_score_of_all_nine_tasks_is_called_the_glue_score(tmp_path, capsys):
    for number, task in enumerate(GLUE_SCORE):
        values = dict.fromkeys(load(task).metrics, number / 10)
        output_of(tmp_path / task, task, {"dev": values})
    summarise(tmp_path)
    assert "GLUE score on dev data: 40.0; the paper's GLUE score on test data: 80.6 (base)" in capsys.readouterr().out


def test_a_summary_names_what_it_cannot_read_or_write(tmp_path):
    output_of(tmp_path / "a", "cola", {"dev": {"matthews": 0.4}})
    (tmp_path / "glue_submission.zip").mkdir()
    with pytest.raises(InputError, match="glue_submission.zip: cannot be written"):
        summarise(tmp_path)
    (tmp_path / "a" / "result.json").write_text("{")
    with pytest.raises(InputError, match="a/result.json: cannot be read"):
        summarise(tmp_path)


def test_summary_of_nothing(tmp_path):
    with pytest.raises(InputError, match="no finished fine-tuning run"):
        summarise(tmp_path)
