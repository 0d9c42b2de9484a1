"""Tables in csv, json, jsonl and parquet; multi-label rows and multiple choice."""
import gzip
import json

import pytest

from ernie.finetuning.recipe import load
from reader.finetune.labels import Classes, ClassSets
from reader.finetune.splits import SplitReader
from reader.finetune.tables import Columns, Table
from reader.utils.errors import InputError

CLASSES = Classes(["neg", "pos"])
ONE = Columns("text")


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(path, columns=ONE, classes=CLASSES, **options):
    return [row[:2] for row in Table(path, [columns], classes, **options)]


EXPECTED = [(('a "quoted", b',), 1), (("line one\nline two",), 0)]


def test_every_format_gives_the_same_rows(tmp_path):
    records = [{"text": 'a "quoted", b', "label": "pos"}, {"text": "line one\nline two", "label": "neg"}]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    for name, text in (("a.csv", 'text,label\n"a ""quoted"", b",pos\n"line one\nline two",neg\n'),
                       ("a.jsonl", lines), ("lines.json", lines), ("a.json", json.dumps(records, indent=1)),
                       ("b.json", json.dumps({"version": 1, "data": records})),
                       ("a.jsonl.gz", gzip.compress(lines.encode()))):
        assert rows(write(tmp_path, name, text)) == EXPECTED, name
    assert rows(write(tmp_path, "a.txt", lines), file_format="jsonl") == EXPECTED


def test_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["x", "y"], "label": [1, 0], "tags": [["a"], ["a", "b"]]}),
                                tmp_path / "a.parquet")
    numbers = {"0": "neg", "1": "pos"}
    assert rows(tmp_path / "a.parquet", Columns("text", labels=numbers)) == [(("x",), 1), (("y",), 0)]
    assert rows(tmp_path / "a.parquet", Columns("text", label="tags"), ClassSets(["a", "b"])) == [
        (("x",), (0,)), (("y",), (0, 1))]
    with pytest.raises(InputError, match="not a readable parquet file"):
        rows(write(tmp_path, "bad.parquet", "text"))


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.jsonl", '{"text": "a", "label": "pos"}\n{"text": "b"\n', "a.jsonl line 2: not valid json"),
    ("a.jsonl", '{"text": "a", "label": "pos"}\n[1]\n', "a.jsonl line 2: expected an object with columns"),
    ("a.jsonl", '{"text": "a", "label": "pos"}\n{"txt": "b", "label": "pos"}\n',
     "a.jsonl line 2: no 'text': did you mean 'txt'"),
    ("a.jsonl", '{"text": "a", "label": "pos"}\n{"text": "b", "label": null}\n', "a.jsonl line 2: no 'label'"),
    ("a.jsonl", '{"text": "a", "label": ["pos"]}\n', "line 1: 1 labels where one is expected"),
    ("a.jsonl", '{"txt": "a", "label": "pos"}\n', r"columns found: txt, label; .*near: text ~ txt"),
    ("a.json", '[{"text": "a", "label": "pos"}, {"text": "b", "label": "bad"}]', "a.json: row 2: label 'bad' is not"),
    ("a.json", '{"one": [], "two": []}', r"holds several lists \(one, two\); name one as `section`"),
    ("a.json", '[{"text": "a", "label": "pos"}] x', "a.json: not valid json"),
    ("a.csv", 'text,label\n"a,pos\n', "a.csv line 2: not valid csv"),
    ("a.csv", 'text,label\n"a,pos\nb,neg\nc,neg\n', "a.csv line 2: not valid csv"),
    ("a.csv", "text,label\na,pos\nb\n", "a.csv line 3: 1 columns where 2 are expected"),
    ("a.csv", "", "a.csv: is empty"),
])
def test_faults_name_file_and_place(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        rows(write(tmp_path, name, text))


def test_a_long_document_in_a_csv(tmp_path):
    long = "word " * 40_000  # above the limit of Python's reader
    assert rows(write(tmp_path, "a.csv", f"text,label\n{long},pos\n")) == [((long,), 1)]


def test_an_empty_text_in_a_csv_of_one_column_is_a_row(tmp_path):
    content = 'text\na\n""\nb\n'  # as csv.writer and pandas write it
    assert rows(write(tmp_path, "a.csv", content), labelled=False, forgive_blank=False) == [
        (("a",), None), (("",), None), (("b",), None)]
    with pytest.raises(InputError, match="a.csv line 3: a blank line"):
        rows(write(tmp_path, "a.csv", "text\na\n\nb\n"), labelled=False, forgive_blank=False)


@pytest.mark.parametrize(("name", "content", "reason"), [
    ("a.jsonl", 'no json\n{"text": "a"}\nno json\n', "not valid json"),
    ("a.json", '[1, {"text": "a"}, 2]', "not a json object")])
def test_a_bad_row_before_the_first_good_one_is_counted_once(tmp_path, name, content, reason):
    table = Table(write(tmp_path, name, content), [ONE], CLASSES, labelled=False, strict=False)
    assert len(list(table)) == 1
    assert table.account.skipped[reason].times == 2


def test_rows_keep_the_line_on_which_they_begin(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"one\ntwo",pos\n\nthree,neg\n')
    assert [row.line for row in Table(path, [ONE], CLASSES)] == [2, 5]


def test_several_labels_a_row(tmp_path):
    classes = ClassSets(["a", "b", "c"], separator="|")
    assert rows(write(tmp_path, "a.tsv", "text\tlabel\nx\tc|a\ny\t\n"), classes=classes) == [
        (("x",), (0, 2)), (("y",), ())]
    assert rows(write(tmp_path, "a.jsonl", '{"text": "x", "label": ["b", "a"]}\n'), classes=classes) == [
        (("x",), (0, 1))]
    with pytest.raises(InputError, match="line 2: label 'd' is not one of a, b, c"):
        rows(write(tmp_path, "a.tsv", "text\tlabel\nx\ta|d\n"), classes=classes)


def test_a_column_for_each_class(tmp_path):
    reader = SplitReader(columns=[{"text": "comment", "label": ["toxic", "insult"]}], classes=["toxic", "insult"])
    path = write(tmp_path, "train.csv", "id,comment,toxic,insult\n7,x,1,0\n8,y,0,0\n9,z,1,1\n")
    found = list(reader.open(path, "train", reader.labels()))
    assert [(row.id, row.label) for row in found] == [("7", (0,)), ("8", ()), ("9", (0, 1))]
    with pytest.raises(InputError, match="line 2: '2' is neither 0 nor 1"):
        list(reader.open(write(tmp_path, "train.csv", "comment,toxic,insult\nx,2,0\n"), "train", reader.labels()))


def test_a_class_column_without_a_value_is_no_label(tmp_path):
    columns, classes = Columns("text", label=("rude", "spam")), ClassSets(["rude", "spam"])
    path = write(tmp_path, "a.jsonl", '{"text": "x", "rude": 1, "spam": 0}\n{"text": "y", "rude": 1, "spam": null}\n')
    with pytest.raises(InputError, match="a.jsonl line 2: no 'spam'"):
        rows(path, columns, classes)
    assert rows(path, columns, classes, labelled=False)[1] == (("y",), None)


def test_other_spellings_of_several_labels(tmp_path):
    columns = Columns("text", labels={0: "a", 1: "b", "all": "c"})
    classes = ClassSets(["a", "b", "c"], separator="|")
    for name, content in (("a.tsv", "text\tlabel\nx\t1| 0\ny\t1\nz\t\nw\tall\n"),
                          ("a.jsonl", "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in (
                              ("x", [1, 0]), ("y", "1"), ("z", []), ("w", "all"))))):
        assert [row[1] for row in rows(write(tmp_path, name, content), columns, classes)] == [(0, 1), (1,), (), (2,)]


def test_half_of_a_surrogate_pair_as_in_scraped_json(tmp_path):
    lines = ('{"text": "x \\ud83d", "label": "pos", "id": "\\ud83d1"}\n'
             '{"text": ["a\\ude00", "b"], "label": "neg", "id": 2}\n')
    for name, content in ("a.jsonl", lines), ("a.json", "[" + lines.strip().replace("\n", ",") + "]"):
        table = Table(write(tmp_path, name, content), [ONE], CLASSES)
        assert [(row.texts, row.id) for row in table] == [(("x \ufffd",), "\ufffd1"), (("a\ufffd b",), "2")]
        assert table.account.noted["half of a surrogate pair, read as U+FFFD"].times == 2


def test_words_in_a_list_stay_apart_and_lists_in_lists_are_no_labels(tmp_path):
    path = write(tmp_path, "a.json", '[{"text": ["John", "lives"], "label": "pos"}]')
    assert rows(path) == [(("John lives",), 1)]
    path = write(tmp_path, "b.json", '[{"text": "x", "label": [["a"]]}]')
    with pytest.raises(InputError, match="is not one of a, b"):
        rows(path, classes=ClassSets(["a", "b"]))


def test_multiple_choice(tmp_path):
    letters = Classes(["A", "B", "C"])
    columns = Columns(("context", "question"), choices=("A", "B", "C"), label="answer")
    path = write(tmp_path, "a.csv", "context,question,A,B,C,answer\nc,q,x,y,z,B\nc,q,x,y,,A\n")
    found = list(Table(path, [columns], letters))
    assert [(row.texts, row.choices, row.label) for row in found] == [
        (("c", "q"), ("x", "y", "z"), 1), (("c", "q"), ("x", "y"), 0)]
    path = write(tmp_path, "a.jsonl", '{"question": "q", "options": ["x", "y", "z"], "answer": "z"}\n')
    (row,) = Table(path, [Columns("question", choices="options", label="answer")], letters)
    assert (row.choices, row.label) == (("x", "y", "z"), 2)  # the text of the right choice
    path = write(tmp_path, "a.jsonl", '{"question": "q", "options": ["x", "y"], "answer": "C"}\n')
    with pytest.raises(InputError, match="label 'C' is not one of the 2 choices"):
        list(Table(path, [Columns("question", choices="options", label="answer")], letters))


@pytest.mark.parametrize(("name", "content", "columns", "words"), [
    ("a.csv", "q,A,B,C,answer\nq,x,y,,B\nq,x,,z,C\n", ("A", "B", "C"), "line 3: choice 'B' is empty, and one"),
    ("a.jsonl", '{"q": "q", "A": "x", "B": "", "C": "z", "answer": "C"}\n', ("A", "B", "C"), "1: choice 'B' is empty"),
    ("a.jsonl", '{"q": "q", "all": ["x", " ", "z"], "answer": "z"}\n', "all", "line 1: choice 2 of 3 is empty"),
    ("a.json", '[{"q": "q", "all": [null, "y"], "answer": "y"}]', "all", "a.json: row 1: choice 1 of 2 is empty")])
def test_an_empty_choice_before_others_would_shift_their_labels(tmp_path, name, content, columns, words):
    path, letters = write(tmp_path, name, content), Classes(["A", "B", "C"])
    given = [Columns("q", choices=columns, label="answer")]
    for labelled in True, False:  # their answers would be numbered anew as well
        with pytest.raises(InputError, match=words):
            list(Table(path, given, letters, labelled=labelled))
    if name == "a.csv":
        table = Table(path, given, letters, strict=False)
        assert [(row.choices, row.label) for row in table] == [(("x", "y"), 1)]
        assert "1 left out: an empty choice before others (first at line 3)" in str(table.account)


def test_advglue_and_ocnli(tmp_path, data):
    path = write(tmp_path, "dev.json", json.dumps({
        "sst2": [{"idx": 0, "label": 1, "sentence": "s"}],
        "rte": [{"idx": 3, "label": 0, "sentence1": "a", "sentence2": "b"}],
        "qqp": [{"idx": 0, "label": 0, "question1": "a", "question2": "b"}],
        "qnli": [{"idx": 0, "label": 1, "question": "a", "sentence": "b"}],
        "mnli": [{"idx": 0, "label": 2, "premise": "a", "hypothesis": "b"}]}))
    for task, label in {"sst-2": "1", "rte": "entailment", "qqp": "0", "qnli": "not_entailment",
                        "mnli": "contradiction"}.items():
        reader = load(task).reader
        (row,) = reader.open(path, "dev", reader.labels())
        assert reader.classes[row.label] == label
    reader = SplitReader(columns=[{"text": ["sentence1", "sentence2"]}], skip_labels=["-"],
                         classes=["contradiction", "neutral", "entailment"])
    folder = next(data("layouts/clue__ocnli_1.0.0").rglob("train.json")).parent
    for split in "train", "dev", "test":
        found = list(reader.open(reader.find(folder, split), split, reader.labels()))
        assert found
        assert all(row.label is None for row in found) == (split == "test")
