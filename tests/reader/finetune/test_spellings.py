"""Values that yaml reads as something else than text meet the texts of files."""
import json

import pytest

from ernie.finetuning.recipe import load
from reader.finetune.records import spellings
from reader.finetune.splits import SplitReader

RECIPE = """\
kind: classification
reader:
  columns: [{text: x, only: {valid: true, part: 2}, labels: {true: good, 2.0: good, no: bad, 4: bad}}]
  classes: [good, bad]
  aliases: {null: bad, 3: good}
  skip_labels: [-1]
"""


@pytest.mark.parametrize(("value", "texts"), [
    ("yes", ["yes"]), (-1, ["-1"]), (1.0, ["1", "1.0"]), (0.5, ["0.5"]), (None, ["null", "None"]),
    (True, ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"]),
    (["zh", 1], ["zh", "1"])])
def test_spellings(value, texts):
    assert spellings(value) == texts


def rows(tmp_path, reader, name, text, told=""):
    (tmp_path / name).write_text(text)
    table = reader.open(tmp_path / name, "train", reader.labels())
    found = [(row.texts[0], row.label) for row in table]
    assert told in str(table.account)
    return found


@pytest.mark.parametrize("saved", [False, True])
def test_values_that_are_no_text(tmp_path, saved):
    """Also after the way through json, which finetuned.json is."""
    (tmp_path / "mine.yaml").write_text(RECIPE)
    reader = load(str(tmp_path / "mine.yaml")).reader
    if saved:
        reader = SplitReader(**json.loads(json.dumps(vars(reader))))
    expected = [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 1), ("f", 0)]
    for yes, no in ("true", "no"), ("True", "False"), ("TRUE", "off"):
        labels = [yes, "2.0", no, "4", "null", "3", "-1", yes]
        lines = [f"{'abcdefgh'[n]}\t{label}\t{no if n == 7 else yes}\t2" for n, label in enumerate(labels)]
        assert rows(tmp_path, reader, "train.tsv", "\n".join(["x\tlabel\tvalid\tpart", *lines]),
                    "1 left out: not one of true, yes, on (first at line 9)") == expected
    records = [{"x": "abcdefg"[n], "label": label, "valid": True, "part": 2.0}
               for n, label in enumerate([True, 2.0, False, 4, "null", 3, -1])]
    records.append({"x": "h", "label": 1, "valid": False, "part": 2})
    assert rows(tmp_path, reader, "train.jsonl", "\n".join(map(json.dumps, records))) == expected


def test_a_text_comes_before_the_spelling_of_another_value(tmp_path):
    reader = SplitReader(columns=[{"text": "x", "labels": {True: "good", "yes": "bad"}}], classes=["good", "bad"])
    assert rows(tmp_path, reader, "train.tsv", "x\tlabel\na\tyes\nb\ttrue\n") == [("a", 1), ("b", 0)]


def test_one_of_several_values(tmp_path):
    reader = SplitReader(columns=[{"text": "x", "only": {"part": [1, "b"]}}], classes=["0", "1"])
    text = "x\tlabel\tpart\na\t0\t1\nb\t1\tb\nc\t1\tc\n"
    assert rows(tmp_path, reader, "train.tsv", text) == [("a", 0), ("b", 1)]
