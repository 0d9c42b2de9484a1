"""Text in another language than the one that is given is remarked on, and read all the same."""
import io

import pytest

from reader.store.build import build_corpus
from reader.text.script import han_share

VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##e\n你\n好\n"
ENGLISH = "The cat sat on the mat. The dog saw the cat and went away.\n"
MIXED = "用Python写一个程序，再用pip安装它。\n"
CHINESE = "今天天气很好，我们去公园散步。他说明天会下雨。\n"


def test_the_share_is_of_letters():
    assert han_share(["12, 中文 ab!"]) == 0.5
    assert han_share(["ab"] * 3 + ["中" * 100], enough=6) == 0
    assert han_share(["1 2 3"]) is None


@pytest.mark.parametrize("language, text, share", [
    ("zh", ENGLISH, "0 %"), ("en", CHINESE, "100 %"), ("en", ENGLISH, ""), ("zh", CHINESE, ""), ("zh", MIXED, "")])
def test_a_build_says_it_and_goes_on(language, text, share, tmp_path):
    pytest.importorskip("rjieba" if language == "zh" else "numpy")
    (tmp_path / "vocab.txt").write_text(VOCAB, "utf-8")
    (tmp_path / "text.txt").write_text(text * 20, "utf-8")
    said = io.StringIO()
    manifest = build_corpus(tmp_path / "text.txt", language, tmp_path / "vocab.txt", tmp_path / "store", progress=said)
    assert manifest["tokens"]
    notes = [line for line in said.getvalue().replace("\r", "\n").splitlines() if "note" in line]
    assert len(notes) == bool(share)
    assert all(f"note: {share} of the letters" in line and f"--language {language} right?" in line for line in notes)
