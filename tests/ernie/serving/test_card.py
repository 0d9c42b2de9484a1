"""Model cards: written with every run, true to its records, and carried along by conversion."""
import json
import re

import pytest
import yaml

paddle = pytest.importorskip("paddle")

from ernie.checkpoints.formats import write  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.finetuning.recipe import load  # noqa: E402
from ernie.serving.card import _input, write_card  # noqa: E402
from tests.ernie import runs  # noqa: E402
from tests.ernie.finetuning.tiny import finetune, make_data  # noqa: E402
from tests.ernie.released import checkpoint as released  # noqa: E402


def test_a_pretraining_run_carries_a_card(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}, {"knowledge_masking": 1, "sentence_reordering": 2}])
    said = runs.run(file, tmp_path / "run")
    card = tmp_path / "run" / "README.md"
    assert f"model card: {card}" in said and said.count("after stage 2") == 1
    text = card.read_text("utf-8")
    assert yaml.safe_load(text.split("---")[1])["tags"] == ["ernie", "pretraining"]
    metrics = json.loads((tmp_path / "run" / "stage-2" / "dev.json").read_text())
    assert f"{metrics['knowledge_masking']['loss']:.3f}" in text and "5 steps of 256 tokens" in text
    assert re.search(r"- made: \d+ documents, [\d,]+ tokens \(en\)", text)
    assert "best shallow baseline" in text and f'ernie.load("{tmp_path / "run"}")' in text
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "hf"), "--to", "huggingface"]) == 0
    assert (tmp_path / "hf" / "README.md").read_text("utf-8") == text


def test_a_fine_tuned_model_carries_a_card(tmp_path, model_files):
    assert finetune("rte", make_data("rte", tmp_path / "data"), tmp_path / "out", model_files) == 0
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["text"] in text and "from random weights" in text and "model.predict" in text
    for loaded in "transformers.AutoModel", "paddlenlp.transformers.Ernie":
        assert f"{loaded}ForSequenceClassification.from_pretrained" in text  # with the head


@pytest.mark.parametrize("task, form", [
    ("sst-2", '"a text"'), ("rte", '("a text", "another text")'), ("drcd", '("a question", "a passage")'),
    ("msra-ner", '"a text"')])
def test_the_card_shows_an_input_as_the_model_takes_it(task, form):
    assert _input(load(task).to_dict()["reader"]) == form


def test_a_page_of_the_user_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    assert write_card(tmp_path) is None and (tmp_path / "README.md").read_text() == "mine"


def test_a_converted_model_of_others_does_not_speak_for_us(tmp_path):
    source = tmp_path / "theirs"
    write(released(tmp_path), source, "huggingface")
    theirs = "---\nlanguage: en\nlicense: apache-2.0\ndatasets:\n- theirs\n---\n# We trained it\n"
    (source / "README.md").write_text(theirs, "utf-8")
    assert main(["convert", str(source), str(tmp_path / "new"), "--to", "own"]) in (0, None)
    text = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert yaml.safe_load(text.split("---")[1]) == {"tags": ["converted"], "language": "en", "license": "apache-2.0"}
    assert "Nothing was trained" in text and "We trained" not in text
    assert "We trained it" in (tmp_path / "new" / "README.source.md").read_text("utf-8")
