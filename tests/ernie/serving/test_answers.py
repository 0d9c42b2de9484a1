"""Answers of fine-tuned models to a program: those of `ernie predict`, in words."""
import json

import pytest

paddle = pytest.importorskip("paddle")

import ernie  # noqa: E402
from ernie.cli import main  # noqa: E402
from tests.ernie.finetuning.test_travel import own_model  # noqa: E402


def predicted(folder, content, name="in.jsonl"):
    """The cells of the first answer, by column."""
    (folder / name).write_text(json.dumps(content) + "\n", "utf-8")
    assert main(["predict", "--model", str(folder / "m"), "--input", str(folder / name), "--output",
                 str(folder / "p.tsv")]) == 0
    header, answer = (line.split("\t") for line in (folder / "p.tsv").read_text("utf-8").splitlines())
    return dict(zip(header, answer))


def test_any_number_of_classes_by_name(tmp_path):
    own_model(tmp_path / "m", "multi_label")
    cells = predicted(tmp_path, {"text_a": "a b", "text_b": "c"})
    (answer,) = ernie.load(tmp_path / "m").predict([("a b", "c")])
    assert ",".join(answer.names) == cells["labels"]
    assert {f"p({name})": f"{chance:.6f}" for name, chance in answer.probabilities.items()}.items() <= cells.items()


def test_a_choice_by_name(tmp_path):
    own_model(tmp_path / "m", "multiple_choice")
    cells = predicted(tmp_path, {"question": "a b", "choices": ["c", "d e", "f"]})
    (answer,) = ernie.load(tmp_path / "m").predict([("a b", ["c", "d e", "f"])])
    assert (answer.name, f"{answer.probability:.6f}") == (cells["choice"], cells["probability"])
    assert list(answer.probabilities) == ["A", "B", "2"]  # the recipe names two
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.probabilities[answer.name] == answer.probability
