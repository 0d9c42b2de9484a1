"""Fine-tuning from files to predictions, for every task, with a model of a few thousand parameters."""
import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from ernie.cli import main
from ernie.finetuning.recipe import GLUE_SCORE, load, names
from ernie.finetuning.summary import summarise
from reader.text.tokenizer import SPECIAL_TOKENS
from tasks.finetune.submission import FILES

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99,
        "max_position_embeddings": 64, "use_task_id": True, "task_type_vocab_size": 16,
        "hidden_dropout_prob": 0.1}
QUICK = ["max_length=32", "epochs=1", "batch_size=32", "log_every=1"]


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """(configuration, vocabulary) of a tiny model."""
    directory = tmp_path_factory.mktemp("tiny")
    (directory / "model.json").write_text(json.dumps(TINY))
    (directory / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *"abcdefgh", *"天地人光荣公司"]) + "\n", "utf-8")
    return directory / "model.json", directory / "vocab.txt"


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
    from reader.utils.errors import InputError
    output_of(tmp_path / "a", "cola", {"dev": {"matthews": 0.4}})
    (tmp_path / "glue_submission.zip").mkdir()
    with pytest.raises(InputError, match="glue_submission.zip: cannot be written"):
        summarise(tmp_path)
    (tmp_path / "a" / "result.json").write_text("{")
    with pytest.raises(InputError, match="a/result.json: cannot be read"):
        summarise(tmp_path)


def test_summary_of_nothing(tmp_path):
    from reader.utils.errors import InputError
    with pytest.raises(InputError, match="no finished fine-tuning run"):
        summarise(tmp_path)


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
