"""Texts that a program holds become the rows that a file with them gives."""
import json

import pytest

from ernie.finetuning.recipe import load
from reader.finetune.inputs import row_of
from reader.finetune.splits import INPUT, SplitReader

QUIZ = {"text": ["passage", "question"], "choices": "options", "label": "answer"}
TABLES = [
    ({"columns": [{"text": "review", "label": "opinion"}], "classes": ["bad", "good"]}, {"review": "a b"}, "a b"),
    ({"columns": [{"text": "review"}], "classes": ["bad", "good"], "remove_spaces": True}, {"review": "a b"}, ["a b"]),
    ({"columns": [{"text": ["a", "b"]}], "classes": ["x", "y"]}, {"a": "one", "b": ""}, ("one", "")),
    ({"columns": [{"text": ["a", "b"]}, {"text": "c"}], "classes": ["x", "y"]}, {"c": "one"}, "one"),
    ({"columns": [{"text": "t", "label": "l"}], "classes": ["x", "y"], "label_separator": "|"}, {"t": "ab"}, "ab"),
    ({"columns": [{"text": "t", "label": "l"}]}, {"t": "how much"}, ("how much",)),
    ({"columns": [QUIZ], "classes": ["A", "B", "C"], "remove_spaces": True},
     {"passage": "p 1", "question": "q 1", "options": ["c 1", "d", "e"]}, ("p 1", "q 1", ["c 1", "d", "e"])),
    ({"columns": [{"text": "q", "choices": ["A", "B"], "label": "answer"}], "classes": ["A", "B"]},
     {"q": "who", "A": "cat", "B": "dog"}, ["who", ("cat", "dog")]),
    ({"columns": [{"text": "q", "choices": ["A", "B", "C"], "label": "answer"}], "classes": ["A", "B", "C"]},
     {"q": "who", "A": "cat", "B": "dog", "C": None}, ["who", ("cat", "dog", "")])]


@pytest.mark.parametrize(("section", "record", "item"), TABLES)
def test_rows_of_tables(tmp_path, section, record, item):
    reader = SplitReader(**section)
    (tmp_path / "in.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    (row,) = reader.open(tmp_path / "in.jsonl", INPUT, reader.labels())
    assert row_of(reader, item, 0) == row._replace(line=0)


@pytest.mark.parametrize("task", ["cmrc2018", "drcd"])
def test_questions_are_converted_where_the_recipe_says_so(tmp_path, task):
    question, passage = "圖書館在哪裡", "國家圖書館在臺灣\ud800"
    content = {"data": [{"paragraphs": [{"context": passage, "qas": [{"id": "0", "question": question}]}]}]}
    (tmp_path / "in.json").write_text(json.dumps(content), "utf-8")
    reader = load(task).reader
    (row,) = reader.open(tmp_path / "in.json", INPUT, reader.labels())
    assert row_of(reader, (question, passage), 0) == row
    assert ("图书馆" in row.context) == (task == "drcd")


def test_a_sentence_that_nobody_has_cut(tmp_path):
    (tmp_path / "in.tsv").write_text("text_a\n天地人\n", "utf-8")
    reader = SplitReader(layout="tagged", classes=["B-P", "I-P", "O"])
    (row,) = reader.open(tmp_path / "in.tsv", INPUT, reader.labels())
    assert row_of(reader, "天地人", 2) == row_of(reader, ["天", "地", "人"], 2) == row


@pytest.mark.parametrize(("section", "item", "words"), [
    (0, ("a", "b"), "has 2 texts, expected 1"), (2, "a", "has 1 text, expected 2"),
    (3, ["a", "b", "c"], "has 3 texts, expected 1 or 2"), (0, 5, "is 5, expected text"), (0, [], "has 0 texts"),
    (0, {"review": "a"}, "is {'review': 'a'}, expected text"), (0, ("a", None), r"is \('a', None\), expected text"),
    (6, ("p", "q"), "expected a text and the list of its choices"), (6, ("p", "q", ["one"]), "the list of its choices"),
    (6, ("p", "q", ["one", 2]), "expected text"), (6, ("p", ["one", "two"]), "has 1 text, expected 2"),
    (6, [], "choices"), (6, ("p", "q", ["one", " ", "two"]), "choice 2 of 3 is empty, and one behind it is not"),
    (6, ("p", "q", ["one", "", ""]), "the list of its choices")])
def test_other_forms_are_named(section, item, words):
    with pytest.raises(ValueError, match=words):
        row_of(SplitReader(**TABLES[section][0]), item, 0)


def test_a_question_without_its_passage():
    with pytest.raises(ValueError, match=r"is 'who', expected \(question, passage\)"):
        row_of(load("cmrc2018").reader, "who", 0)
