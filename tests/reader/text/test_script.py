"""Text in another language than the one that is given is remarked on, and read all the same."""
import io

import pytest

from reader.store.build import build_corpus, join_stores
from reader.store.report import describe
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
    notes = [line for line in said.getvalue().replace("\r", "\n").splitlines() if "of the letters" in line]
    assert len(notes) == bool(share)
    assert all(f"note: {share} of the letters" in line and f"--language {language} right?" in line for line in notes)


SPECIAL, LOWER, CAPITALS = "[PAD] [UNK] [CLS] [SEP] [MASK]", "the cat sat on mat dog saw and went away .", "The Cat Mat"


@pytest.mark.parametrize("text, vocab, cased, said", [
    (ENGLISH, LOWER, False, ""), (ENGLISH, f"{LOWER} The", True, ""),
    (ENGLISH, LOWER, True, "note: 12 % of the tokens at the beginning of the text are [UNK]; is the vocabulary of this "
                           "language and script, and with --cased right? The build goes on"),
    (ENGLISH, f"{LOWER} {CAPITALS}", False, "note: 21 % of the vocabulary have capitals, which are never read without "
                                            "--cased; the build goes on"),
    ("Caterpillars bark.\n", LOWER, False, "note: 67 % of the tokens at the beginning of the text are [UNK]; is the "
                                           "vocabulary of this language and script, and without --cased right? The "
                                           "build goes on")])
def test_a_vocabulary_of_other_text_is_remarked_on(text, vocab, cased, said, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(f"{SPECIAL} {vocab}".split()) + "\n", "utf-8")
    (tmp_path / "text.txt").write_text(text * 20, "utf-8")
    lines = io.StringIO()
    manifest = build_corpus(tmp_path / "text.txt", "en", tmp_path / "vocab.txt", tmp_path / "store", progress=lines,
                            lower_case=not cased)
    assert [line for line in lines.getvalue().splitlines() if "note" in line] == ([f"ernie: {said}"] if said else [])
    unknown = round(manifest["tokens"] * (2 / 16 if cased else 2 / 3)) if "[UNK]" in said else 0
    assert manifest["unknown"] == unknown and ("of them [UNK] (" in describe(manifest)) == bool(unknown)
    assert ("note: many [UNK]" in describe(manifest)) == bool(unknown)


def test_unknown_tokens_of_joined_stores_are_counted(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(f"{SPECIAL} {LOWER}".split()) + "\n", "utf-8")
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"The bird sat. {name}\n", "utf-8")
        build_corpus(tmp_path / f"{name}.txt", "en", tmp_path / "vocab.txt", tmp_path / name)
    assert join_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "c")["unknown"] == 4
