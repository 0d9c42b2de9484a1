"""The Chinese rules, and rjieba against jieba."""
import pytest

from reader.finetune.reviews import write_reviews
from reader.text.annotators.chinese import Chinese, JiebaSegmenter, RjiebaSegmenter
from reader.utils.errors import InputError
from tests.reader.texts import block_of, opened, sentences, units


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    return opened("chinese", tmp_path_factory.mktemp("learnt"), phrases=["心情 不错"])


@pytest.mark.parametrize("parts", [
    ["我爱北京。", "你好吗？", "很高兴！！"], ["“你好。”", "他说。"], ['"你好。"', '"高兴！"'], ["「好……」", "他说。"],
    ["他说：“很高兴见到你！”", "但是…今天天气不错……因此高兴。"], ["（他说你好。）", "《中国》是什么？！"],
    ["价格是3.14元。", "好."], ["天气不错．", "你好吗．．", "他说：“好．”", "我说３．１４和Ｊ．罗琳．"],
])
def test_sentences(chinese, parts):
    assert sentences(chinese, "".join(parts)) == parts


def test_units(chinese):
    text = "江泽民在北京大学说，今天心情不错，一如既往地支持A股iPhone。"
    found = units(chinese, text, ("word", "phrase", "entity"))
    assert ("江泽民", "entity") in found and ("北京大学", "entity") in found
    assert ("心情不错", "phrase") in found and ("一如既往", "phrase") in found
    assert ("今天", "word") in found and ("支持", "word") in found


@pytest.mark.parametrize("text, phrases, names", [
    ("经济发展是城市的重要问题。", ["经济发展", "重要问题"], []),
    ("我们二人买东西，不是为了英雄。", [], []),
    ("江泽民在北京谈世界和平。", ["世界和平"], ["江泽民", "北京"]),
    ("他高兴，人民，群众和经济。发展", [], []),
    ("农村基层组织市场经济体制建设", None, [])])
def test_noun_phrases(chinese, text, phrases, names):
    found = units(chinese, text)
    if phrases is None:
        assert found and all(len(unit) <= 8 and kind == "phrase" for unit, kind in found)
    else:
        assert sorted(found, key=lambda unit: unit[1]) == [(name, "entity") for name in names] + [
            (phrase, "phrase") for phrase in phrases]


def test_only_the_first_character_opens_a_word(chinese):
    block, _ = block_of([["我爱北京天安门。今天Run！"]], chinese)
    starts = [block.chunk(k) for k in range(len(block)) if not chinese.annotate(block).continues[k]]
    assert starts == ["我", "爱", "北", "天", "。", "今", "Run", "！"]


def test_user_words(tmp_path):
    (tmp_path / "user.txt").write_text("蓝瘦香菇 nz\n云计算平台 5 n\n小白菜团子\n", "utf-8")
    chinese = opened("chinese", tmp_path, user_dict=str(tmp_path / "user.txt"))
    found = units(chinese, "我今天蓝瘦香菇了，用云计算平台。", ("phrase", "entity"))
    assert found == [("蓝瘦香菇", "entity"), ("云计算平台", "phrase")]
    (tmp_path / "user.txt").write_text("好\n蓝 瘦 香 菇\n", "utf-8")
    with pytest.raises(InputError, match="user.txt line 2: '蓝 瘦 香 菇' is not"):
        Chinese(user_dict=str(tmp_path / "user.txt"))


def test_traditional_text_can_be_converted(peer):
    peer("opencc")
    assert Chinese(convert="t2s").convert(["漢語"]) == ["汉语"]
    with pytest.raises(InputError, match="unknown OpenCC configuration 'x2y'"):
        Chinese(convert="x2y")


def test_options_are_checked():
    with pytest.raises(InputError, match="knows no option colour"):
        Chinese(colour="red")
    with pytest.raises(InputError, match="unknown segmenter 'x'"):
        Chinese(segmenter="x")


def test_rjieba_gives_the_words_of_jieba(text, peer, tmp_path):
    peer("rjieba")
    write_reviews(tmp_path)
    text = text("zh.txt").read_text("utf-8")[:60_000] + (tmp_path / "dev.tsv").read_text("utf-8")[:20_000]
    user = [("云计算平台", None, "n")]
    ours, theirs = RjiebaSegmenter(user).cut(text)[0], JiebaSegmenter(user).cut(text)[0]
    assert ours == theirs and len(ours) > 30_000 and len("".join(ours)) == len(text)
