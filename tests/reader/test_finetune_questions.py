"""SQuAD-style json: answers where they stand, article by article."""
import json

import pytest

from reader.errors import InputError
from reader.finetune import questions
from reader.finetune.questions import Questions, locate, simplified


def write(tmp_path, content, name="dev.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def article(context, *entries):
    return {"title": "t", "paragraphs": [{"context": context, "qas": [
        {"id": f"q{n}", "question": q, "answers": [{"text": t, "answer_start": s} for t, s in answers]}
        for n, (q, answers) in enumerate(entries)]}]}


def test_answers_are_found_where_they_stand():
    assert locate("ab ab ab", "ab", 3) == 3
    assert locate("ab ab ab", "ab", 4) == 3   # the nearest
    assert locate("ab ab ab", "ab", 7) == 6
    assert locate("ab ab", "ab", -1) == 0
    assert locate("ab", "ab", 99) == 0
    assert locate("ab", "x", 0) == -1


def test_rows(tmp_path):
    path = write(tmp_path, {"version": "1", "data": [
        article("天气很好。", ("怎样？", [("很好", 9), ("很好", 2), ("好", 3)])),
        article("無", ("？", [("有", 0)]), ("？", []))]})
    source = Questions(path)
    first, second = source
    assert (first.answers, first.starts) == (["很好", "好"], [2, 3])
    assert second.starts == [-1]
    assert "1 left out: no answer (first at article 2)" in str(source.account)
    assert "1 with an answer that its passage does not hold" in str(source.account)


def test_traditional_text_keeps_its_offsets(tmp_path):
    pytest.importorskip("opencc")
    context = "臺灣的頭髮發展，皇后以後在裡面。" * 3
    assert len(simplified(context)) == len(context)
    assert simplified("頭髮發展") == "头发发展"
    path = write(tmp_path, {"data": [article(context, ("頭髮？", [("發展", context.index("發展"))]))]})
    (row,) = Questions(path, simplify=True)
    start = row.starts[0]
    assert (row.context[start:start + 2], row.original[start:start + 2], row.question) == ("发展", "發展", "头发？")


@pytest.mark.parametrize(("content", "message"), [
    ("", 'no list "data"'),
    ('{"data": [', "not valid json, or cut short"),
    ('{"data": [{"paragraphs": [{"conte', "not valid json, or cut short"),
    ('{"data": []}', "holds no articles"),
    ('{"data": [{"x": 1}]}', "article 1 has no list 'paragraphs'"),
    ('{"data": [{"paragraphs": [{"qas": []}]}]}', "article 1: a paragraph has no context"),
    ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "q"}]}]}]}', "without `question` or `id`"),
])
def test_faults(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(Questions(write(tmp_path, content)))


def test_articles_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(questions, "BLOCK", 16)
    path = write(tmp_path, {"version": "x", "data": [article("好" * n, ("？", [("好", 0)])) for n in (1, 50, 3)]})
    assert [len(row.context) for row in Questions(path)] == [1, 50, 3]


def test_every_answer_of_cmrc_is_where_it_says(data):
    for row in Questions(data("chinese/cmrc2018/dev.json")):
        for answer, start in zip(row.answers, row.starts):
            assert start < 0 or row.context[start:start + len(answer)] == answer
