"""Fine-tuning from files to predictions, for every task, with a model of a few thousand parameters."""
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ernie.cli import main
from ernie.finetuning.recipe import load, names
from tests.ernie.finetuning.tiny import QUICK, TINY, finetune, make_data, result, table


@pytest.mark.parametrize("task", [name for name in names() if name != "ax"])
def test_every_task_from_files_to_predictions(task, tmp_path, model_files, capsys):
    if task == "drcd":
        pytest.importorskip("opencc")
    data, output = make_data(task, tmp_path / "data"), tmp_path / "out"
    assert finetune(task, data, output, model_files) == 0
    printed = capsys.readouterr().out
    assert "no --init: trains from random weights" in printed
    assert "[dev evaluation] ave loss: " in printed
    figures = result(output)["figures"]["dev"]
    assert set(load(task).metrics) <= set(figures)
    answers = (output / "seed-1" / "test.tsv").read_text("utf-8").splitlines()
    assert len(answers) == 9
    model = tmp_path / "moved"  # the model works from its own directory alone
    (output / "seed-1" / "best").rename(model)
    file = next(data.glob("test*"))
    assert main(["predict", "--model", str(model), "--input", str(file), "--output", str(tmp_path / "p.tsv")]) == 0
    assert (tmp_path / "p.tsv").read_text("utf-8").splitlines() == answers


def test_ax_is_answered_by_the_mnli_model_and_packed_for_the_server(tmp_path, model_files, capsys):
    assert finetune("mnli", make_data("mnli", tmp_path / "mnli"), tmp_path / "out" / "mnli", model_files) == 0
    data = tmp_path / "ax"
    data.mkdir()
    table(data / "ax.tsv", ["index", "sentence1", "sentence2"], [[0, "a " * 99, "b"], [1, "c", "d"]])
    command = ["finetune", "--task", "ax", "--data", str(data), "--output", str(tmp_path / "out" / "ax")]
    assert main(command) == 2
    assert "ax has no training data: give --init the output of a mnli run" in capsys.readouterr().err
    assert main([*command, "--init", str(tmp_path / "out" / "mnli")]) == 0
    assert "max_length 128 is more than the model's 64 positions: rows are cut to these" in capsys.readouterr().out
    assert len((tmp_path / "out" / "ax" / "seed-0" / "submission" / "AX.tsv").read_text().splitlines()) == 3
    capsys.readouterr()
    assert main(["finetune", "--summary", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "mean of 1 of the 9 GLUE tasks on dev data: " in printed
    assert "which lacks CoLA, SST-2" in printed
    with zipfile.ZipFile(tmp_path / "out" / "glue_submission.zip") as archive:
        assert sorted(archive.namelist()) == ["AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"]


def test_seeds_differ_and_are_summed_up_beside_the_paper(tmp_path, model_files):
    data = make_data("sst-2", tmp_path / "data")
    assert finetune("sst-2", data, tmp_path / "out", model_files, extra=["--runs", "3"]) == 0
    found = result(tmp_path / "out")
    assert len(found["figures"]["dev"]["accuracy"]["values"]) == 3
    assert found["figures"]["dev"]["accuracy"]["value"] == np.median(found["figures"]["dev"]["accuracy"]["values"])
    assert "(median of 3)" in found["text"]
    weights = [(tmp_path / "out" / f"seed-{n}" / "best" / "model.safetensors").read_bytes() for n in (1, 2, 3)]
    assert len(set(weights)) == 3


def test_learns_what_can_be_learnt(tmp_path, model_files):
    data = make_data("sst-2", tmp_path / "data")
    assert finetune("sst-2", data, tmp_path / "out", model_files, "epochs=60", "learning_rate=0.01", "batch_size=8",
                    "log_every=100") == 0
    assert result(tmp_path / "out")["figures"]["dev"]["accuracy"]["value"] == 1.0


def test_resume_computes_what_the_whole_run_computes(tmp_path, model_files):
    data = make_data("rte", tmp_path / "data")
    settings = ["epochs=6", "batch_size=4", "checkpoint_every=5"]
    assert finetune("rte", data, tmp_path / "whole", model_files, *settings) == 0
    # killed between two checkpoints: what is left is the checkpoint of step 5 and what came before it
    code = ("import sys, os; from ernie.training.callbacks import Checkpoints; after = Checkpoints.after_step\n"
            "def kill(self, trainer, result):\n"
            "    after(self, trainer, result)\n"
            "    if result.step == 7: self.writer.wait(); os.kill(os.getpid(), 9)\n"
            "Checkpoints.after_step = kill\n"
            "from ernie.cli import main; main(sys.argv[1:])")
    command = ["finetune", "--task", "rte", "--data", str(data), "--output", str(tmp_path / "killed"),
               "--model", str(model_files[0]), "--vocab", str(model_files[1])]
    for setting in [*QUICK, *settings]:
        command += ["--set", setting]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, env=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name for path in (tmp_path / "killed" / "seed-1").glob("step-*")] == ["step-00000005"]
    assert main(command) == 0
    best = "seed-1/best/model.safetensors"
    assert (tmp_path / "whole" / best).read_bytes() == (tmp_path / "killed" / best).read_bytes()


def test_a_resume_with_another_recipe_is_refused(tmp_path, model_files, capsys):
    data = make_data("rte", tmp_path / "data")
    assert finetune("rte", data, tmp_path / "out", model_files) == 0
    capsys.readouterr()
    assert finetune("rte", data, tmp_path / "out", model_files, "learning_rate=1e-3") == 2
    assert "learning_rate: was 2e-05, is now 0.001" in capsys.readouterr().err
    dev = next(data.glob("dev*"))
    dev.write_text("\n".join(dev.read_text().splitlines()[:-1]) + "\n")  # figures over seeds would mix two files
    assert finetune("rte", data, tmp_path / "out", model_files, extra=["--runs", "2"]) == 2
    assert "dev data.dev: was " in capsys.readouterr().err
    (tmp_path / "out" / "finetune.json").write_text("{")
    assert finetune("rte", data, tmp_path / "out", model_files) == 2
    assert "finetune.json: is not readable" in capsys.readouterr().err


def test_a_vocabulary_that_a_failed_start_left_is_learnt_anew(tmp_path, model_files, capsys):
    command = ["finetune", "--task", "sst-2", "--model", str(model_files[0]), "--output", str(tmp_path / "out"),
               *(part for setting in QUICK for part in ("--set", setting))]
    data = tmp_path / "data"
    data.mkdir()
    table(data / "train.tsv", ["sentence", "label"], [["a b", 1], ["c d", 0]])
    table(data / "dev.tsv", ["sentence", "label"], [["a b", "good"]])
    assert main([*command, "--data", str(data)]) == 2
    table(data / "train.tsv", ["sentence", "label"], [["x y", 1], ["z z", 0]])
    table(data / "dev.tsv", ["sentence", "label"], [["x y", 1]])
    assert main([*command, "--data", str(data)]) == 0
    assert {"x", "y", "z"} < set((tmp_path / "out" / "vocab.txt").read_text().split())
    assert main([*command, "--data", str(data), "--runs", "2"]) == 0  # and kept from then on
    assert capsys.readouterr().out.count("no --vocab: learnt one") == 2


@pytest.mark.parametrize("joint", [False, True], ids=["one task", "together"])
def test_another_seed_from_weights_that_have_changed_is_refused(tmp_path, model_files, capsys, joint):
    data, other = make_data("rte", tmp_path / "data"), make_data("mrpc", tmp_path / "other")
    init, output = tmp_path / "init", tmp_path / "out"
    assert finetune("rte", data, tmp_path / "first", model_files) == 0
    shutil.copytree(tmp_path / "first" / "seed-1" / "best", init)
    command = ["finetune", "--output", str(output), "--init", str(init),
               *(["--together", f"rte={data},mrpc={other}"] if joint else ["--task", "rte", "--data", str(data)]),
               *(part for setting in QUICK for part in ("--set", setting))]
    assert main(command) == 0
    record = output / ("together.json" if joint else "finetune.json")
    older = {key: value for key, value in json.loads(record.read_text()).items() if key != "weights"}
    record.write_text(json.dumps(older))  # of a version that wrote no fingerprint: taken
    assert main([*command, "--runs", "2"]) == 0
    weights = load_file(init / "model.safetensors")
    name = next(name for name in weights if name.startswith("ernie.encoder"))
    weights[name] = weights[name] + 1e-3
    save_file(weights, init / "model.safetensors")
    capsys.readouterr()
    assert main([*command, "--runs", "3"]) == 2  # figures over seeds would mix two encoders
    assert "  weights: was '" in capsys.readouterr().err


@pytest.mark.parametrize(("settings", "message"), [
    (["max_length=100"], "max_length 100 is more than the model's 64 positions"),
    (["task_id=99"], "task_id 99 is not below the model's 16 task embeddings"),
    (["batch_unit=words"], "batch_unit: 'words' is not one of examples, tokens"),
    (["reader.classes=[good, bad]"], "label 'entailment' is not one of good, bad"),
    (["reader.classes=[yes, no]"], "reader.classes: True is not text: put it in quotes"),
    (["options.stride=3"], "options: got an unexpected keyword argument 'stride'"),
    (["seed=-3"], "seed: -3 must be at least 0"),
    (["max_steps=-3"], "max_steps: -3 must be at least 0"),
    (["train_rows=-5"], "train_rows: -5 must be at least 0"),
    (["learning_rate=-1"], "learning_rate: -1.0 must be above 0"),
    (["warmup_proportion=7"], "warmup_proportion: 7.0 must be at least 0 and at most 1"),
    (["schedule=cosine"], "schedule: 'cosine' is not one of noam, linear, constant"),
    (["metrics=[em]"], "metrics: 'em' is not one of accuracy, f1, matthews, which classification has"),
    (["metrics=[]"], "metrics: 'none' is not one of"),
])
def test_bad_settings_are_one_line(tmp_path, model_files, capsys, settings, message):
    data = make_data("rte", tmp_path / "data")
    assert finetune("rte", data, tmp_path / "out", model_files, *settings) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_an_output_that_cannot_be_made_is_one_line(tmp_path, model_files, capsys):
    (tmp_path / "file").write_text("")
    assert finetune("rte", make_data("rte", tmp_path / "data"), tmp_path / "file" / "out", model_files) == 2
    assert "out: cannot be written: " in capsys.readouterr().err


def test_dev_data_is_measured_at_the_end_of_epochs_and_in_between(tmp_path, model_files):
    data = make_data("rte", tmp_path / "data")  # 8 rows: 4 steps an epoch
    assert finetune("rte", data, tmp_path / "out", model_files, "batch_size=2", "epochs=2", "evaluate_every=3") == 0
    found = json.loads((tmp_path / "out" / "seed-1" / "result.json").read_text())
    assert [point["step"] for point in found["dev_points"]] == [3, 4, 6, 8]


def test_answers_about_other_rows_are_not_averaged(tmp_path, model_files, capsys):
    data, output = make_data("sst-2", tmp_path / "data"), tmp_path / "out"
    assert finetune("sst-2", data, output, model_files) == 0
    assert "test" in result(output)["figures"]
    rows = (data / "test.tsv").read_text().splitlines()
    (data / "test.tsv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")  # as many as before
    capsys.readouterr()
    assert finetune("sst-2", data, output, model_files, extra=["--runs", "2"]) == 0
    assert f"test: seed-1 did not answer {data / 'test.tsv'} as it is now" in capsys.readouterr().out
    assert list(result(output)["figures"]) == list(result(output)["averaged"]) == ["dev"]
    assert not (output / "average" / "test.tsv").exists()
    (data / "test.tsv").write_text("\n".join(rows) + "\n")
    assert finetune("sst-2", data, output, model_files, extra=["--runs", "2"]) == 0
    assert "test: seed-2 did not answer" in capsys.readouterr().out
    for seed, kept in ("seed-1", rows), ("seed-2", rows[:5]):  # records of an earlier version, by their length
        file = output / seed / "result.json"
        file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items()
                                    if key != "answered"}))
        (data / "test.tsv").write_text("\n".join(kept) + "\n")
        assert finetune("sst-2", data, output, model_files, extra=["--runs", "2"]) == 0
        assert "did not answer" in capsys.readouterr().out


def test_a_model_of_a_run_that_goes_on_is_named(tmp_path, model_files, capsys):
    data, output = make_data("rte", tmp_path / "data"), tmp_path / "out"
    assert finetune("rte", data, output, model_files) == 0
    (output / "result.json").unlink()
    command = ["predict", "--input", str(data / "dev.tsv"), "--output", str(tmp_path / "p.tsv"), "--model"]
    assert main([*command, str(output)]) == 2
    best = output / "seed-1" / "best"
    assert f"has not finished here (no result.json); the best weights of a training so far are {best}" \
        in capsys.readouterr().err
    assert main([*command, str(best)]) == 0


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path, model_files):
    """Dev labels say the opposite of the training labels: the more is learnt, the worse it gets."""
    data = make_data("sst-2", tmp_path / "data")
    file = data / "dev.tsv"
    header, *rows = file.read_text("utf-8").splitlines()
    flipped = [f"{text}\t{1 - int(label)}" for text, label in (row.split("\t") for row in rows)]
    file.write_text("\n".join([header, *flipped]) + "\n", "utf-8")
    assert finetune("sst-2", data, tmp_path / "out", model_files, "epochs=40", "learning_rate=0.01", "batch_size=8",
                    "log_every=100") == 0
    found = json.loads((tmp_path / "out" / "seed-1" / "result.json").read_text())
    values = [entry["accuracy"] for entry in found["dev_points"]]
    assert max(values) > values[-1]
    best = found["dev_points"][int(np.argmax(values))]
    assert found["best_step"] == best["step"] and found["dev"]["accuracy"] == best["accuracy"]


def test_a_model_answers_only_what_it_was_trained_for(tmp_path, model_files, capsys):
    assert finetune("rte", make_data("rte", tmp_path / "rte"), tmp_path / "out", model_files) == 0
    table(tmp_path / "ax.tsv", ["index", "sentence1", "sentence2"], [[0, "a", "b"]])
    command = ["finetune", "--task", "ax", "--data", str(tmp_path), "--output", str(tmp_path / "ax"), "--init"]
    assert main([*command, str(tmp_path / "out")]) == 2
    assert "this model does classification into not_entailment, entailment, ax is classification into " \
        "contradiction, neutral, entailment: give one that was fine-tuned on mnli" in capsys.readouterr().err


def test_predict_leaves_out_bad_rows_when_asked_to(tmp_path, model_files, capsys):
    output = tmp_path / "out"
    assert finetune("rte", make_data("rte", tmp_path / "data"), output, model_files) == 0
    table(tmp_path / "in.tsv", ["text_a", "text_b"], [["a", "b"], ["only one"], ["c", "d"]])
    command = ["predict", "--model", str(output), "--input", str(tmp_path / "in.tsv"),
               "--output", str(tmp_path / "p.tsv")]
    assert main(command) == 2
    assert "in.tsv line 3: 1 columns where 2 are expected" in capsys.readouterr().err
    assert not (tmp_path / "p.tsv").exists()
    assert main([*command, "--bad-rows", "skip"]) == 0
    lines = (tmp_path / "p.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["line", "2", "4"]
    assert "1 left out: too few columns (first at line 3)" in capsys.readouterr().out
    assert main(["predict", "--model", str(tmp_path), "--input", str(tmp_path / "in.tsv"), "--output", "x"]) == 2
    assert "no fine-tuned model here" in capsys.readouterr().err


def test_more_runs_are_kept_when_fewer_are_asked_for(tmp_path, model_files, capsys):
    data = make_data("rte", tmp_path / "data")
    assert finetune("rte", data, tmp_path / "out", model_files, extra=["--runs", "3"]) == 0
    capsys.readouterr()
    assert finetune("rte", data, tmp_path / "out", model_files, extra=["--runs", "1"]) == 0
    assert len(result(tmp_path / "out")["figures"]["dev"]["accuracy"]["values"]) == 3
    assert "figures over all 3 seeds of this output: 1, 2, 3" in capsys.readouterr().out


def test_sampled_rows_are_drawn_from_the_whole_file(tmp_path, model_files, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for split, count in ("train", 1000), ("dev", 8):
        table(data / f"{split}.tsv", ["sentence", "label"], [["a" * (1 + n // 100), n % 2] for n in range(count)])
    from ernie.finetuning.data import FinetuningData
    from reader.text.tokenizer import Tokenizer
    recipe = load("sst-2", assignments=["train_rows=100", "max_length=16"])
    tokenizer, said = Tokenizer.load(model_files[1]), []
    split = FinetuningData(recipe, data, said.append).split("train", tokenizer)
    places = [len(row.texts[0]) for row in split.rows]
    assert (split.count, places) == (100, sorted(places))
    assert set(places) == set(range(1, 11))  # some from every tenth of the file
    assert "1,000 rows, 67,349 published; 100 of them drawn" in said[0]
    again = FinetuningData(recipe, data, said.append).split("train", tokenizer)
    assert again.rows == split.rows


def test_a_vocabulary_of_another_model_is_refused_before_training(tmp_path, model_files, capsys):
    from ernie.finetuning.data import check_vocabulary
    from reader.utils.errors import InputError
    (tmp_path / "own.txt").write_text("a\nb\nc\n")
    for tokens, own, message in ((["a"] * 11, None, "11 tokens, but the word embedding of M has 10 rows"),
                                 (["a"] * 8, None, "8 tokens, but the word embedding of M has 10 rows"),
                                 (["a", "x", "c"], tmp_path / "own.txt", "line 2: token 1 is 'x', in .* it is 'b'")):
        with pytest.raises(InputError, match=message):
            check_vocabulary(tokens, tmp_path / "vocab.txt", 10, own, "M")
    check_vocabulary(["a"] * 10, tmp_path / "vocab.txt", 10, None, "M")
    check_vocabulary(["a", "b", "c", "d"], tmp_path / "vocab.txt", 10, tmp_path / "own.txt", "M")
    data = make_data("rte", tmp_path / "data")
    assert finetune("rte", data, tmp_path / "first", model_files) == 0
    model = tmp_path / "first" / "seed-1" / "best"
    (tmp_path / "long.txt").write_text(model_files[1].read_text("utf-8") + "x\n" * 99, "utf-8")
    capsys.readouterr()
    assert main(["finetune", "--task", "rte", "--data", str(data), "--init", str(model), "--output", str(tmp_path),
                 "--vocab", str(tmp_path / "long.txt"), "--set", "max_length=32"]) == 2
    assert "this is the vocabulary of another model" in capsys.readouterr().err


OWN = {
    "multi_label": ("classification of several",
                    {"reader": {"columns": [{"text": "text", "label": "tags"}], "label_separator": "|",
                                "classes": ["x", "y"]}, "metrics": ["micro_f1"]},
                    [{"text": "a b", "tags": ["x", "y"]}, {"text": "c", "tags": []}] * 4),
    "multiple_choice": ("choices", {"reader": {"columns": [{"text": ["text", "ask"], "choices": "options",
                                                            "label": "answer"}], "classes": ["A", "B", "C"]},
                                    "metrics": ["accuracy"]},
                        [{"text": "a b", "ask": "c", "options": ["d", "e", "f"], "answer": "B"},
                         {"text": "a", "ask": "b", "options": ["g", "h"], "answer": "A"}] * 4),
    "regression": ("scores", {"reader": {"columns": [{"text": "text", "label": "score"}]}, "metrics": ["pearson"]},
                   [{"text": "a b", "score": -100}, {"text": "c", "score": 2.5}] * 4),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_users_own_jsonl_of_every_kind(tmp_path, model_files, capsys, kind):
    _, recipe, rows = OWN[kind]
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"suite": "glue", "kind": kind, **recipe}))
    (tmp_path / "data").mkdir()
    for split in "train", "dev", "test":
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert finetune(str(file), tmp_path / "data", tmp_path / "out", model_files, "batch_size=3", "epochs=2") == 0
    assert set(result(tmp_path / "out")["figures"]["dev"]) >= set(recipe["metrics"])
    assert len((tmp_path / "out" / "seed-1" / "test.tsv").read_text().splitlines()) == 9
    capsys.readouterr()


def test_questions_without_an_answer(tmp_path, model_files):
    file = tmp_path / "squad2.yaml"
    file.write_text(json.dumps({"suite": "glue", "kind": "reading_comprehension", "options": {"no_answer": True},
                                "reader": {"layout": "questions", "no_answer": True},
                                "metrics": ["squad_em", "squad_f1"]}))
    (tmp_path / "data").mkdir()
    content = {"data": [{"paragraphs": [{"context": "a b c", "qas": [
        {"id": "1", "question": "d", "answers": [{"text": "b", "answer_start": 2}]},
        {"id": "2", "question": "e", "answers": [], "is_impossible": True}]}]}]}
    for split in "train", "dev":
        (tmp_path / "data" / f"{split}.json").write_text(json.dumps(content))
    exact = tmp_path / "model.json"  # a row of the word embedding for each token; from other weights it learns less
    exact.write_text(json.dumps({**TINY, "vocab_size": None}))
    assert finetune(str(file), tmp_path / "data", tmp_path / "out", (exact, model_files[1]), "epochs=60",
                    "learning_rate=0.01", "log_every=100", "options.max_query_length=4") == 0
    assert result(tmp_path / "out")["figures"]["dev"]["squad_em"]["value"] == 1.0


def test_a_regression_shows_no_percent_while_it_trains(tmp_path, model_files, capsys):
    for task, percent in ("sts-b", False), ("rte", True):
        assert finetune(task, make_data(task, tmp_path / task / "data"), tmp_path / task / "out", model_files) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("seed 1  step 1/1"))
        assert ("%)  lr " in line) == percent, line
