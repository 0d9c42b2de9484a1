"""Discourse pairs and search logs: the labels of small texts by hand, the published files as they are."""
import gzip
import random
import shutil

import numpy as np
import pytest

from reader.store.build import build_corpus, join_stores
from reader.store.discourse import build_discovery, mine_discourse, read_markers
from reader.store.relevance import CLICKED, SHOWN, build_relevance
from reader.store.store import Store
from reader.text.flags import CAPITAL, UNIT_START, WORD_START
from reader.utils.errors import InputError
from reader.utils.files import sole_writer
from reader.utils.labels import IGNORE
from tests.reader.texts import TOKENIZER, VOCAB


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
    documents = ["The cat sat in New York. But the cat ran away. So, it was unwanted by all. Solar cats sat there. "
                 "However the cat ran.",
                 "A cat ran to us.\nHowever, the dog sat on it. But so it was. However, the unwanted cat ran. Sofar it "
                 "ran."] * 10
    (folder / "a.jsonl").write_text("".join(f'{{"text": "{text}"}}\n'.replace("us.\n", "us.\\n") for text in documents))
    build_corpus(folder / "a.jsonl", "en", folder / "vocab.txt", folder / "store")
    (folder / "markers.txt").write_text("# some\nbut\nso,\nhowever,\nso\n", "utf-8")
    return folder


def documents(path):
    """[(paragraph texts, labels)] of a pair store."""
    store = Store(path)
    texts = [" ".join(TOKENIZER.tokens(store.ids[store.sentences[a]:store.sentences[a + 1]])).replace(" ##", "")
             for a in range(len(store.sentences) - 1)]
    assert (np.diff(store.paragraphs) == 1).all()
    return [(texts[a:b], store.labels[a:b].tolist()) for a, b in zip(store.documents[:-1], store.documents[1:])]


def test_markers_are_taken_from_the_second_of_two_adjacent_sentences(corpus, tmp_path):
    report = mine_discourse(corpus / "store", tmp_path / "out", markers=corpus / "markers.txt", least=5, balance=10)
    assert report == {"train": {"but": 18, "so,": 10, "however,": 8}, "dev": {"but": 2, "however,": 2}}
    found = documents(tmp_path / "out/train")
    assert found[:2] == [(["the cat sat in new york .", "the cat ran away ."], [IGNORE, 0]),
                         (["but the cat ran away .", "it was unwanted by all ."], [IGNORE, 1])]
    assert found[2:4] == [(["however , the dog sat on it .", "so it was ."], [IGNORE, 0]),
                          (["but so it was .", "the unwanted cat ran ."], [IGNORE, 2])]
    assert Store(tmp_path / "out/train").manifest["classes"] == ["but", "so,", "however,"]


def test_the_first_letter_is_restored(corpus, tmp_path):
    mine_discourse(corpus / "store", tmp_path / "out", markers=corpus / "markers.txt", least=5)
    store = Store(tmp_path / "out/train")
    for start in store.sentences[1:-1:2]:
        assert store.flags[start] & (CAPITAL | WORD_START | UNIT_START) == CAPITAL | WORD_START | UNIT_START
        after = start + 1 + int(np.argmax(store.flags[start + 1:start + 20] & WORD_START > 0))
        assert (store.flags[start:after] & CAPITAL > 0).all() and not store.flags[after] & CAPITAL


def test_limits_and_split(corpus, tmp_path):
    report = mine_discourse(corpus / "store", tmp_path / "out", markers=corpus / "markers.txt", least=5, cap=4)
    assert set(report["train"].values()) == {4}
    report = mine_discourse(corpus / "store", tmp_path / "out", dev_stores=corpus / "store", least=5,
                            markers=corpus / "markers.txt", balance=1)
    assert set(report["train"].values()) == {10} and set(report["dev"].values()) == {1}
    with pytest.raises(InputError, match="fewer than two markers open 50 sentences"):
        mine_discourse(corpus / "store", tmp_path / "out", markers=corpus / "markers.txt", least=50)


def test_a_damaged_store_is_not_mined(corpus, tmp_path):
    shutil.copytree(corpus / "store", tmp_path / "store")
    flags = np.load(tmp_path / "store" / "flags.npy", mmap_mode="r+")
    flags[40] ^= CAPITAL
    flags.flush()
    for stores in ({"stores": tmp_path / "store"}, {"stores": corpus / "store", "dev_stores": tmp_path / "store"}):
        with pytest.raises(InputError, match="store is damaged: entries 0 to .* of flags.npy"):
            mine_discourse(output=tmp_path / "out", markers=corpus / "markers.txt", least=5, **stores)


@pytest.mark.parametrize("key, change", [("vocabulary", "vocab"), ("language", "zh"), ("lower_case", "cased")])
def test_stores_that_do_not_go_together_are_neither_mined_nor_joined(corpus, tmp_path, key, change):
    """Ids of one vocabulary would be read by another: pairs of wrong words, or of ids that are in no vocabulary."""
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(VOCAB + ["more"] * (change == "vocab")) + "\n", "utf-8")
    build_corpus(corpus / "a.jsonl", "zh" if change == "zh" else "en", vocab, tmp_path / "store",
                 lower_case=change != "cased")
    refused = pytest.raises(InputError, match=f"store: cannot be used with {corpus / 'store'}: another {key}")
    for stores in ({"stores": [corpus / "store", tmp_path / "store"]},
                   {"stores": corpus / "store", "dev_stores": tmp_path / "store"}):
        with refused:
            mine_discourse(output=tmp_path / "out", markers=corpus / "markers.txt", least=5, **stores)
    with refused:
        join_stores([corpus / "store", tmp_path / "store"], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "vocab.txt"]


def test_marker_lists():
    for language in ("en", "zh"):
        markers = read_markers(f"reader/text/data/markers_{language}.txt")
        assert len(markers) == len(set(markers)) > 100


def test_discovery_as_published(corpus, tmp_path, data):
    folder = data("layouts/discovery__discovery_1.0.0/discovery.zip_dl_1/discovery/discovery")
    report, rejected = build_discovery(folder, corpus / "store", tmp_path / "out",
                                       labels=data("discourse/discovery_markers.txt"))
    assert rejected.total == 0 and set(report) == {"train", "dev"}
    assert len(Store(tmp_path / "out/train").manifest["classes"]) == 174
    assert sum(report["train"].values()) == len((folder / "train.tsv").read_text("utf-8").splitlines()) - 1


def test_discovery_quotes_and_faults(corpus, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text('sentence1\tsentence2\tlabel\n"The ""cat""  sat"\tIt ran\tbut\nA cat\t\tbut\nx\ty\n"a\tb"\tc\tso,')
    report, rejected = build_discovery(path, corpus / "store", tmp_path / "out", dev_files=[path])
    found = documents(tmp_path / "out/train")
    assert found == [(['the " cat " sat', "it ran"], [IGNORE, 0]), (["a b", "c"], [IGNORE, 1])]
    assert rejected.examples[:2] == [f"{path} line 3: empty field", f"{path} line 4: row of other than 3 columns"]
    path.write_text("a\tb\n")
    with pytest.raises(InputError, match="lacks sentence1, sentence2 or label"):
        build_discovery(path, corpus / "store", tmp_path / "out")


def test_search_logs(corpus, tmp_path):
    path, dev = tmp_path / "log.gz", tmp_path / "dev.tsv"
    path.write_bytes(gzip.compress(
        b"query\ttitle\tclicked\nthe cat\tA cat sat\t0\nrun\tIt ran\t1\nthe cat\tNew York\t0\nthe  cat\tA cat sat\t1\n"
        b"x\ty\nx\ty\tyes\n\ty\t1\n\xff\ty\t1\n"))
    dev.write_text("the dog\tDogs\t1\n")
    report, rejected = build_relevance(path, corpus / "store", tmp_path / "out", dev_files=[dev])
    assert documents(tmp_path / "out/train") == [(["the cat", "a cat sat", "new york"], [IGNORE, CLICKED, SHOWN]),
                                                 (["run", "it ran"], [IGNORE, CLICKED])]
    assert report == {"train": {"clicked": 2, "shown": 1}, "dev": {"clicked": 1}}
    assert [line.partition(f"{path} ")[2] for line in rejected.examples] == [
        "line 6: line of other than 3 columns", "line 7: clicked is neither 0 nor 1: 'yes'",
        "line 8: empty query or title", "line 9: invalid UTF-8: byte 0xff at column 1"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["dev", "train"]


def test_a_title_without_tokens_takes_no_other_title_with_it(corpus, tmp_path):
    log, dev = tmp_path / "log.tsv", tmp_path / "dev.tsv"
    log.write_text("the cat\tA cat sat\t1\nthe cat\t\u200b\t0\nthe cat\tNew York\t0\n\u200b\tIt ran\t1\n"
                   "run\t\u200b\t1\n")
    dev.write_text("the dog\tDogs\t1\n")
    report, rejected = build_relevance(log, corpus / "store", tmp_path / "out", dev_files=[dev])
    assert documents(tmp_path / "out/train") == [(["the cat", "a cat sat", "new york"], [IGNORE, CLICKED, SHOWN])]
    assert report["train"] == {"clicked": 1, "shown": 1}
    assert rejected.examples == ["text without a token: '\\u200b'"] * 3
    log.write_text("sentence1\tsentence2\tlabel\nA cat\tIt ran\tbut\nA cat\t\u200b\tbut\n")
    report, rejected = build_discovery(log, corpus / "store", tmp_path / "two", dev_files=[log])
    assert report["train"] == {"but": 1} and rejected.reasons["text without a token"] == 2  # in train, in dev


@pytest.mark.parametrize("dev, share", [(0.1, 0.1), (0.3, 0.3), (0.4, 0.4), (0.15, 0.15)])
def test_dev_has_the_share_that_is_asked_for(corpus, tmp_path, dev, share):
    log, rows = tmp_path / "log.tsv", tmp_path / "train.tsv"
    log.write_text("".join(f"cat {k}\ttitle {k}\t1\n" for k in range(2000)))
    rows.write_text("sentence1\tsentence2\tlabel\n" + "".join(f"cat {k}\tran\tbut\n" for k in range(2000)))
    for report in (build_relevance(log, corpus / "store", tmp_path / "log", dev=dev)[0],
                   build_discovery([rows], corpus / "store", tmp_path / "rows", dev=dev)[0]):
        counts = {part: sum(report[part].values()) for part in ("train", "dev")}
        assert sum(counts.values()) == 2000 and abs(counts["dev"] / 2000 - share) < 0.03
    mine_discourse(corpus / "store", tmp_path / "mined", markers=corpus / "markers.txt", least=1, cap=1000,
                   balance=1000, dev=dev)
    pairs = {part: len(documents(tmp_path / "mined" / part)) for part in ("train", "dev")}
    assert abs(pairs["dev"] / sum(pairs.values()) - share) < 0.06


def test_a_scattered_log_gives_the_same_queries(corpus, tmp_path, monkeypatch):
    log = tmp_path / "log.tsv"
    log.write_text("".join(f"cat {k % 37}\ttitle {k}\t{k % 2}\n" for k in range(400)))
    whole = build_relevance(log, corpus / "store", tmp_path / "one")[0]
    monkeypatch.setattr("reader.store.relevance.BUCKET_BYTES", 1000)
    assert build_relevance(log, corpus / "store", tmp_path / "many")[0] == whole
    for part in ("train", "dev"):
        one, many = (sorted(map(str, documents(tmp_path / name / part))) for name in ("one", "many"))
        assert one == many


def test_cranfield_judgements_are_a_log(corpus, tmp_path, data):
    judgements = data("relevance/query_title_relevance.tsv").read_text("utf-8")
    rows = [line.split("\t") for line in judgements.splitlines()[1:]]
    (tmp_path / "log.tsv").write_text("".join(f"{query}\t{title}\t{int(grade in ('1', '2', '-1'))}\n"
                                              for _, query, _, title, grade in rows), "utf-8")
    report, rejected = build_relevance(tmp_path / "log.tsv", corpus / "store", tmp_path / "out")
    assert rejected.total == 0 and report["train"]["shown"] > 900 and report["dev"]["clicked"] > 40


def test_from_raw_text_on_the_command_line(corpus, tmp_path, capsys):
    from ernie.cli import main
    call = ["build-pairs", "discourse", "--input", str(corpus / "a.jsonl"), "--language", "en", "--output",
            str(tmp_path / "out"), "--least", "5", "--markers", str(corpus / "markers.txt")]
    assert main(call) == 2 and "this input needs --vocab" in capsys.readouterr().err
    assert main([*call, "--vocab", str(corpus / "vocab.txt")]) == 0
    assert "3 classes" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out"]


def test_dev_from_raw_text_of_its_own(corpus, tmp_path, capsys):
    from ernie.cli import main
    text, markers, vocab = (str(corpus / name) for name in ("a.jsonl", "markers.txt", "vocab.txt"))
    call = ["build-pairs", "discourse", "--input", text, "--language", "en", "--vocab", vocab, "--markers", markers,
            "--least", "5", "--output", str(tmp_path / "out"), "--dev-input"]
    assert main([*call, text]) == 0
    sizes = [len(documents(tmp_path / "out" / part)) for part in ("train", "dev")]
    mine_discourse(corpus / "store", tmp_path / "mined", dev_stores=corpus / "store", markers=markers, least=5)
    assert sizes == [len(documents(tmp_path / "mined" / part)) for part in ("train", "dev")]
    assert main([*call, str(corpus / "store")]) == 0, "a store beside raw text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mined", "out"]
    capsys.readouterr()
    assert main([*call, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"ernie: {tmp_path}/nowhere: input not found\n", "before anything is built"


@pytest.mark.parametrize("call, said", [
    (["ir", "--like", "store", "--cap", "3"], "--cap does nothing for search logs"),
    (["ir", "--like", "store", "--vocab", "v.txt"], "--vocab does nothing for search logs"),
    (["discourse", "--language", "zh"], "--language does nothing for corpus stores"),
    (["discourse", "--labels", "l.txt"], "--labels does nothing for corpus stores"),
    (["baidu", "--vocab", "v.txt", "--dev", "0.2"], "--dev does nothing for Baidu's files")])
def test_flags_of_another_kind_of_input_are_refused(corpus, tmp_path, capsys, call, said):
    from ernie.cli import main
    given = str(corpus / "store") if call[0] == "discourse" else str(corpus / "a.jsonl")
    assert main(["build-pairs", *call, "--input", given, "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"ernie: {said}\n"


def test_a_log_without_a_good_line_says_why(corpus, tmp_path):
    (tmp_path / "log.tsv").write_text("cat sat\n")
    with pytest.raises(InputError, match=r"(?s)nothing in the input.*log.tsv line 1: line of other than 3 columns"):
        build_relevance(tmp_path / "log.tsv", corpus / "store", tmp_path / "out")


def test_a_build_without_dev_leaves_no_dev_of_an_earlier_one(corpus, tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text("".join(f"cat {k}\ttitle {k}\t1\n" for k in range(40)))
    build_relevance(log, corpus / "store", tmp_path / "out")
    assert (tmp_path / "out/dev/manifest.json").exists()
    lonely = tmp_path / "lonely.tsv"
    for k in range(40):  # a query that falls to train
        lonely.write_text(f"cat {k}\ttitle {k}\t1\n")
        with pytest.raises(InputError, match="nothing"):
            build_relevance(lonely, corpus / "store", tmp_path / "out")
        if (tmp_path / "out/train").exists():
            break
    with pytest.raises(InputError, match="nothing for dev"):
        build_relevance(lonely, corpus / "store", tmp_path / "out")
    assert not (tmp_path / "out/dev").exists()


def test_damaged_archives_are_counted_and_what_precedes_the_damage_is_kept(corpus, tmp_path):
    rng = random.Random(0)
    rows = "".join(f"cat {k}\ttitle {rng.random()}\t{k % 2}\n" for k in range(20_000)).encode()
    whole, path = gzip.compress(rows), tmp_path / "log.gz"
    damages = [whole[:cut] for cut in (0, 1, 5, 12, 40, len(whole) // 2, len(whole) - 5)]
    damages += [bytes(255 if k == place else byte for k, byte in enumerate(whole))
                for place in (0, 3, 9, 11, 60, len(whole) // 2, len(whole) - 6)] + [b"no gzip", whole + b"more"]
    kept = 0
    for number, damaged in enumerate(damages):
        path.write_bytes(damaged)
        try:
            report, rejected = build_relevance(path, corpus / "store", tmp_path / f"out{number}")
            kept += sum(report["train"].values()) > 5000
        except InputError as error:  # nothing was readable, or no longer enough for dev
            assert "nothing" in str(error), error
    assert kept >= 4
    discovery = tmp_path / "train.tsv.gz"
    discovery.write_bytes(gzip.compress(b"sentence1\tsentence2\tlabel\n" + b"the cat\tit ran\tbut\n" * 9999)[:-9])
    with pytest.raises(InputError, match="nothing for dev.*file cannot be read to its end") as refused:
        build_discovery(discovery, corpus / "store", tmp_path / "discovery")
    assert "\n" not in str(refused.value)


def test_a_second_builder_of_the_same_output_says_so(corpus, tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text("".join(f"cat {k}\ttitle {k}\t1\n" for k in range(40)))
    with sole_writer(tmp_path / "out"), pytest.raises(InputError, match=r"out: another process \(pid \d+ on .*\) is"):
        build_relevance(log, corpus / "store", tmp_path / "out")
    assert build_relevance(log, corpus / "store", tmp_path / "out")[1].total == 0
    assert not (tmp_path / "out.lock").exists()


@pytest.mark.parametrize("name", ["x" * 300, "file/below", "y" * 5000])
def test_outputs_that_cannot_be_made_are_one_line(corpus, tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "log.tsv").write_text("a\tb\t1\n" * 9)
    with pytest.raises(InputError, match="output cannot be written"):
        build_relevance(tmp_path / "log.tsv", corpus / "store", tmp_path / name)
