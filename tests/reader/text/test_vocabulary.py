"""Vocabularies from text: BERT's order, deterministic, every Chinese character."""
import subprocess
import sys

import pytest

from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from reader.text.vocabulary import build_vocab, train_vocab
from reader.utils.errors import InputError

TEXTS = ["The unwanted cats were running around the running track. " * 3, "Äther cats run; the dog barks!"] * 5


def test_special_tokens_come_first_and_words_follow():
    vocab = train_vocab(TEXTS, "en", 120)
    assert vocab[:5] == list(SPECIAL_TOKENS) and "running" in vocab and "the" in vocab and "A" not in vocab
    assert Tokenizer(vocab).encode("THE äther").ids.tolist()[0] == vocab.index("the")
    assert "The" in train_vocab(TEXTS, "en", 120, lower_case=False)


def test_every_chinese_character_is_a_token():
    text = "我爱北京天安门，龘靐。"
    assert set(text) <= set(train_vocab([text, "我" * 50], "zh", 200))


@pytest.mark.parametrize("size", [7, 30, 61, 120])
def test_never_more_than_asked_for(size):
    assert len(train_vocab(TEXTS, "en", size)) <= size


def test_the_same_in_every_process():
    code = f"from reader.text.vocabulary import train_vocab; print(train_vocab({TEXTS!r}, 'en', 150))"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(runs) == 1


def test_bad_calls(tmp_path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InputError, match="has no room"):
        build_vocab(tmp_path / "a.txt", "en", 5, tmp_path / "vocab.txt")
    with pytest.raises(InputError, match="no usable document"):
        build_vocab(tmp_path / "a.txt", "en", 50, tmp_path / "vocab.txt")
    assert not (tmp_path / "vocab.txt").exists()
