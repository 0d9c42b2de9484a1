"""Baidu's pre-training text: read exactly, by hand and for real; every damaged line named."""
import gzip

import numpy as np
import pytest

import tasks
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from reader.store.baidu import build_from_baidu
from reader.store.build import join_stores
from reader.store.store import Store
from reader.text.flags import KIND, KIND_SHIFT, UNIT_START
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE

TOKENS = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *"一二三四五六七"]
VOCABULARY = "".join(f"{token}\t{k}\n" for k, token in enumerate(TOKENS))
GOOD = ["1 4 5 6 2 7 8 2;0 0 0 0 0 1 1 1;0 1 2 3 4 5 6 7;-1 0 1 0 -1 0 1 -1;1",
        "1 9 2 10 2;0 0 0 1 1;0 1 2 3 4;-1 0 -1 0 -1;0"]


@pytest.fixture
def make(tmp_path):
    """make(lines, chance) builds a store of some lines."""
    def build(lines, chance="1.0"):
        (tmp_path / "vocab.txt").write_text(VOCABULARY, "utf-8")
        with gzip.open(tmp_path / "part.gz", "wt", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        (tmp_path / "filelist").write_text(f"part.gz\t{chance}\n", "utf-8")
        _, rejected = build_from_baidu([tmp_path / "filelist"], tmp_path / "vocab.txt", tmp_path / "store")
        return Store(tmp_path / "store"), rejected
    return build


def test_two_instances_by_hand(make):
    store, rejected = make(GOOD)
    assert rejected.total == 0 and store.manifest["classes"] == ["0", "1"]
    assert store.ids.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert store.sentences.tolist() == [0, 3, 5, 6, 7] and store.documents.tolist() == [0, 2, 4]
    assert store.labels.tolist() == [IGNORE, 1, IGNORE, 0]
    assert (store.flags & UNIT_START > 0).tolist() == [True, False, True, True, False, True, True]
    assert ((store.flags & KIND) >> KIND_SHIFT).tolist() == [1, 1, 0, 1, 1, 0, 0]
    task = tasks.load("given_label")
    batches = Batches(task, [], Corpus([store], max_length=8), seed=1, task_id=0, batch_tokens=13)
    rows = {tuple(ids[:length].tolist()): label for n in range(8) for batch in batches.at(n) for ids, length, label in
            zip(batch.token_ids, batch.lengths, batch.targets["given_label"].labels)}
    assert rows == {(1, 4, 5, 6, 2, 7, 8, 2): 1, (1, 9, 2, 10, 2): 0}


@pytest.mark.parametrize("line, reason", [
    ("1 4 2;0 0 0;0 1 2;-1 0 -1", "4 fields, not 5"),
    ("1 4 2;0 0 0;0 1;-1 0 -1;0", "3 token_ids, 3 sentence_type_ids, 2 position_ids, 3 seg_labels"),
    ("1 x 2;0 0 0;0 1 2;-1 0 -1;0", "token_ids: invalid literal"),
    ("1 99 2;0 0 0;0 1 2;-1 0 -1;0", "token id 99 is not in the vocabulary of 11"),
    ("4 5 2;0 0 0;0 1 2;-1 0 -1;0", "not [CLS] text [SEP]"),
    ("1 4 5;0 0 0;0 1 2;-1 0 0;0", "not [CLS] text [SEP]"),
    ("1 4 2;0 0 0;0 1 2;-1 3 -1;0", "seg_labels other than"),
    ("1 4 2;0 0 0;0 1 3;-1 0 -1;0", "position_ids or sentence_type_ids that do not count up"),
    ("1 4 2;0 0 1;0 1 2;-1 0 -1;0", "position_ids or sentence_type_ids that do not count up"),
    ("1 4 2 2;0 0 0 1;0 1 2 3;-1 0 -1 -1;0", "a sentence without text"),
    ("1 4 2;0 0 0;0 1 2;-1 0 -1;-4", "label -4 is negative"),
    ("1 4 2;0 0 0;0 1 2;-1 0 -1;70000", "label 70000 is not below 65536"),
    ("", "1 fields"),
])
def test_bad_lines_are_named_and_the_good_ones_survive(make, line, reason):
    store, rejected = make([GOOD[0], line, GOOD[1]])
    assert store.manifest["documents"] == 2 and rejected.total == store.manifest["rejected"] == 1
    assert f"part.gz line 2: malformed line: {reason}" in str(rejected)


def test_files_that_cannot_be_used(make, tmp_path):
    with pytest.raises(InputError, match="no usable line in 1 file;"):
        make(["nonsense"])
    assert not (tmp_path / "store").exists() and not (tmp_path / "store.partial").exists()
    make(GOOD)
    vocab = tmp_path / "vocab.txt"
    (tmp_path / "list").write_text("part.gz\t1\ngone.gz\t1\n")
    with pytest.raises(InputError, match="list line 2: no such file: gone.gz"):
        build_from_baidu([tmp_path / "list"], vocab, tmp_path / "x")
    (tmp_path / "list").write_text("part.gz\tmany\n")
    with pytest.raises(InputError, match="list line 1: mask_word_prob 'many' is not a number"):
        build_from_baidu([tmp_path / "list"], vocab, tmp_path / "x")
    with pytest.raises(InputError, match="absent: no such file"):
        build_from_baidu([tmp_path / "absent"], vocab, tmp_path / "x")
    for name in ("n" * 300, "n" * 5000, "n\0n"):
        (tmp_path / "list").write_text(f"{name}\t1\n")
        with pytest.raises(InputError, match="list line 1: no such file: n") as raised:
            build_from_baidu([tmp_path / "list"], vocab, tmp_path / "x")
        assert len(str(raised.value)) < 500
        with pytest.raises(InputError, match="no such file"):
            build_from_baidu([tmp_path / name], vocab, tmp_path / "x")
    whole = (tmp_path / "part.gz").read_bytes()
    (tmp_path / "part.gz").write_bytes(whole[:-12])
    _, rejected = build_from_baidu([tmp_path / "part.gz"], vocab, tmp_path / "cut")
    assert "file cut short or damaged" in str(rejected)


def masked_whole(store, seed=1) -> tuple[float, int]:
    """Share of the words of several pieces with a masked piece that were masked whole, and how many there are."""
    corpus, task = Corpus([store], max_length=512), tasks.load("knowledge_masking", {"basic": 0.3, "phrase": 0.3})
    batches = Batches(task, [task], corpus, seed=seed, task_id=0, batch_tokens=200_000, window=1)
    batch, = batches.at(0)
    chosen = np.zeros(batch.token_ids.size, bool)
    chosen[batch.targets["knowledge_masking"].positions] = True
    window, rows = batches.rows(0)
    whole = partly = 0
    chosen = chosen.reshape(batch.token_ids.shape)
    for row, example in enumerate(rows):
        first = window.first[example]
        column = 1
        for start, stop in zip(window.starts[first:first + window.counts[example]],
                               window.stops[first:first + window.counts[example]]):
            units = np.cumsum(store.flags[start:stop] & UNIT_START > 0)
            hit, size = np.bincount(units, chosen[row, column:column + stop - start]), np.bincount(units)
            whole += ((hit == size) & (size > 1)).sum()
            partly += ((hit > 0) & (hit < size)).sum()
            column += stop - start + 1
    return whole / max(1, whole + partly), whole + partly


def test_mask_word_prob_is_the_chance_of_masking_by_word(data, tmp_path):
    vocab, part = data("baidu_release/config/vocab.txt"), data("baidu_release/data/demo_valid_set.gz")
    with gzip.open(part, "rb") as file:
        instances = sum(1 for _ in file)
    shares = {}
    for chance in (0.0, 0.5, 1.1):
        (tmp_path / "list").write_text(f"{part}\t{chance}\n")
        manifest, rejected = build_from_baidu([tmp_path / "list"], vocab, tmp_path / f"store-{chance}")
        assert manifest["documents"] == instances and rejected.total == 0
        shares[chance], count = masked_whole(Store(tmp_path / f"store-{chance}"))
        assert count > 1000
    assert shares[0.0] < 0.25 and 0.3 < shares[0.5] < 0.7 and shares[1.1] == 1


def test_joined_stores_keep_the_mask_word_prob_of_their_files(make, tmp_path):
    paths = []
    for number, (lines, chance) in enumerate([(GOOD, "0.25"), ([GOOD[0], "nonsense", GOOD[1]], "0.75")]):
        make(lines, chance)
        paths.append((tmp_path / "store").rename(tmp_path / str(number)))
    joined = join_stores(paths, tmp_path / "joined")
    assert joined["classes"] == ["0", "1"] and sum(joined["rejected"].values()) == 1
    corpus = Corpus([tmp_path / "joined"])
    assert joined["tokens"] == 14
    assert corpus.unit_chances(0, np.arange(14)).tolist() == [0.25] * 7 + [0.75] * 7


def test_the_released_file_is_read_as_it_is(data, tmp_path):
    """The rows of a batch without masking are the lines of the file."""
    vocab, part = data("baidu_release/config/vocab.txt"), data("baidu_release/data/demo_train_set.gz")
    build_from_baidu([part], vocab, tmp_path / "store")
    with gzip.open(part, "rt") as file:
        lines = {tuple(line.strip().split(";")[k] for k in (0, 1, 4)) for line in file}
    task = tasks.load("given_label")
    batches = Batches(task, [], Corpus([tmp_path / "store"]), seed=1, task_id=0, batch_tokens=8192)
    for batch in batches.at(3):
        for ids, sentences, length, label in zip(batch.token_ids, batch.token_type_ids, batch.lengths,
                                                 batch.targets["given_label"].labels):
            assert (" ".join(map(str, ids[:length])), " ".join(map(str, sentences[:length])), str(label)) in lines
