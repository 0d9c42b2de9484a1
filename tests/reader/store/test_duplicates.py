"""Copies are found wherever they are; train and dev share phrases and names and no document; speakers are kept."""
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from ernie.cli import main
from reader.store import build
from reader.store.build import build_corpus, join_stores
from reader.store.duplicates import EXACT, KEPT, NEAR, PERMUTATIONS, decide
from reader.store.store import NOBODY, Store
from reader.text.fingerprints import exact_key, is_dev, words_of
from reader.utils.errors import InputError
from tests.reader.texts import VOCAB


@pytest.fixture
def vocab(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", "utf-8")
    return path


def texts(count, words=80, seed=0):
    rng = random.Random(seed)
    return [" ".join("".join(rng.choices("abcdefgh", k=3)) for _ in range(words)) for _ in range(count)]


def write(path, documents):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return path


def changed(text, words):
    parts = text.split()
    return " ".join(parts[:10] + ["zzz"] * words + parts[10 + words:])


@pytest.mark.parametrize("workers", [1, 2])
def test_copies_are_left_out_whatever_part_they_are_in(tmp_path, vocab, peer, workers, monkeypatch):
    peer("rensa")
    monkeypatch.setattr(build, "PART_BYTES", (4000, 4000))
    originals = texts(60)
    copies = [originals[3].upper() + "!", changed(originals[5], 1), originals[7], changed(originals[9], 40)]
    source = write(tmp_path / "a.jsonl", originals + copies)
    manifest = build_corpus(source, "en", vocab, tmp_path / "store", deduplicate=True, workers=workers)
    assert manifest["rejected"] == {"exact copy of an earlier document": 2, "near copy of an earlier document": 1}
    assert manifest["documents"] == 61 and not (tmp_path / "store.parts").exists()
    whole = build_corpus(write(tmp_path / "b.jsonl", originals + copies[3:]), "en", vocab, tmp_path / "clean")
    assert (Store(tmp_path / "store").ids[:] == Store(tmp_path / "clean").ids[:]).all() and whole["documents"] == 61


def test_train_and_dev(tmp_path, vocab, peer, monkeypatch):
    peer("rensa")
    monkeypatch.setattr(build, "PART_BYTES", (9000, 9000))
    originals = [f"We saw Smith near the old garden gate. {text}" for text in texts(400)]
    near = [changed(text, 1) for text in originals[:100]]
    source = write(tmp_path / "a.jsonl", originals + near + originals[:50])
    train = build_corpus(source, "en", vocab, tmp_path / "plain", dev_share=0.2)
    dev = Store(tmp_path / "plain/dev").manifest
    assert train["documents"] + dev["documents"] == 550 and 60 < dev["documents"] < 165
    train = build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.2, deduplicate=True)
    dev = Store(tmp_path / "store/dev").manifest
    assert train["documents"] + dev["documents"] == 400 and 50 < dev["documents"] < 110
    assert train["rejected"] == {"exact copy of an earlier document": 50, "near copy of an earlier document": 100}
    assert 10 < train["near_copies_across_train_and_dev"] < 60 and not dev["rejected"]
    for name in ("phrases.txt", "names.txt"):
        learnt = [(tmp_path / "store" / part / "annotator" / name).read_text() for part in ("train", "dev")]
        assert learnt[0] == learnt[1]
    assert build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.2, deduplicate=True) == train
    with pytest.raises(InputError, match="train: holds a store of other input or options"):
        build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.1, deduplicate=True)


def test_a_stopped_build_of_both_goes_on(tmp_path, vocab, peer, monkeypatch):
    peer("rensa")
    monkeypatch.setattr(build, "PART_BYTES", (9000, 9000))
    source = write(tmp_path / "a.jsonl", texts(200) + texts(20))
    whole = build_corpus(source, "en", vocab, tmp_path / "whole", dev_share=0.2, deduplicate=True)
    real, calls = build.join, []

    def stopping(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(build, "join", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.2, deduplicate=True)
    assert not (tmp_path / "store/train").exists()
    again = build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.2, deduplicate=True)
    assert again["fingerprint"] == whole["fingerprint"]
    for part in ("train", "dev"):
        assert Store(tmp_path / "store" / part).fingerprint == Store(tmp_path / "whole" / part).fingerprint


def test_a_comparison_that_is_killed_while_it_writes_is_made_again(tmp_path, vocab, peer):
    peer("rensa")
    source = write(tmp_path / "a.jsonl", texts(20))
    code = f"""if True:
        import os
        import numpy as np
        from reader.store.build import build_corpus
        real = np.save
        def cut_short(file, array):
            real(file, array)
            if "keys" in str(getattr(file, "name", file)):
                file = file if hasattr(file, "truncate") else open(file, "r+b")
                file.truncate(150)
                os._exit(9)
        np.save = cut_short
        build_corpus({str(source)!r}, "en", {str(vocab)!r}, {str(tmp_path / "store")!r}, deduplicate=True)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert list((tmp_path / "store.parts").glob("*keys*"))
    assert build_corpus(source, "en", vocab, tmp_path / "store", deduplicate=True)["documents"] == 20


def test_phrases_are_mined_from_train_alone(tmp_path, vocab):
    documents = []
    for k in range(200):  # a name that only dev documents hold
        text = f"today number {k} the cat saw Dabe run"
        documents.append(text if is_dev(exact_key(words_of([text])), 0.3) else text.replace("Dabe", "Tabe"))
    kept = [text for text in documents if is_dev(exact_key(words_of([text])), 0.3) == ("Dabe" in text)]
    build_corpus(write(tmp_path / "a.jsonl", kept), "en", vocab, tmp_path / "store", dev_share=0.3)
    names = (tmp_path / "store/dev/annotator/names.txt").read_text().split()
    assert "tabe" in names and "dabe" not in names


def test_chains_of_copies_keep_the_first(peer):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**32, (6, PERMUTATIONS), dtype=np.uint32)
    rows[2], rows[4] = rows[0], rows[0]
    rows[2, 100:] = rows[1, 100:]                      # 0 and 2 agree in 78 %, no copies ...
    rows[4, 110:] = rows[2, 110:]                      # ... but both are like 4
    keys = np.array([1, 2, 3, 1, 5, 6], np.uint64)
    verdicts, across = decide(keys, rows)
    assert verdicts.tolist() == [KEPT, KEPT, NEAR, EXACT, NEAR, KEPT] and across == 0


@pytest.mark.parametrize("call, message", [
    ({"dev_share": 0.7}, "dev share 0.7 is not between"),
    ({"deduplicate": True, "shard": (0, 2)}, "exclude each other"),
    ({"dev_share": 0.0001}, "no usable document in the input for dev")])
def test_bad_calls(tmp_path, vocab, call, message, peer):
    peer("rensa")
    source = write(tmp_path / "a.jsonl", texts(20))
    with pytest.raises(InputError, match=message):
        build_corpus(source, "en", vocab, tmp_path / "store", **call)
    assert not (tmp_path / "store/train").exists()


def test_a_store_is_not_hidden_by_train_and_dev(tmp_path, vocab):
    source = write(tmp_path / "a.jsonl", texts(20))
    build_corpus(source, "en", vocab, tmp_path / "store")
    with pytest.raises(InputError, match="is a store, but with --dev-share"):
        build_corpus(source, "en", vocab, tmp_path / "store", dev_share=0.1)


def test_speakers_are_kept_for_each_paragraph(tmp_path, vocab):
    rows = [{"turns": [{"speaker": "a", "text": "the cat"}, {"speaker": "b", "text": "\u200b"},
                       {"speaker": "b", "text": "it ran"}, {"speaker": "c", "text": "run"},
                       {"speaker": "a", "text": "ok"}]},
            {"text": "no one\nspeaks"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_corpus(tmp_path / "a.jsonl", "en", vocab, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.speakers.tolist() == [0, 1, 2, 0, NOBODY, NOBODY]
    build_corpus(write(tmp_path / "b.jsonl", texts(2)), "en", vocab, tmp_path / "silent")
    assert Store(tmp_path / "silent").speakers is None
    join_stores([tmp_path / "silent", tmp_path / "store"], tmp_path / "joined")
    assert Store(tmp_path / "joined").speakers.tolist() == [NOBODY] * 2 + store.speakers.tolist()


def test_the_command_line(tmp_path, vocab, capsys, peer):
    peer("rensa")
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps({"content": text}) + "\n" for text in texts(100) + texts(5)))
    call = ["build-corpus", "--input", str(source), "--language", "en", "--vocab", str(vocab), "--output",
            str(tmp_path / "store"), "--text-field", "content", "--dev-share", "0.1", "--deduplicate"]
    assert main(call) == 0
    out = capsys.readouterr().out
    assert "5 exact copy of an earlier document" in out and f"store: {tmp_path}/store/dev" in out
    assert main(["build-vocab", "--input", str(source), "--language", "en", "--size", "60", "--output",
                 str(tmp_path / "v.txt"), "--text-field", "content"]) == 0
