"""Which files of an input are read, once each, and JSON in any layout."""
import bz2
import gzip
import json

import pytest

from reader.store.build import build_corpus
from reader.text import threads
from reader.text.documents import ReadOptions, Rejected, Span, find_inputs, plan_parts, read_documents
from reader.text.formats import json_values
from reader.text.vocabulary import build_vocab
from reader.utils.errors import InputError


def read(path):
    rejected = Rejected()
    (span,), = plan_parts(find_inputs(path), ReadOptions(), 10)
    assert span == Span(str(path), 0, None), "such a file is not cut"
    return [document.paragraphs for document in read_documents(span, ReadOptions(), rejected)], rejected


def test_find_inputs(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/z.jsonl.gz", "a.txt", "skip.bin", ".hidden.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_inputs(tmp_path)] == ["a.txt", "z.jsonl.gz"]
    assert find_inputs([tmp_path / "skip.bin"]) == [tmp_path / "skip.bin"]
    for bad, message in ((tmp_path / "nowhere", "input not found"), ([], "no input given")):
        with pytest.raises(InputError, match=message):
            find_inputs(bad)
    with pytest.raises(InputError, match="no .txt, .jsonl, .json, .parquet, .arrow or Wikipedia"):
        (tmp_path / "empty").mkdir()
        find_inputs(tmp_path / "empty")


def test_folders_behind_links_are_walked_once(tmp_path):
    (tmp_path / "store/books").mkdir(parents=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "store/books/b.txt").write_text("b")
    (tmp_path / "in/books").symlink_to(tmp_path / "store/books")
    (tmp_path / "in/again").symlink_to(tmp_path / "store/books")
    (tmp_path / "store/books/up").symlink_to(tmp_path / "in")  # a circle
    (tmp_path / "in/.hidden").symlink_to(tmp_path / "store")
    (tmp_path / "in/gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/one.txt").symlink_to(tmp_path / "in/a.txt")
    found = find_inputs(tmp_path / "in")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["in/a.txt", "in/again/b.txt"]
    (tmp_path / "link").symlink_to(tmp_path / "store/books")
    assert find_inputs(tmp_path / "link") == [tmp_path / "link/b.txt", tmp_path / "link/up/a.txt"]


def test_json_in_a_folder_is_read_and_what_is_not_is_said(tmp_path):
    for name in ("a.json", "b.JSON.gz", "c.txt", "part_00", "README.md", "dataset_info.json", "state.json",
                 "data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow",
                 "cache-0123456789abcdef_00000_of_00002.arrow"):
        (tmp_path / name).write_bytes(b"x")
    rejected = Rejected()
    found = find_inputs([tmp_path, tmp_path / "c.txt", tmp_path / "part_00"], rejected)
    assert [path.name for path in found] == ["a.json", "b.JSON.gz", "c.txt", "data-00000-of-00001.arrow", "part_00"]
    assert rejected.examples == [f"{tmp_path}/README.md: file of another kind in a folder",
                                 f"{tmp_path}/part_00: file of another kind in a folder",
                                 f"{tmp_path}/c.txt: file that was given before"]


def test_what_is_made_of_a_folder_is_not_read_as_text_of_it(tmp_path):
    source, vocab = tmp_path / "in", tmp_path / "in/vocab.txt"
    (source / "more").mkdir(parents=True)
    (source / "more/a.txt").write_text("The cat sat. It ran!\n\nThe cat sat again, it ran.\n")
    assert build_vocab(source, "en", 60, vocab)[0] == build_vocab(source, "en", 60, vocab)[0]
    (source / "notes.md").write_text("none")
    manifest = build_corpus(source, "en", vocab, source / "store")
    assert manifest["documents"] == 1
    assert manifest["rejected"] == {"file of another kind in a folder": 1, "vocabulary in a folder of texts": 1}
    (source / "store.parts/000000").mkdir(parents=True)  # of a build that was stopped
    (source / "store.parts/000000/vocab.txt").write_text("a\n")
    (source / "third.lock").write_text("pid 1")
    rejected = Rejected()
    assert find_inputs(source, rejected, vocabulary=vocab) == [source / "more/a.txt"]
    assert rejected.reasons["corpus store in a folder of texts"] == 1


def test_comments_are_not_looked_for_in_what_lies_beside_them(tmp_path):
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps({
        "id": name, "reply-to": parent, "conversation_id": "a", "speaker": name, "text": "said " + name}) + "\n"
        for name, parent in (("a", None), ("b", "a"))))
    (tmp_path / "speakers.json").write_text('{"id": 1, "text": "none"}')
    counts, rejected = threads.build_threads(tmp_path, tmp_path / "out.jsonl")
    assert counts["comments"] == 2
    assert rejected.examples == [f"{tmp_path}/speakers.json: file of another kind in a folder"]


DOCUMENTS = [{"text": "One \u4e16\u754c, [a] {b}\nsecond", "title": "T"}, {"text": 'with "quotes" \\'},
             {"text": "third"}]
CUT = "file cannot be read to its end"


@pytest.mark.parametrize("room", [1, 3, 1 << 20])
@pytest.mark.parametrize("name, content", [
    ("a.json", json.dumps(DOCUMENTS).encode()),
    ("a.json", b"\xef\xbb\xbf\r\n " + json.dumps(DOCUMENTS, indent=4, ensure_ascii=False).encode() + b"\n\n"),
    ("a.json.gz", gzip.compress(json.dumps(DOCUMENTS).encode())),
    ("data", json.dumps(DOCUMENTS, indent=1).encode()),
    ("a.json.bz2", bz2.compress("\n".join(json.dumps(row, indent=2) for row in DOCUMENTS).encode())),
    ("a.json", b" ".join(json.dumps(row, indent=1).encode() for row in DOCUMENTS))])
def test_json_of_any_layout_is_documents(tmp_path, monkeypatch, name, content, room):
    monkeypatch.setattr(json_values, "READ", room)
    path = tmp_path / name
    path.write_bytes(content)
    found, rejected = read(path)
    assert found == [["T", "One \u4e16\u754c, [a] {b}", "second"], ['with "quotes" \\'], ["third"]]
    assert not rejected.total


@pytest.mark.parametrize("content, documents, fault", [
    (b'[{"text": "one"},\n {"text": "\xff"},\n {"text": "two"}]', ["one", "two"], " line 2: invalid UTF-8"),
    (b'[{"text": "one"},\n {"body": "x"},\n {"text": "two"}]', ["one", "two"], " line 2: no string field 'text'"),
    (b'[{"text": "one"},\n {"text": "tw', ["one"], f" line 2: {CUT}: not JSON: Unterminated string starting at"),
    (b'[{"text": "one"}\n', ["one"], f" line 2: {CUT}: the array has no end"),
    (b'[{"text": "one"}\n {"text": "two"}]', ["one"], f" line 2: {CUT}: '{{' where a comma or ] should be"),
    (b'[{"text": "one"}]\n\nmore', ["one"], f" line 3: {CUT}: text behind the end of the array"),
    (b'[' * 100_000, [], f" line 1: {CUT}: nested too deeply"),
    (b'[1, 2]', [], " line 1: no string field 'text'"), (b"[ ]\n", [], None)])
def test_json_that_cannot_be_used_is_named_and_the_rest_survives(tmp_path, content, documents, fault):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    found, rejected = read(path)
    assert found == [[text] for text in documents]
    assert rejected.examples[:1] == ([] if fault is None else [str(path) + fault])


def test_a_value_without_end_does_not_fill_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_values, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(json_values, "READ", 1 << 16)
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"text": "one"}, {"text": "' + b"x" * (1 << 22) + b'"}]')
    found, rejected = read(path)
    assert found == [["one"]] and rejected.examples[0].endswith("no JSON, or a value of over 1 MiB")


def test_a_damaged_archive_keeps_the_items_before(tmp_path):
    path = tmp_path / "a.json.gz"
    items = [{"text": f"{k} {hash((k, 'x'))}"} for k in range(20_000)]
    whole = gzip.compress(json.dumps(items).encode())
    path.write_bytes(whole[:len(whole) // 2])
    found, rejected = read(path)
    assert 0 < len(found) < len(items) and found[0] == [items[0]["text"]]
    assert list(rejected.reasons) == ["file cannot be read to its end"]


@pytest.mark.parametrize("name", ["wiki_00", "wiki_01.bz2"])
def test_what_wikiextractor_writes_is_articles(tmp_path, name):
    text = ('<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="A">\nA\n\nOne &lt;b&gt; &amp; two.\n'
            'Three.\n\n</doc>\n<doc id="13" url="" title="Empty">\nEmpty\n\n</doc>\nbetween\n'
            '<doc id="14" url="" title="B">\nB\n\nFour.\n</doc>\n<doc id="15" url="" title="C">\nC\nFive.\n')
    (tmp_path / "AA").mkdir()
    path = tmp_path / "AA" / name
    path.write_bytes(bz2.compress(text.encode()) if name.endswith("bz2") else text.encode())
    assert find_inputs(tmp_path) == [path]
    found, rejected = read(path)
    assert found == [["A", "One <b> & two.", "Three."], ["B", "Four."]]
    assert rejected.reasons == dict.fromkeys(
        ("page without running text", "line outside of <doc>", "document without </doc>"), 1)
    assert rejected.examples == [f"{path} line 12: line outside of <doc>", f"{path} line 20: document without </doc>"]
