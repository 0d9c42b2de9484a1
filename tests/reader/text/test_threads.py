"""Comments in any order become chains of answers, every comment once."""
import gzip
import json
import random

import pytest

from ernie.cli import main
from reader.text import threads
from reader.text.documents import ReadOptions, Rejected, Span, read_documents
from reader.text.threads import build_threads
from reader.utils.errors import InputError


def reddit(name, parent, author, body="", link="t3_top"):
    return {"id": name, "parent_id": parent, "link_id": link, "author": author, "body": body or f"text of {name}"}


TREE = [{"id": "top", "author": "op", "title": "A question", "selftext": "with\ntext"}, reddit("a", "t3_top", "ann"),
        reddit("b", "t1_a", "bob"), reddit("c", "t1_a", "cy"), reddit("d", "t1_c", "ann"), reddit("e", "t3_top", "eve"),
        reddit("f", "t1_e", "op"), reddit("g", "t1_gone", "gil"), reddit("h", "t1_g", "ann")]


def written(folder, rows, **options):
    (folder / "RC_2019-01").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts, rejected = build_threads(folder / "RC_2019-01", folder / "out.jsonl.gz", **options)
    lines = gzip.decompress((folder / "out.jsonl.gz").read_bytes()).decode().splitlines()
    return [[(turn["speaker"], turn["text"]) for turn in json.loads(line)["turns"]] for line in lines], counts, rejected


@pytest.mark.parametrize("seed", range(4))
def test_a_tree_is_cut_into_chains(tmp_path, seed):
    rows = TREE[:]
    random.Random(seed).shuffle(rows)
    found, counts, rejected = written(tmp_path, rows)
    assert sorted(found) == sorted([
        [("op", "A question with text"), ("ann", "text of a"), ("cy", "text of c"), ("ann", "text of d")],
        [("eve", "text of e"), ("op", "text of f")], [("gil", "text of g"), ("ann", "text of h")]])
    assert counts == {"comments": 9, "threads": 1, "dialogues": 3, "turns": 8}
    assert rejected.reasons == {"dialogue of fewer than 2 turns": 1}
    document = next(read_documents(Span(str(tmp_path / "out.jsonl.gz")), ReadOptions(), Rejected()))
    assert len(document.paragraphs) == len(document.speakers) and document.speakers[:2] == [0, 1]


def test_what_is_no_comment_is_counted(tmp_path):
    rows = [*TREE, reddit("x", "t1_a", "x", "[deleted]"), reddit("y", "t1_a", "x", " "), {"body": "no id"}, [1]]
    found, _, rejected = written(tmp_path, rows, least=1)
    assert len(found) == 4 and rejected.reasons["no comment: a record without an id"] == 2
    assert rejected.reasons["deleted or empty comment"] == 2


def test_circles_and_deep_threads_end(tmp_path):
    rows = [reddit("a", "t1_b", "a"), reddit("b", "t1_a", "b"), reddit("c", "t1_c", "c")]
    rows += [reddit(f"n{k}", f"t1_n{k - 1}", str(k % 2), link="t3_deep") for k in range(5000)]
    found, _, _ = written(tmp_path, rows, least=1)
    assert sorted(map(len, found))[-1] == 5000 and sum(map(len, found)) == 5003


def test_many_buckets_give_the_same_dialogues(tmp_path, monkeypatch):
    rows = [reddit(f"{k}{part}", f"t1_{k}a" if part == "b" else f"t3_{k}", part, link=f"t3_{k}")
            for k in range(200) for part in "ab"]
    whole = sorted(written(tmp_path, rows)[0])
    monkeypatch.setattr(threads, "BUCKET_BYTES", 2000)
    assert sorted(written(tmp_path, rows)[0]) == whole and len(whole) == 200


def test_convokit_and_the_command_line(tmp_path, capsys):
    rows = [{"id": "1", "conversation_id": "1", "speaker": "x", "text": "Hello.", "reply-to": None},
            {"id": "2", "conversation_id": "1", "speaker": "y", "text": "Hi.", "reply-to": "1"}]
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    call = ["build-threads", "--input", str(tmp_path), "--output", str(tmp_path / "threads.jsonl")]
    assert main(call) == 0 and "1 dialogues, 2 turns" in capsys.readouterr().out
    with pytest.raises(InputError, match="no dialogue in 1 file"):
        build_threads(tmp_path / "utterances.jsonl", tmp_path / "none.jsonl", least=5)
    assert not (tmp_path / "none.jsonl").exists()
