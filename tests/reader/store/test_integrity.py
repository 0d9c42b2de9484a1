"""Damaged stores: refused at opening, at the first read of the damaged block, or by `ernie verify`."""
import json
import random
import shutil
import time

import numpy as np
import pytest

from reader.batches.corpus import Corpus
from reader.store import integrity
from reader.store.build import join_stores
from reader.store.integrity import CHECKSUMS, verify_store
from reader.store.store import OFFSET_ARRAYS, TOKEN_ARRAYS, Store, StoreWriter
from reader.utils.errors import InputError
from tests.builders import build_store, random_documents
from tests.long_form import LONG


@pytest.fixture
def store(tmp_path):
    return build_store(tmp_path / "store", random_documents(60)).path


def change(store, name, alter) -> None:
    """Write an array of a store again as ``alter`` leaves it."""
    array = np.array(np.load(store / f"{name}.npy"))
    changed = alter(array)
    np.save(store / f"{name}.npy", array if changed is None else changed)


def put(place, value):
    def alter(array):
        array[place] = value
    return alter


@pytest.mark.parametrize("name, alter, message", [
    ("ids", lambda a: a.astype(np.float32), "type float32"), ("ids", lambda a: a.astype("U4"), "type <U4"),
    ("ids", lambda a: a.astype(np.int64), "type int64"), ("ids", lambda a: a[None], "2 dimensions"),
    ("ids", put(5, 60_000), "has id 60000"), ("ids", lambda a: a[:-1], "values, not"),
    ("sentences", lambda a: a[::-1].copy(), "does not run from 0"), ("sentences", put(0, 3), "does not run from 0"),
    ("sentences", put(2, 10 ** 9), "is smaller than the one before"), ("documents", put(-1, 7), "does not run from 0"),
    ("paragraphs", put(1, -4), "is smaller than the one before"), ("flags", lambda a: a.astype(bool), "type bool"),
])
def test_what_opening_refuses(store, name, alter, message):
    change(store, name, alter)
    with pytest.raises(InputError, match=message):
        Store(store)


@pytest.mark.parametrize("key, value", [
    ("version", 9), ("kind", "other"), ("kind", "pairs"), ("kind", 3), ("arrays", []), ("arrays", {"ids": "x"}),
    ("vocab_size", None), ("fingerprint", 3), ("language", []), ("vocab_sha256", None),
])
def test_manifests_that_opening_refuses(store, key, value):
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    with pytest.raises(InputError):
        Store(store)


@pytest.mark.parametrize("content", ["[1]", "null", "", "{", "[" * 100_000])
def test_manifests_that_are_none(store, content):
    (store / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        Store(store)


def test_a_folder_of_stores_names_them(tmp_path):
    """As `build-corpus --dev-share` leaves it."""
    for part in ("dev", "train"):
        build_store(tmp_path / part, random_documents(4))
    with pytest.raises(InputError, match=f"name one of {tmp_path / 'dev'}, {tmp_path / 'train'}$"):
        Store(tmp_path)
    with pytest.raises(InputError, match="build one with"):
        Store(tmp_path / "train" / "nothing")


def test_an_edited_vocabulary_is_noticed(store):
    tokens = (store / "vocab.txt").read_text().splitlines()
    (store / "vocab.txt").write_text("\n".join([*tokens[:6], tokens[7], tokens[6], *tokens[8:]]) + "\n")
    with pytest.raises(InputError, match="not the vocabulary"):
        Store(store)


def test_bytes_behind_an_array_are_noticed(store):
    with open(store / "ids.npy", "ab") as file:
        file.write(bytes(8192))
    with pytest.raises(InputError, match="larger than"):
        Store(store)


def flip(store, name, entry, bit=0) -> None:
    array = np.load(store / f"{name}.npy", mmap_mode="r+")
    array.view(np.uint8)[entry * array.itemsize] ^= 1 << bit
    array.flush()


@pytest.mark.parametrize("name", ["ids", "flags", "back", "ahead"])
def test_a_flipped_bit_is_noticed_at_the_first_read(store, name):
    flip(store, name, 40)
    corpus = Corpus([store])
    with pytest.raises(InputError, match=f"of {name}.npy are not what was written"):
        corpus.text(0, 0, 20)
    with pytest.raises(InputError, match=f"of {name}.npy are not what was written"):
        verify_store(Store(store))


def conversations(path):
    documents = random_documents(60)
    count = sum(len(document) for document in documents)
    return build_store(path, documents, speakers=np.arange(count) % 3).path


def test_speakers_are_held_to_their_checksums(tmp_path):
    store = conversations(tmp_path / "talk")
    assert Store(store).speakers is not None and "every block" in verify_store(Store(store))
    flip(store, "speakers", 0)
    with pytest.raises(InputError, match="of speakers.npy are not what was written"):
        Corpus([store]).text(0, 0, 20)
    with pytest.raises(InputError, match="of speakers.npy are not what was written"):
        verify_store(Store(store))
    with pytest.raises(InputError, match="of speakers.npy are not what was written"):
        join_stores([store, conversations(tmp_path / "other")], tmp_path / "joined")


def test_speakers_without_checksums_are_held_to_the_fingerprint(tmp_path):
    store = conversations(tmp_path / "talk")
    (store / CHECKSUMS).unlink()
    flip(store, "speakers", 0)
    with pytest.raises(InputError, match="not those of its fingerprint"):
        verify_store(Store(store))


@pytest.mark.parametrize("name", ["ids", "flags", "back", "ahead", "sentences"])
def test_a_flipped_bit_of_a_store_without_checksums_is_noticed_by_its_fingerprint(store, name):
    (store / CHECKSUMS).unlink()
    assert "would not be noticed" in verify_store(Store(store))
    Corpus([store]).text(0, 0, 20)  # it opens and reads as before
    flip(store, name, 10)
    with pytest.raises(InputError, match="damaged"):
        verify_store(Store(store))


def test_a_damaged_shard_is_not_joined(tmp_path, store):
    other = build_store(tmp_path / "other", random_documents(60, seed=1),
                        vocabulary=(store / "vocab.txt").read_text().splitlines()).path
    for checksums in (True, False):
        if not checksums:
            (other / CHECKSUMS).unlink()
        flip(other, "ids", 7)
        with pytest.raises(InputError, match="damaged"):
            join_stores([store, other], tmp_path / "joined")
        assert not (tmp_path / "joined").exists() and not (tmp_path / "joined.partial").exists()
        flip(other, "ids", 7)
    join_stores([store, other], tmp_path / "joined")
    verify_store(Store(tmp_path / "joined"))


def test_checksums_do_not_hang_on_how_a_store_was_written(tmp_path, monkeypatch, store):
    monkeypatch.setattr(integrity, "BLOCK", 7)
    monkeypatch.setattr("reader.store.store.BLOCK", 7)
    documents = random_documents(30)
    once = build_store(tmp_path / "once", documents)
    writer = StoreWriter(tmp_path / "twice", once.vocab_file, "en")
    for _ in range(2):
        writer.append_store(once.path)
    writer.close()
    twice = Store(tmp_path / "twice")
    assert "every block" in verify_store(twice)
    for token in range(len(twice)):
        twice.before_reading(np.array([token]))
    assert all(seen.all() for seen in twice.before_reading.seen.values())  # reading all tokens verifies all blocks


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"x" * 100),
                                    lambda file: file.write_bytes(file.read_bytes()[:-30])])
def test_damaged_checksums(store, damage):
    damage(store / CHECKSUMS)
    with pytest.raises(InputError, match="cannot be read"):
        verify_store(Store(store))


def test_a_billion_tokens_open_in_milliseconds(tmp_path):
    """A sparse file stands for the arrays: the time of opening does not hang on how many tokens there are."""
    small = build_store(tmp_path / "s", [[["a b c"]]])
    manifest = json.loads((small.path / "manifest.json").read_text())
    count = 10 ** 9
    for name in TOKEN_ARRAYS:
        np.lib.format.open_memmap(small.path / f"{name}.npy", "w+", getattr(small, name).dtype, (count,))
        manifest["arrays"][name] = count
    for name in OFFSET_ARRAYS:
        np.save(small.path / f"{name}.npy", np.array([0, count if name == "sentences" else 1]))
        manifest["arrays"][name] = 2
    (small.path / "manifest.json").write_text(json.dumps(manifest))
    begun = time.process_time()
    assert len(Store(small.path)) == count
    assert time.process_time() - begun < 0.5


def test_random_damage_is_noticed(tmp_path, store):
    """150 damaged stores (3,000 in the long form): refused when opened or verified; no other exception."""
    rng = random.Random(6)
    names = [f"{name}.npy" for name in TOKEN_ARRAYS + OFFSET_ARRAYS] + ["manifest.json", "vocab.txt", CHECKSUMS]
    for _ in range(3_000 if LONG else 150):
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        shutil.copytree(store, tmp_path / "d")
        file = tmp_path / "d" / rng.choice(names)
        raw = bytearray(file.read_bytes())
        place = rng.randrange(len(raw))
        kind = rng.randrange(5)
        if kind == 0:
            raw[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del raw[place:]
        elif kind == 2:
            raw[place:place + 64] = bytes(len(raw[place:place + 64]))
        elif kind == 3:
            raw[place:place] = rng.randbytes(rng.choice([1, 8, 4096]))
        else:
            del raw[place:place + rng.choice([1, 2, 8])]
        if bytes(raw) == file.read_bytes():
            continue
        file.write_bytes(raw)
        try:
            verify_store(Store(tmp_path / "d"))
        except InputError as error:
            assert "\n" not in str(error)
        else:  # white space, or a number of the report, which the fingerprint does not cover
            header = file.suffix == ".npy" and place < 128
            assert header or file.name in ("manifest.json", CHECKSUMS), (file.name, place)
