"""Layouts to documents, cut anywhere; what cannot be used is named, the rest survives."""
import bz2
import gzip
import json
import lzma
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.text import documents
from reader.text.documents import ReadOptions, Rejected, Span, plan_parts, read_documents
from reader.text.formats import lines as lines_module
from reader.text.formats import plain


def read(path, layout="file", language="en", start=0, stop=None):
    rejected = Rejected()
    found = read_documents(Span(str(path), start, stop), ReadOptions(layout, language), rejected)
    return [document.paragraphs for document in found], rejected


def test_layout_file_joins_wrapped_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\ufeffOne line\nand more.\n\n\n  Second\r\nparagraph. \n", "utf-8")
    assert read(path)[0] == [["One line and more.", "Second paragraph."]]
    path.write_text("今天天气\n不错 OK\nyes", "utf-8")
    assert read(path, language="zh")[0] == [["今天天气不错 OK yes"]]


def test_layout_lines_parts_documents_at_blank_lines(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"\nfirst\nsecond\n \n\nthird"))
    assert read(path, "lines")[0] == [["first", "second"], ["third"]]


def test_jsonl(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": "one\n\ntwo", "title": "Head"}, {"text": "three \ud800", "title": None}, {"text": " \n"},
            {"txt": "x"}, ["x"]]
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"text": \n\n{"text": "last"}\n', "utf-8")
    found, rejected = read(path)
    assert found == [["Head", "one", "two"], ["three \ufffd"], ["last"]]
    assert rejected.reasons == {"empty document": 1, "no string field 'text'": 2, "line is not JSON": 1,
                                "empty line in jsonl": 1}
    assert f"{path} line 3: empty document" in rejected.examples
    assert f"{path} line 6: line is not JSON: Expecting" in str(rejected)


def test_invalid_utf8_rejects_its_document_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\n\nbad \xff byte\nmore\n\ngood again\n")
    found, rejected = read(path, "lines")
    assert found == [["good"], ["good again"]]
    assert rejected.examples == [f"{path} line 3: invalid UTF-8: byte 0xff at column 5"]
    found, rejected = read(path, "file")
    assert found == [] and rejected.total == 1


def test_an_enormous_line_is_rejected_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "MAX_LINE", 1 << 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"x" * (3 << 20) + b'\n{"text": "b"}\n')
    found, rejected = read(path)
    assert found == [["a"], ["b"]] and rejected.examples == [f"{path} line 2: line longer than 1 MiB"]


def test_long_paragraphs_and_documents_are_cut(tmp_path, monkeypatch):
    for module in (documents, plain):
        monkeypatch.setattr(module, "MAX_PARAGRAPH", 18)
        monkeypatch.setattr(module, "MAX_DOCUMENT", 30)
    path = tmp_path / "a.txt"
    path.write_text("12345678\n" * 9, "utf-8")
    two = "12345678 12345678"
    assert read(path)[0] == [[two, two], [two, two], ["12345678"]]
    path.write_text("abcd efgh ijkl mnop qrst\n\n" + "x" * 25, "utf-8")
    assert read(path, "lines")[0] == [["abcd efgh ijkl", "mnop qrst"], ["x" * 18, "x" * 7]]


def test_a_damaged_gzip_keeps_what_came_before(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"text": "%d"}\n' % k for k in range(20000)))
    path.write_bytes(whole[:len(whole) // 2])
    found, rejected = read(path)
    assert len(found) > 1000 and list(rejected.reasons) == ["file cannot be read to its end"]
    path.write_bytes(b"not gzip")
    assert read(path)[1].total == 1


def test_empty_files_are_said(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n \n")
    assert read(path)[1].examples == [f"{path}: empty document"]


@pytest.mark.parametrize("name", ["a.txt", "data", "gutenberg.utf8"])
def test_text_that_begins_with_a_bracket_is_text(tmp_path, name):
    path = tmp_path / name
    path.write_text("[Illustration]\n\nIt was a dark night.\n")
    assert read(path)[0] == [["[Illustration]", "It was a dark night."]]


@settings(deadline=None, max_examples=60)
@given(lines=st.lists(st.sampled_from(["", "a", "bb cc", "\u00e9\u00e9", " "]), max_size=30), step=st.integers(1, 40),
       layout=st.sampled_from(["lines", "jsonl"]))
def test_parts_together_are_the_whole(lines, step, layout, tmp_path_factory):
    path = tmp_path_factory.mktemp("parts") / ("a.jsonl" if layout == "jsonl" else "a.txt")
    text = "".join(f"{json.dumps({'text': line})}\n" if layout == "jsonl" else f"{line}\n" for line in lines)
    path.write_text(text, "utf-8")
    whole, rejected = read(path, "lines")
    parts = [span for part in plan_parts([path], ReadOptions("lines"), step) for span in part]
    pieces = [read(path, "lines", start=span.start, stop=span.stop) for span in parts]
    assert [document for found, _ in pieces for document in found] == whole
    assert sorted(line for _, part in pieces for line in part.examples)[:20] == sorted(rejected.examples)[:20] \
        or rejected.total > 20


def test_enormous_tokens_are_cut_out_with_a_count(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before " + "7" * 400_000 + " between " + "é" * 1001 + ", after " + "x" * 1000, "utf-8")
    found, rejected = read(path)
    assert found == [["before   between  , after " + "x" * 1000]]
    assert rejected.reasons == {"run of over 1000 characters without a space, cut out": 2}
    path.write_text("中" * 5000, "utf-8")  # characters of a script without spaces are words each
    assert read(path, language="zh") == ([["中" * 5000]], Rejected())


@pytest.mark.parametrize("layout, name", [("file", "a.txt"), ("lines", "a.txt"), ("lines", "a.jsonl")])
def test_runs_of_empty_lines_are_passed_over_at_once(tmp_path, layout, name):
    path = tmp_path / name
    head, tail = ('{"text": "one"}', '{"text": "two"}\n{') if name.endswith("jsonl") else ("one", "two")
    path.write_bytes(head.encode() + b"\n" * 30_000_001 + b"\r\n" + tail.encode())
    started = time.process_time()  # of this process alone: 0.05 s, and several where each line is looked at
    found, rejected = read(path, layout)
    assert time.process_time() - started < 1.5
    assert [part for document in found for part in document] == ["one", "two"]
    if name.endswith("jsonl"):
        assert rejected.reasons == {"empty line in jsonl": 30_000_001, "line is not JSON": 1}
        assert rejected.examples[0].startswith(f"{path} line 2: empty") and " line 30000004: " in rejected.examples[1]


def test_a_damaged_archive_of_any_kind_keeps_what_came_before(tmp_path):
    whole = b"".join(b'{"text": "%d"}\n' % (k * k * 7919) for k in range(60_000))
    for suffix, compress in ((".bz2", bz2.compress), (".xz", lzma.compress), (".gz", gzip.compress)):
        path = tmp_path / f"a.jsonl{suffix}"
        archive = compress(whole)
        path.write_bytes(archive)
        assert len(read(path)[0]) == 60_000
        path.write_bytes(archive[:-(len(archive) // 3)])
        found, rejected = read(path)
        assert len(found) > 1000 and list(rejected.reasons) == ["file cannot be read to its end"], suffix


def test_zst(tmp_path, peer):
    zstandard = peer("zstandard")
    rows = b"".join(b'{"text": "%d"}\n' % k for k in range(200_000))
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(rows[:1000]) + zstandard.compress(rows[1000:]))  # two frames
    assert len(read(path)[0]) == 200_000
    archive = zstandard.compress(rows)
    path.write_bytes(archive[:len(archive) // 2])
    found, rejected = read(path)
    assert len(found) > 1000 and list(rejected.reasons) == ["file cannot be read to its end"]


@pytest.mark.parametrize("record, paragraphs, speakers", [
    ({"text": "a\nb\nc", "speakers": ["x", "y", "x"]}, ["a", "b", "c"], [0, 1, 0]),
    ({"text": ["a\nb", "c"], "title": "T"}, ["T", "a b", "c"], None),
    ({"text": ["a", "", "c"], "speakers": [5, 5, 2]}, ["a", "c"], [0, 1]),
    ({"turns": ["a", "b", "c"]}, ["a", "b", "c"], [0, 1, 0]),
    ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, ["a", "b"], [0, 1]),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, ["a", "b"], [0, 0]),
    ({"text": "a\nb", "speakers": ["x"]}, "speakers are not parallel to the paragraphs", None),
    ({"text": "a", "speakers": "x"}, "speakers are not parallel to the paragraphs", None),
    ({"turns": [{"id": 1}]}, "turn without a text", None),
    ({"turns": [1]}, "turn is neither a string nor an object", None),
    ({"turns": []}, "empty document", None), ({"text": [1]}, "no string field 'text'", None)])
def test_dialogues(tmp_path, record, paragraphs, speakers):
    path, rejected = tmp_path / "a.jsonl", Rejected()
    path.write_text(json.dumps(record))
    found = list(read_documents(Span(str(path)), ReadOptions(), rejected))
    if isinstance(paragraphs, str):
        assert not found and list(rejected.reasons) == [paragraphs]
    else:
        assert [tuple(document) for document in found] == [(paragraphs, speakers)]


def test_named_fields(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "b", "head": "a"}')
    options = ReadOptions(text_field="content", title_field="head")
    assert next(read_documents(Span(str(path)), options, Rejected())).paragraphs == ["a", "b"]


@pytest.mark.parametrize("name, text", [("a.txt", "one\n\n\n\n\n\ntwo\n\n\n\nthree\n"),
    ("a.jsonl", '{"text": "one"}\n\n\n\n\n\n{"text": "two"}\n\n\n\n{"text": "three"}\n')])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_a_cut_inside_a_run_of_empty_lines_gives_every_document_once(tmp_path, name, text, end):
    path, text = tmp_path / name, text.replace("\n", end)
    path.write_bytes(text.encode())
    for cut in range(1, len(text)):
        parts = [read(path, "lines", start=0, stop=cut), read(path, "lines", start=cut, stop=len(text))]
        assert [document for found, _ in parts for document in found] == [["one"], ["two"], ["three"]], cut
        assert sum(rejected.total for _, rejected in parts) == (8 if name == "a.jsonl" else 0), cut
