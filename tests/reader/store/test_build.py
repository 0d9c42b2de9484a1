"""A store holds what the text says, whatever the number of workers and however often the build was stopped."""
import json
import random
from pathlib import Path

import numpy as np
import pytest

from reader.store import build
from reader.store.build import build_corpus, join_stores
from reader.store.pipeline import PartTokens, cut_documents
from reader.store.report import describe
from reader.store.store import OFFSET_ARRAYS, TOKEN_ARRAYS, Store
from reader.text.annotators import Annotator
from reader.text.flags import CAPITAL, UNIT_START, WORD_START
from reader.utils.errors import InputError
from tests.reader.texts import TOKENIZER, VOCAB, stored_units


@pytest.fixture
def vocab(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", "utf-8")
    return path


def corpus(path, documents=60, seed=0):
    words = ["The cat sat.", "Mr. Smith ran in New York City!", "It was unwanted?", "“Run,” he said."]
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(documents):
            text = "\n".join(" ".join(rng.choices(words, k=4)) for _ in range(3))
            file.write(json.dumps({"text": text}) + "\n")
    return path


def arrays(path):
    store = Store(path)
    return {name: np.array(getattr(store, name)) for name in TOKEN_ARRAYS + OFFSET_ARRAYS}


def same(a, b):
    return all((x == y).all() for x, y in zip(a.values(), b.values()))


def test_a_three_sentence_document(tmp_path, vocab):
    (tmp_path / "a.txt").write_text("The cat sat with Smith in New York. It ran!\n\nUnwanted.\n", "utf-8")
    manifest = build_corpus(tmp_path / "a.txt", "en", vocab, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert (manifest["documents"], manifest["paragraphs"], manifest["sentences"]) == (1, 2, 3)
    bounds = store.sentences.tolist()
    assert stored_units(store, bounds[0], bounds[1]) == [
        ("the", "word"), ("cat", "word"), ("sat", "word"), ("with", "word"), ("smith", "entity"), ("in", "word"),
        ("new york", "entity"), (".", "word")]
    assert stored_units(store, bounds[2], bounds[3]) == [("unwanted", "word"), (".", "word")]
    assert (store.flags[bounds[2]:] & WORD_START > 0).tolist() == [True, False, False, True]
    assert (store.flags[bounds[2]:] & CAPITAL > 0).tolist() == [True, True, True, False]
    assert manifest["units"] == {"word": 11, "phrase": 0, "entity": 2}
    assert manifest["tokens"] == len(store.ids) == sum(len(TOKENIZER.encode(text).ids) for text in (
        "The cat sat with Smith in New York. It ran!", "Unwanted."))


@pytest.mark.parametrize("workers, part", [(1, 1 << 26), (2, 700)])
def test_parts_and_workers_do_not_change_the_store(tmp_path, vocab, workers, part, monkeypatch):
    source = corpus(tmp_path / "a.jsonl")
    build_corpus(source, "en", vocab, tmp_path / "one")
    monkeypatch.setattr(build, "PART_BYTES", (part, part))
    build_corpus(source, "en", vocab, tmp_path / "many", workers=workers)
    assert same(arrays(tmp_path / "one"), arrays(tmp_path / "many"))
    assert Store(tmp_path / "one").fingerprint == Store(tmp_path / "many").fingerprint


def test_shards_together_are_the_whole(tmp_path, vocab, monkeypatch):
    source = corpus(tmp_path / "a.jsonl")
    monkeypatch.setattr(build, "PART_BYTES", (900, 900))
    whole = build_corpus(source, "en", vocab, tmp_path / "whole")
    parts = [build_corpus(source, "en", vocab, tmp_path / f"part{k}", shard=(k, 3)) for k in range(3)]
    assert sum(part["tokens"] for part in parts) == whole["tokens"] and all(part["tokens"] for part in parts)
    assert sum(part["units"]["entity"] for part in parts) == whole["units"]["entity"]


def test_a_store_that_is_replaced_in_one_process_is_annotated_by_what_its_own_input_teaches(tmp_path, vocab):
    old, new = (tmp_path / f"{name}.txt" for name in ("old", "new"))
    old.write_text("The cat sat. It was unwanted?\n\n" * 200, "utf-8")
    new.write_text("The cat ran with Smith in New York. New York City ran.\n\n" * 200, "utf-8")
    build_corpus(old, "en", vocab, tmp_path / "store")
    replaced = build_corpus(new, "en", vocab, tmp_path / "store", replace_old=True)
    fresh = build_corpus(new, "en", vocab, tmp_path / "elsewhere")
    assert (replaced["units"], replaced["fingerprint"]) == (fresh["units"], fresh["fingerprint"])


def test_joined_shards_are_the_whole(tmp_path, vocab, monkeypatch):
    source = corpus(tmp_path / "a.jsonl")
    monkeypatch.setattr(build, "PART_BYTES", (900, 900))
    shards = [tmp_path / f"part{k}" for k in range(2)]
    for k, shard in enumerate(shards):
        build_corpus(source, "en", vocab, shard, shard=(k, 2))
    joined = join_stores(shards, tmp_path / "joined")
    one, two, both = (arrays(path) for path in (*shards, tmp_path / "joined"))
    assert all((both[name] == np.r_[one[name], two[name]]).all() for name in TOKEN_ARRAYS)
    for name in OFFSET_ARRAYS:
        assert (np.diff(both[name]) == np.r_[np.diff(one[name]), np.diff(two[name])]).all()
    assert joined["tokens"] == len(Store(tmp_path / "joined"))
    with pytest.raises(InputError, match="output exists"):
        join_stores(shards, shards[0])


@pytest.mark.parametrize("rank, size", [("PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM"), ("SLURM_PROCID", "SLURM_NTASKS"),
                                        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")])
def test_a_scheduler_numbers_the_shards(rank, size, monkeypatch):
    from ernie.commands.build_corpus import scheduled_shard
    with pytest.raises(InputError, match="no scheduler"):
        scheduled_shard()
    monkeypatch.setenv(rank, "2")
    monkeypatch.setenv(size, "5")
    assert scheduled_shard() == (2, 5)


def test_parts_are_cleared_away_after_a_build_that_was_killed_at_its_end(tmp_path, vocab, monkeypatch):
    source = corpus(tmp_path / "a.jsonl")
    real = build.shutil.rmtree

    def stopping(path, **options):
        if (tmp_path / "store").exists():
            raise KeyboardInterrupt
        real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(build.shutil, "rmtree", stopping)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(source, "en", vocab, tmp_path / "store")
    assert (tmp_path / "store.parts").exists()
    stamp = (tmp_path / "store" / "manifest.json").stat().st_mtime_ns
    build_corpus(source, "en", vocab, tmp_path / "store")
    assert (tmp_path / "store" / "manifest.json").stat().st_mtime_ns == stamp
    assert not (tmp_path / "store.parts").exists()


def test_a_stopped_build_goes_on(tmp_path, vocab, monkeypatch):
    source = corpus(tmp_path / "a.jsonl")
    monkeypatch.setattr(build, "PART_BYTES", (900, 900))
    build_corpus(source, "en", vocab, tmp_path / "whole")
    real, built = build.build_part, []

    def stopping(recipe, spans, folder, index):
        if len(built) == 3:
            raise KeyboardInterrupt
        real(recipe, spans, folder, index)
        built.append(index)

    monkeypatch.setattr(build, "build_part", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(source, "en", vocab, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    half = tmp_path / "store.parts" / "000003.partial"  # a part that was being written
    half.mkdir()
    first = tmp_path / "store.parts" / "000000" / "manifest.json"
    older = json.loads(first.read_text())
    del older["unknown"]  # as an earlier version wrote it
    first.write_text(json.dumps(older))
    monkeypatch.setattr(build, "build_part", lambda *args: (built.append(args[3]), real(*args)))
    build_corpus(source, "en", vocab, tmp_path / "store")
    assert built == sorted(set(built)) and len(built) > 5, "finished parts were built again"
    assert same(arrays(tmp_path / "whole"), arrays(tmp_path / "store")) and not (tmp_path / "store.parts").exists()
    built.clear()
    build_corpus(source, "en", vocab, tmp_path / "store")
    assert built == [], "a whole store was built again"


def test_changed_input_or_options_build_again_on_request(tmp_path, vocab):
    source = corpus(tmp_path / "a.jsonl", 5)
    first = build_corpus(source, "en", vocab, tmp_path / "store")
    corpus(source, 6)
    with pytest.raises(InputError, match="holds a store of other input or options"):
        build_corpus(source, "en", vocab, tmp_path / "store")
    replaced = build_corpus(source, "en", vocab, tmp_path / "store", replace_old=True)
    assert replaced["documents"] == first["documents"] + 1


def test_files_that_options_and_annotators_come_from_are_input_too(tmp_path, vocab, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = """from reader.text.annotators import english
class Loud(english.English):
    def __init__(self, words=None):
        super().__init__()
        self.words = open(words).read().split()
    def convert(self, document):
        return [paragraph.replace("cat", CALLED + self.words[0]) for paragraph in document]
CALLED = "dog"
"""
    module, words = tmp_path / "my_annotators.py", tmp_path / "words.txt"
    source = corpus(tmp_path / "a.jsonl", 3)
    given = {"annotator": "my_annotators:Loud", "options": {"words": str(words)}}
    module.write_text(code)
    words.write_text("Smith")
    found = [build_corpus(source, "en", vocab, tmp_path / "store", **given) for _ in range(2)]
    assert found[0] == found[1]
    words.write_text("Johns")  # of the same size
    with pytest.raises(InputError, match="holds a store of other input or options"):
        build_corpus(source, "en", vocab, tmp_path / "store", **given)
    words.write_text("Smith")
    module.write_text(code.replace("dog", "cow"))
    with pytest.raises(InputError, match="holds a store of other input or options"):
        build_corpus(source, "en", vocab, tmp_path / "store", **given)


def test_a_build_cuts_long_documents(tmp_path, vocab):
    texts = ["\n".join(["the cat sat"] * 5), "run\nrun", "\n".join(["cat", "the cat sat the cat sat", "cat", "cat"])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    manifest = build_corpus(tmp_path / "a.jsonl", "en", vocab, tmp_path / "store", document_tokens=6)
    store = Store(tmp_path / "store")
    assert np.diff(store.documents).tolist() == [2, 2, 1, 2, 1, 1, 2] and manifest["documents"] == 7
    assert store.back[6:9].tolist() == [0, 0, 0], "an occurrence in another document was counted"


def test_like_uses_what_another_store_has_learnt(tmp_path, vocab):
    build_corpus(corpus(tmp_path / "a.jsonl", 30), "en", vocab, tmp_path / "train")
    build_corpus(corpus(tmp_path / "b.jsonl", 1, seed=1), "en", vocab, tmp_path / "dev", like=tmp_path / "train")
    for name in ("phrases.txt", "names.txt"):
        assert (tmp_path / "dev/annotator" / name).read_text() == (tmp_path / "train/annotator" / name).read_text()


def test_like_is_held_to_language_and_annotator(tmp_path, vocab):
    source = corpus(tmp_path / "a.jsonl", 3)
    build_corpus(source, "en", vocab, tmp_path / "loud", annotator=f"{__name__}:Shouting")
    build_corpus(source, "en", vocab, tmp_path / "same", like=tmp_path / "loud")  # of one family
    with pytest.raises(InputError, match="same: is of language en, not zh: nothing can be learnt from it$"):
        build_corpus(source, "zh", vocab, tmp_path / "other", like=tmp_path / "same")
    with pytest.raises(InputError, match=f"^{tmp_path}/same: its annotator is english, not {__name__}:Silent"):
        build_corpus(source, "en", vocab, tmp_path / "other", like=tmp_path / "same", annotator=f"{__name__}:Silent")
    assert not (tmp_path / "other.parts").exists()


def test_bad_documents_are_reported_and_the_good_ones_kept(tmp_path, vocab):
    rows = b'{"text": "The cat."}', b'{"text": "\xff"}', b'{"text": ""}', b'x', b'{"text": "It ran."}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    manifest = build_corpus(tmp_path / "a.jsonl", "en", vocab, tmp_path / "store")
    assert manifest["documents"] == 2 and sum(manifest["rejected"].values()) == 3
    assert "rejected 3: " in describe(manifest) and f"{tmp_path}/a.jsonl line 2: invalid UTF-8" in describe(manifest)


@pytest.mark.parametrize("call, message", [
    ({"inputs": "nowhere.txt"}, "input not found"), ({"layout": "pages"}, "unknown layout 'pages'"),
    ({"language": "fr"}, "unknown language 'fr'"), ({"annotator": "nobody"}, "unknown annotator 'nobody'"),
    ({"annotator": "no.such:Class"}, "cannot be loaded"), ({"options": {"x": "y"}}, "knows no option x"),
    ({"vocab_file": "none.txt"}, "vocabulary file not found"), ({"inputs": "empty.txt"}, "no usable document"),
    ({"output": "."}, "is not a corpus store"), ({"like": "empty.txt"}, "not a corpus store"),
    ({"annotator": "json:JSONDecoder"}, "annotator 'json:JSONDecoder' is none: it lacks annotate, convert, describe, "),
    ({"annotator": "chinese"}, "annotator 'chinese' is for zh, not en"),
    ({"language": "zh", "annotator": "english"}, "annotator 'english' is for en, not zh")])
def test_bad_calls_are_one_clear_line(tmp_path, vocab, call, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text(" \n")
    corpus("a.jsonl", 1)
    given = {"inputs": "a.jsonl", "language": "en", "vocab_file": vocab, "output": "store", **call}
    with pytest.raises(InputError, match=message):
        build_corpus(**given)
    assert not Path("store").exists() and vocab.exists()


class Shouting(build.find_annotator("english")):
    """A user's own annotator: every sentence is loud."""

    def convert(self, document):
        return [paragraph.upper() for paragraph in document]


class Silent(Annotator):
    """A user's own annotator that learns nothing."""


def test_an_annotator_of_the_user(tmp_path, vocab):
    (tmp_path / "a.txt").write_text("the cat sat", "utf-8")
    build_corpus(tmp_path / "a.txt", "en", vocab, tmp_path / "store", annotator=f"{__name__}:Shouting")
    assert (Store(tmp_path / "store").flags[:] & CAPITAL > 0).all()


def test_labels_of_real_text_agree_with_it_by_offset(tmp_path, text):
    vocab = text("vocab_en.txt")
    paragraphs = text("en.txt").read_text("utf-8").splitlines()[:300]
    (tmp_path / "a.txt").write_text("\n\n".join(paragraphs), "utf-8")
    build_corpus(tmp_path / "a.txt", "en", vocab, tmp_path / "store")
    store, tokenizer, token = Store(tmp_path / "store"), build.Tokenizer.load(vocab), 0
    for paragraph in paragraphs:
        encoding = tokenizer.encode(paragraph)
        stop = token + len(encoding.ids)
        assert (store.ids[token:stop] == encoding.ids).all()
        words = np.flatnonzero(store.flags[token:stop] & WORD_START)
        for first, last in zip(words, np.r_[words[1:], stop - token] - 1):
            word = paragraph[encoding.offsets[first][0]:encoding.offsets[last][1]]
            cased = [letter for letter in word if letter.isupper() or letter.islower()]
            expected = bool(cased) and cased[0].isupper()
            assert ((store.flags[token + first:token + last + 1] & CAPITAL > 0) == expected).all(), word
        assert not (store.flags[token:stop] & UNIT_START > 0)[~(store.flags[token:stop] & WORD_START > 0)].any()
        token = stop
    assert token == len(store.ids)


def test_long_documents_are_cut_between_paragraphs():
    none = np.zeros(0)
    # a document with paragraphs of 3 + 2, 4, 9 and 1 tokens, and one whose only paragraph is longer than the limit
    sizes = np.array([3, 2, 4, 9, 1, 20]), np.array([2, 1, 1, 1, 1]), np.array([4, 1])
    tokens = PartTokens(none, none, *sizes, none, none)
    assert cut_documents(tokens, 10).documents.tolist() == [2, 2, 1]
    assert cut_documents(tokens, 1).documents.tolist() == [1, 1, 1, 1, 1]
    assert cut_documents(tokens, 100).documents.tolist() == [4, 1]
