"""SQuAD-style json: answers where they stand, article by article."""
import gzip
import json

import pytest

from reader.finetune import questions
from reader.finetune.questions import Questions, locate, simplified
from reader.utils.errors import InputError


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
    ('{"data": [{"paragraphs": ["x"]}]}', "article 1: a paragraph has no context"),
    ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": 5, "id": 1}]}]}]}', "without `question`"),
    ('{"data": [{"paragraphs": [{"context": "5", "qas": [{"question": "q", "id": 7, "answers": [{"text": 5}]}]}]}]}',
     "article 1: question '7': `answers` is no list of"),
    ('{"data": [{"paragraphs": [{"context": "5", "qas": [{"question": "q", "id": 7, "answers": {"text": ["5"]}}]}]}]}',
     "article 1: question '7': `answers` is no list of"),
])
def test_faults(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(Questions(write(tmp_path, content)))


def test_malformed_questions_are_left_out_by_choice(tmp_path):
    path = write(tmp_path, {"data": [{"x": 1}, {"paragraphs": [None, {"context": "好", "qas": [
        {"id": 1, "question": None}, {"id": 2, "question": "?"}]}]}]})
    source = Questions(path, labelled=False, strict=False)
    assert [row.id for row in source] == ["2"]
    assert str(source.account).count("1 left out") == 3


def test_what_is_odd_about_questions_is_counted(tmp_path):
    content = json.dumps({"data": [article("😀好人", ("？", [(" ", 0), ("坏", 0), ("人", 3)])),
                                   article("好\ud83d人", ("？", [("人", 2)]))]})
    source = Questions(write(tmp_path, content), watch_ids=True)
    first, second = source
    assert (first.answers, first.starts) == (["坏", "人"], [-1, 2])
    assert (second.context, second.starts) == ("好\ufffd人", [2])
    assert str(source.account).endswith(
        ": 2 rows; 1 with an answer that does not stand at its offset but elsewhere (first at article 1); "
        "1 with half of a surrogate pair, read as U+FFFD (first at article 2); "
        "1 with an id that stood before (first at article 2)")


def test_simplified_answers_beside_a_traditional_passage(tmp_path):
    pytest.importorskip("opencc")
    (row,) = Questions(write(tmp_path, {"data": [article("臺灣的頭髮", ("？", [("头发", 3)]))]}), simplify=True)
    assert (row.answers, row.starts) == (["頭髮"], [3])


def test_a_compressed_file(tmp_path):
    path = tmp_path / "dev.json.gz"
    whole = gzip.compress(json.dumps({"data": [article("好", ("？", [("好", 0)]))]}).encode())
    path.write_bytes(whole)
    assert len(list(Questions(path))) == 1
    path.write_bytes(whole[:-10])
    with pytest.raises(InputError, match="dev.json.gz: cut short or damaged"):
        list(Questions(path))


def test_articles_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(questions, "BLOCK", 16)
    path = write(tmp_path, {"version": "x", "data": [article("好" * n, ("？", [("好", 0)])) for n in (1, 50, 3)]})
    assert [len(row.context) for row in Questions(path)] == [1, 50, 3]


def test_every_answer_is_where_it_says(text):
    rows = list(Questions(text("questions.json")))
    assert len(rows) > 500
    for row in rows:
        for answer, start in zip(row.answers, row.starts):
            assert row.context[start:start + len(answer)] == answer


def test_a_nested_data_and_what_follows_the_json(tmp_path):
    whole = {"meta": {"data": [1, 2], "note": "\"data\": ["}, "data": [article("ab", ("?", [("a", 0)]))],
             "version": 1.5}
    assert [row.answers for row in Questions(write(tmp_path, whole))] == [["a"]]
    for text, message in ((json.dumps(whole) + " x", "something follows the json: 'x'"),
                          (json.dumps(whole)[:-1], "not valid json, or cut short"),
                          (json.dumps(whole).replace(', "version', ' 7, "version'), "expected , or }, found '7, "),
                          (json.dumps({"a": {"data": []}}), 'no list "data"'), ("[]", 'no list "data"'),
                          (json.dumps({"data": {"data": []}}), 'no list "data"')):
        with pytest.raises(InputError, match=message.replace("[", r"\[")):
            list(Questions(write(tmp_path, text)))


def test_a_block_may_end_anywhere(tmp_path, monkeypatch):
    path = write(tmp_path, {"version": 12, "data": [article("ab cd", ("?", [("ab", 0)])),
                                                    article("x", ("?", [("x", 0)]))]})
    for size in 1, 2, 3, 7:
        monkeypatch.setattr(questions, "BLOCK", size)
        assert [row.answers for row in Questions(path)] == [["ab"], ["x"]]


def test_questions_without_an_answer(tmp_path):
    content = article("ab cd", ("?", [("ab", 0)]), ("??", []))
    del content["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"]
    path = write(tmp_path, {"data": [content]})
    assert [(row.answers, row.impossible) for row in Questions(path, no_answer=True)] == [(["ab"], False), ([], True)]
    assert [row.answers for row in Questions(path)] == [["ab"]]
