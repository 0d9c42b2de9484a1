"""Error analysis by hand, the tests between two models beside their definitions, and the commands on real runs."""
import io
import json
import math
import sys

import numpy as np
import pytest

from ernie.cli import main
from ernie.finetuning import evaluation
from reader.finetune.labels import Classes, Score, tag_classes
from reader.finetune.rows import ChoiceRow, TagRow, TextRow
from tasks import finetune
from tasks.finetune.classification import Choice
from tasks.finetune.sequence_labelling import Tags
from tests.ernie.finetuning.tiny import finetune as train
from tests.ernie.finetuning.tiny import make_data, table

KIND = finetune.load("classification", Classes(["a", "b", "c"]))


def rows(labels):
    return [TextRow((f"text {n}",), label, str(n), "", n + 2) for n, label in enumerate(labels)]


def choices(*answers):
    """Predictions from (class, probability of it)."""
    found = []
    for label, chance in answers:
        chances = np.full(3, (1 - chance) / 2)
        chances[label] = chance
        found.append(Choice(label, chances))
    return found


def test_classes_by_hand(tmp_path):
    gold = rows([0, 0, 0, 1, 1, 2])
    answers = choices((0, 0.9), (1, 0.6), (0, 0.8), (1, 0.95), (2, 0.99), (2, 0.5))
    found = evaluation.evaluate(KIND, gold, answers)
    assert found.confusion == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found.metrics["accuracy"] == pytest.approx(4 / 6)
    assert found.majority == 0.5
    assert [(each.name, each.precision, each.recall, each.support) for each in found.classes] == [
        ("a", 1.0, pytest.approx(2 / 3), 3), ("b", 0.5, 0.5, 2), ("c", 0.5, 1.0, 1)]
    assert found.wrong == [4, 1]  # the more confident mistake first
    # bins of a tenth: 0.5, 0.6, 0.8, and 0.9 with 0.95 and 0.99
    assert [each.count for each in found.bins] == [1, 1, 1, 3]
    gaps = [abs(0.5 - 1), abs(0.6 - 0), abs(0.8 - 1), 3 * abs((0.9 + 0.95 + 0.99) / 3 - 2 / 3)]
    assert found.calibration_error == pytest.approx(sum(gaps) / 6)
    evaluation.write_wrong(tmp_path / "wrong.tsv", KIND, gold, answers, found)
    assert (tmp_path / "wrong.tsv").read_text().splitlines() == [
        "confidence\tlabel\tanswer\tid\ttext", "0.9900\tb\tc\t4\ttext 4", "0.6000\ta\tb\t1\ttext 1"]
    shown = evaluation.render(found, KIND)
    for line in "always the most frequent class: 50.0 %", "a  2  1  0", "calibration error":
        assert line in shown, shown


def test_entities_by_type():
    kind = finetune.load("sequence_labelling", tag_classes(["B-P", "I-P", "B-L", "O"]))
    gold = [TagRow(list("abcd"), [0, 1, 3, 2], 1), TagRow(list("ab"), [2, 3], 2)]
    answers = [Tags([0, 1, 3, 3], [0.9] * 4), Tags([2, 2], [0.5, 0.7])]
    found = evaluation.evaluate(kind, gold, answers)
    assert {each.name: (each.precision, each.recall, each.support) for each in found.classes} == {
        "P": (1.0, 1.0, 1), "L": (0.5, 0.5, 2)}
    assert found.wrong == [0, 1]
    measure = kind.resampled(gold, answers, "entity_f1")
    assert measure(np.array([0, 1])) == pytest.approx(found.metrics["entity_f1"])
    assert measure(np.array([0, 0])) == pytest.approx(kind.score([gold[0]] * 2, [answers[0]] * 2)["entity_f1"])


def test_scores_have_no_right_and_wrong_in_percent():
    kind = finetune.load("regression", Score())
    found = evaluation.evaluate(kind, rows([1.0, 2.0, 3.0]), [1.1, 2.2, 4.9])
    assert (found.bins, found.confusion, found.calibration_error) == ([], [], None)
    assert "%" not in evaluation.render(found, kind)
    assert found.wrong == [2]


def test_mcnemar_is_the_sign_test_of_the_rows_that_one_model_alone_gets_right():
    gold = rows([0] * 100)
    first = choices(*[(0, 0.9)] * 80, *[(1, 0.9)] * 20)
    second = choices(*[(1, 0.9)] * 3, *[(0, 0.9)] * 87, *[(1, 0.9)] * 10)
    found = evaluation.compare(KIND, gold, first, second, "accuracy")
    assert (found.only_first, found.only_second) == (3, 10)
    assert found.mcnemar == pytest.approx(2 * sum(math.comb(13, k) for k in range(4)) / 2**13)
    assert found.difference == pytest.approx(0.07)
    assert found.low < 0.07 < found.high
    # sign of a sum of 13 paired differences: standard error sqrt(13 - 49 / 100) / 100
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * math.sqrt(12.51) / 100, rel=0.15)
    same = evaluation.compare(KIND, gold, first, first, "accuracy")
    assert (same.difference, same.low, same.high, same.p, same.mcnemar) == (0, 0, 0, 1, 1)
    apart = evaluation.compare(KIND, gold, choices(*[(1, 0.9)] * 100), first, "accuracy")
    assert apart.p < 0.01


@pytest.mark.parametrize("metric", KIND.metrics)
def test_a_resampled_metric_is_that_of_the_rows_drawn(metric):
    gold, answers = rows([0, 1, 2, 1, 0, 2]), choices(*[(n, 0.8) for n in (0, 1, 1, 2, 0, 2)])
    measure = KIND.resampled(gold, answers, metric)
    for chosen in ([0, 1, 2, 3, 4, 5], [5, 5, 2, 3, 0, 1], [0, 0]):
        whole = KIND.score([gold[at] for at in chosen], [answers[at] for at in chosen])
        assert measure(np.array(chosen)) == whole[metric]


def test_every_cell_of_the_wrong_rows_has_a_column(tmp_path):
    pairs = [row._replace(texts=("one", "two"), id="a\tb") for row in rows([0, 1])]
    answers = choices((1, 0.9), (0, 0.8))
    evaluation.write_wrong(tmp_path / "wrong.tsv", KIND, pairs, answers, evaluation.evaluate(KIND, pairs, answers))
    header, *lines = [line.split("\t") for line in (tmp_path / "wrong.tsv").read_text().splitlines()]
    assert header == ["confidence", "label", "answer", "id", "text", "text_2"]
    assert lines == [["0.9000", "a", "b", "a b", "one", "two"], ["0.8000", "b", "a", "a b", "one", "two"]]
    kind = finetune.load("multiple_choice", Classes(["A", "B", "C"]))
    quiz = [ChoiceRow(("q",), ("x", "y", "z"), 0, "0", 1), ChoiceRow(("q",), ("x", "y"), 0, "1", 2)]
    answers = [Choice(1, np.array([0.1, 0.8, 0.1])), Choice(1, np.array([0.3, 0.7]))]
    evaluation.write_wrong(tmp_path / "wrong.tsv", kind, quiz, answers, evaluation.evaluate(kind, quiz, answers))
    lines = [line.split("\t") for line in (tmp_path / "wrong.tsv").read_text().splitlines()]
    assert [len(line) for line in lines] == [8, 8, 8]
    assert lines[2][4:] == ["q", "x", "y", ""]


def candidates(*groups):
    """Rows of a ranking task, and answers: from (label, probability of class 1) of the candidates of each question."""
    flat = [(str(at), label, chance) for at, group in enumerate(groups) for label, chance in group]
    answers = [Choice(int(chance >= 0.5), np.array([1 - chance, chance])) for _, _, chance in flat]
    return [TextRow(("q", "a"), label, "", group, 1) for group, label, _ in flat], answers


def test_questions_are_drawn_where_candidates_are_ranked():
    ranking = finetune.load("ranking", Classes(["0", "1"]))
    first_wins, second_wins = [(1, 0.6), (0, 0.55)], [(1, 0.55), (0, 0.6)]
    gold, worse = candidates(*[second_wins] * 200)
    better = candidates(*[first_wins] * 200)[1]
    found = evaluation.compare(ranking, gold, worse, better, "mrr")  # 1/2 to 1 in every question
    assert (found.first, found.second, found.difference, found.low, found.high) == (0.5, 1, 0.5, 0.5, 0.5)
    assert found.mcnemar is None  # it would count 400 candidates as independent; there are 200 questions
    mixed = candidates(*[first_wins] * 80, *[second_wins] * 120)[1]
    found = evaluation.compare(ranking, gold, worse, mixed, "mrr")
    assert found.difference == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.5 * math.sqrt(0.4 * 0.6 / 200), rel=0.15)
    ten = [(0, 0.9)] * 10  # all ten candidates of a question wrong, or right: as uncertain as one
    gold, worse = candidates(*[ten] * 200)
    mixed = candidates(*[[(0, 0.1)] * 10] * 80, *[ten] * 120)[1]
    found = evaluation.compare(ranking, gold, worse, mixed, "accuracy")
    assert found.difference == pytest.approx(0.4)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * math.sqrt(0.4 * 0.6 / 200), rel=0.15)


def test_every_metric_of_a_ranking_over_some_of_its_questions():
    ranking = finetune.load("ranking", Classes(["0", "1"]))
    gold, answers = candidates([(1, 0.6), (0, 0.55)], [(0, 0.6), (0, 0.2), (1, 0.4)], [(1, 0.9)])
    mixed = [3, 0, 5, 1, 4, 2]  # the candidates of a question need not stand together
    drawn = [at for group in "112" for at in mixed if gold[at].group == group]
    for metric in ranking.metrics:
        measure = ranking.resampled([gold[at] for at in mixed], [answers[at] for at in mixed], metric)
        assert measure(np.arange(3)) == pytest.approx(ranking.score(gold, answers)[metric])
        if metric != "mrr":  # in which a question drawn twice counts as two
            assert measure(np.array([1, 1, 2])) == pytest.approx(ranking.score(
                [gold[at] for at in drawn], [answers[at] for at in drawn])[metric])
    ranks = ranking.resampled(gold, answers, "mrr")
    assert ranks(np.array([1, 1, 2])) == pytest.approx((0.5 + 0.5 + 1) / 3)


@pytest.mark.parametrize(("name", "metric"), [("ranking", "mrr"), ("classification", "accuracy")])
def test_one_question_or_row_has_no_interval(name, metric):
    kind = finetune.load(name, Classes(["0", "1"]))
    gold, answers = candidates([(1, 0.6), (0, 0.4)][:2 if name == "ranking" else 1])
    found = evaluation.compare(kind, gold, answers, candidates([(1, 0.3), (0, 0.4)])[1][:len(gold)], metric)
    assert found.difference < 0
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "(one " + ("question" if name == "ranking" else "row") in evaluation.render_comparison(found)


def test_the_command(tmp_path, model_files, capsys):
    data = make_data("sst-2", tmp_path / "data")
    for name, rate in ("good", "0.01"), ("bad", "1e-9"):
        assert train("sst-2", data, tmp_path / name, model_files, "epochs=60", f"learning_rate={rate}", "batch_size=8",
                     "log_every=100") == 0
    capsys.readouterr()
    command = ["evaluate", "--model", str(tmp_path / "bad"), "--input", str(data / "dev.tsv")]
    assert main([*command, "--against", str(tmp_path / "good"), "--output", str(tmp_path / "analysis")]) == 0
    printed = capsys.readouterr().out
    for text in "confusion", "calibration error", "McNemar's exact test", "always the most frequent class: 50.0 %":
        assert text in printed
    report = json.loads((tmp_path / "analysis" / "evaluation.json").read_text())
    assert report["against"]["second"] == 1.0
    wrong = (tmp_path / "analysis" / "wrong.tsv").read_text().splitlines()[1:]
    assert len(wrong) == report["wrong"] == round(8 * (1 - report["metrics"]["accuracy"]))
    chances = [float(line.split("\t")[0]) for line in wrong]
    assert chances == sorted(chances, reverse=True)
    assert main(command) == 0  # without --output: beside the model
    assert (tmp_path / "bad" / "seed-1" / "best" / "evaluation" / "dev" / "wrong.tsv").is_file()
    table(tmp_path / "bare.tsv", ["sentence"], [["a"]])
    capsys.readouterr()
    assert main(["evaluate", "--model", str(tmp_path / "bad"), "--input", str(tmp_path / "bare.tsv")]) == 2
    assert "bare.tsv: no row has a label: nothing can be measured" in capsys.readouterr().err
    assert train("rte", make_data("rte", tmp_path / "rte"), tmp_path / "other", model_files) == 0
    assert main([*command, "--against", str(tmp_path / "other")]) == 2
    assert "does classification into not_entailment, entailment, " in capsys.readouterr().err


@pytest.mark.parametrize("task", ["msra-ner", "cmrc2018", "sts-b", "nlpcc-dbqa"])
def test_the_command_on_other_kinds(task, tmp_path, model_files, capsys):
    data = make_data(task, tmp_path / "data")
    assert train(task, data, tmp_path / "out", model_files) == 0
    file = next(data.glob("dev*"))
    assert main(["evaluate", "--model", str(tmp_path / "out"), "--input", str(file), "--against",
                 str(tmp_path / "out")]) == 0
    assert "difference +0.0000" in capsys.readouterr().out


def test_predict_keeps_ids_reads_standard_input_and_measures(tmp_path, model_files, capsys, monkeypatch):
    data = make_data("sst-2", tmp_path / "data")
    assert train("sst-2", data, tmp_path / "out", model_files, "epochs=60", "learning_rate=0.01", "batch_size=8",
                 "log_every=100") == 0
    table(tmp_path / "in.tsv", ["id", "sentence", "label"], [["x7", "a b", 1], ["x9", "c d", 0], ["x3", "f g", -1]])
    capsys.readouterr()
    command = ["predict", "--model", str(tmp_path / "out"), "--output"]
    assert main([*command, str(tmp_path / "p.tsv"), "--input", str(tmp_path / "in.tsv")]) == 0
    lines = [line.split("\t") for line in (tmp_path / "p.tsv").read_text().splitlines()]
    assert [line[:2] for line in lines] == [["id", "label"], ["x7", "1"], ["x9", "0"], ["x3", "0"]]
    assert "metrics of the 2 rows with a label: accuracy 1.0000" in capsys.readouterr().out
    lines = '{"sentence": "a b"}\n{"sentence": "c d"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main([*command, "-", "--input", "-", "--format", "jsonl"]) == 0
    captured = capsys.readouterr()
    assert [line.split("\t")[0] for line in captured.out.splitlines()] == ["label", "1", "0"]
    assert "\nstandard input: 2 rows" in captured.err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"sentence": "a b"}\n{"sentence": 5\n')))
    assert main([*command, "-", "--input", "-", "--format", "jsonl"]) == 2
    assert "ernie: standard input line 2: " in capsys.readouterr().err


def test_check_says_what_is_in_the_files(tmp_path, model_files, capsys):
    data = tmp_path / "data"
    data.mkdir()
    table(data / "train.tsv", ["sentence", "label"], [["a b c d e f g h", 1], ["a b", 0], ["a", 0], ["c", 0]])
    table(data / "dev.tsv", ["sentence", "label"], [["a b", 0], ["h", 0]])
    before = sorted(path for path in tmp_path.rglob("*"))
    command = ["finetune", "--task", "sst-2", "--data", str(data), "--vocab", str(model_files[1]), "--check", "--set",
               "max_length=8"]
    assert main(command) == 0
    assert sorted(path for path in tmp_path.rglob("*")) == before
    printed = capsys.readouterr().out
    for line in ("train.tsv: 4 rows", "  labels: 0 3 (75.0 %), 1 1 (25.0 %)", "  tokens: 50 % 3, 90 % 10, 95 % 10, ",
                 "  1 (25.0 %) are longer than max_length 8 and will be truncated", "  no row has 1",
                 "  example, line 2: [CLS] a b c d e f [SEP]  label: 1", "test: no file",
                 "  1 of its 2 texts are in the training file as well", "  1 step of 256 rows an epoch, 4 epochs"):
        assert line in printed, line + "\n" + printed
    assert main([*command, "--set", "batch_size=1", "--set", "train_rows=3"]) == 0
    assert "  3 steps of 1 row an epoch" in capsys.readouterr().out
    (data / "dev.tsv").write_text("sentence\tlabel\na\t7\n")
    assert main(command) == 2
    assert "dev.tsv line 2: label '7' is not one of 0, 1" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["msra-ner", "cmrc2018", "sts-b", "nlpcc-dbqa", "mnli"])
def test_check_of_every_kind(task, tmp_path, capsys):
    data = make_data(task, tmp_path / "data")
    assert main(["finetune", "--task", task, "--data", str(data), "--check"]) == 0  # a vocabulary is learnt
    assert capsys.readouterr().out.count("  example, ") >= 4


def test_a_run_keeps_what_a_page_about_it_needs(tmp_path, model_files):
    assert train("sst-2", make_data("sst-2", tmp_path / "data"), tmp_path / "out", model_files, "epochs=3",
                 "batch_size=4") == 0
    found = json.loads((tmp_path / "out" / "seed-1" / "result.json").read_text())
    assert [(point["step"], point["epoch"]) for point in found["dev_points"]] == [(2, 1), (4, 2), (6, 3)]
    assert all({"loss", "accuracy"} <= point.keys() for point in found["dev_points"])
    confusion = found["evaluation"]["dev"]["confusion"]
    assert sum(map(sum, confusion)) == 8
    assert (confusion[0][0] + confusion[1][1]) / 8 == found["dev"]["accuracy"]
    assert found["best_step"] in (2, 4, 6)
