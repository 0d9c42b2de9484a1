"""Ids and offsets on odd Unicode; vocabulary formats; the same ids as the peers."""
import numpy as np
import pytest

from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer, is_capitalised, read_vocab
from reader.utils.errors import InputError
from tests.reader.texts import TOKENIZER, VOCAB

HARD = [
    "café naïve Ångström", "e\u0301\u0327a", "Ａ full－width １２３", "emoji \U0001f469\u200d\U0001f467 👍🏽 x",
    "a\0b a\x0bc\x0cd\x1ce\x85f", "zero\u200bwidth\ufeffbom\u00adsoft", "\u2028line\u2029sep", "x" * 101, "x" * 100,
    "漢字\U00020000\U0002a700\U0002f800 かな 한국어", "≠a≠b ¡hola! ¿qué? «x» ὯaῬb `῭´", "don't U.S.A. 3.14",
    "a\ud7ff\ue000b\ufffdc", "नमस्ते עִבְרִית العربية", "\t tabs\r\nnl\u3000ideo\u00a0nbsp\u180e\u1680x", "⹁⹂new punct",
    "º ª ² ½ Ⅷ ①", "İstanbul ß ǅ ﬁ", "", " ", "\0"]


def test_offsets_point_into_the_raw_text():
    text = "Ünwanted\u0301 \u200brunning! 我爱NEW"
    encoding = TOKENIZER.encode(text)
    assert TOKENIZER.tokens(encoding.ids) == ["un", "##want", "##ed", "run", "##n", "##ing", "!", "我", "爱", "new"]
    assert [text[a:b] for a, b in encoding.offsets] == ["Ün", "want", "ed", "run", "n", "ing", "!", "我", "爱", "NEW"]


@pytest.mark.parametrize("text", HARD)
def test_offsets_are_ordered_and_inside(text):
    encoding = TOKENIZER.encode(text)
    assert encoding.ids.dtype == encoding.offsets.dtype == np.int64 and encoding.offsets.shape == (len(encoding.ids), 2)
    starts, stops = encoding.offsets.T
    assert (starts < stops).all() and (stops <= len(text)).all() and (starts[1:] >= stops[:-1]).all()


def test_half_of_a_surrogate_pair_is_read_as_the_replacement_character():
    for text, whole in ("a \ud83d b", "a \ufffd b"), ("c\ude00", "c\ufffd"):
        found, same = TOKENIZER.encode(text), TOKENIZER.encode(whole)
        assert found.ids.tolist() == same.ids.tolist() and found.offsets.tolist() == same.offsets.tolist()
    with pytest.raises(TypeError):
        TOKENIZER.encode_batch([None])


def test_special_tokens_are_never_read_from_text():
    ids = TOKENIZER.encode("[MASK] [CLS] [PAD]").ids
    assert not {TOKENIZER.mask_id, TOKENIZER.cls_id, TOKENIZER.pad_id} & set(ids.tolist())


def test_regular_ids_are_neither_special_nor_reserved():
    tokenizer = Tokenizer(["[PAD]", "[unused1]", *SPECIAL_TOKENS[1:], "a", "##b"])
    assert tokenizer.tokens(tokenizer.regular_ids) == ["a", "##b"]


def test_vocabulary_formats(tmp_path):
    plain, numbered = tmp_path / "plain.txt", tmp_path / "numbered.txt"
    plain.write_text("\n".join(VOCAB), "utf-8")
    numbered.write_text("".join(f"{token}\t{index}\n" for index, token in enumerate(VOCAB)), "utf-8")
    assert read_vocab(plain) == read_vocab(numbered) == VOCAB


@pytest.mark.parametrize("content, message", [
    (b"[PAD]\t0\n[UNK]\t2\n", "line 2: id '2' of token '[UNK]' is not 1"), (b"a\nb\n", "vocabulary lacks [PAD]"),
    (b"\xff\xfe", "vocabulary cannot be read"), (None, "vocabulary file not found")])
def test_a_bad_vocabulary_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        Tokenizer.load(path)
    assert message in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("word, expected", [("Cat", True), ("cat", False), ("iPhone", False), ("NATO", True),
                                            ("3D", True), ("'Tis", True), ("42", False), ("ǅ", True),
                                            ("日", False), ("ß", False)])
def test_capitalised(word, expected):
    assert is_capitalised(word) == expected


def test_released_vocabularies(data):
    chinese = Tokenizer.load(data("baidu_release/config/vocab.txt"))
    assert chinese.size == 17964 and (chinese.pad_id, chinese.cls_id, chinese.sep_id, chinese.mask_id) == (0, 1, 2, 3)
    assert chinese.tokens(chinese.encode("我爱Beijing").ids)[:2] == ["我", "爱"]
    english = Tokenizer.load(data("baidu_release/config/vocab_en.txt"))
    assert english.size == 30522 and (english.pad_id, english.cls_id, english.mask_id) == (0, 101, 103)


def real_texts(text, lines=3000):
    for name in ("en.txt", "zh.txt"):
        yield from text(name).read_text("utf-8").split("\n")[:lines]


@pytest.mark.peer
@pytest.mark.parametrize("vocab", ["vocab_zh.txt", "vocab_en.txt"])
def test_ids_of_transformers(vocab, text, peer, tmp_path):
    ours, texts = Tokenizer.load(text(vocab)), [*HARD, *real_texts(text)]
    (tmp_path / "vocab.txt").write_text("\n".join(ours.vocab) + "\n", "utf-8")
    theirs = peer("transformers").BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), do_lower_case=True)
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    assert [encoding.ids.tolist() for encoding in ours.encode_batch(texts)] == [list(ids) for ids in expected]


@pytest.mark.peer
@pytest.mark.parametrize("vocab", ["vocab_zh.txt", "vocab_en.txt"])
def test_ids_of_paddlenlp(vocab, text, peer, tmp_path):
    peer("paddlenlp")
    from paddlenlp.transformers import ErnieTokenizer
    ours = Tokenizer.load(text(vocab), split_symbols=True)
    texts = [hard for hard in HARD if "⹁" not in hard] + list(real_texts(text, 1000))
    (tmp_path / "vocab.txt").write_text("\n".join(ours.vocab) + "\n", "utf-8")
    theirs = ErnieTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=True)
    expected = [theirs(one, add_special_tokens=False)["input_ids"] for one in texts]
    assert [encoding.ids.tolist() for encoding in ours.encode_batch(texts)] == expected
