"""Outputs named with a slash at the end, or by a link: what is written lies where the name leads to."""
import json
from pathlib import Path

import pytest

from reader.store.build import build_corpus, join_stores
from reader.store.discourse import mine_discourse
from reader.store.integrity import verify_blocks
from reader.store.relevance import build_relevance
from reader.store.store import Store
from reader.utils.files import atomic_write
from tests.reader.texts import VOCAB


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
    text = "The cat sat in New York. But the cat ran away. So, it was unwanted by all. However, the cat ran to us."
    for name, count in (("a", 40), ("b", 50)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"{text} {'cat ' * k}"}) + "\n"
                                                      for k in range(count)))
    (folder / "markers.txt").write_text("but\nso,\n")
    (folder / "log.tsv").write_text("".join(f"cat {k}\ttitle {k}\t1\n" for k in range(40)))
    build_corpus(folder / "a.jsonl", "en", folder / "vocab.txt", folder / "store")
    return folder


def corpus(folder, output, text="a", **options):
    build_corpus(folder / f"{text}.jsonl", "en", folder / "vocab.txt", output, **options)


WRITERS = {
    "build": (corpus, [""]),
    "split": (lambda folder, output: corpus(folder, output, dev_share=0.3), ["train", "dev"]),
    "mined": (lambda folder, output: mine_discourse(folder / "store", output, markers=folder / "markers.txt", least=5),
              ["train", "dev"]),
    "log": (lambda folder, output: build_relevance(folder / "log.tsv", folder / "store", output), ["train", "dev"]),
    "joined": (lambda folder, output: join_stores([folder / "store"], output), [""])}


@pytest.mark.parametrize("name, place", [
    ("out", "out/"), ("out", "deep er/out//"), ("link", "nowhere"), ("link/", "empty"), ("train", "empty")])
@pytest.mark.parametrize("writer", WRITERS)
def test_slashes_and_links(inputs, tmp_path, monkeypatch, writer, name, place):
    write, parts = WRITERS[writer]
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    if name == "out":
        output = place
    elif name.startswith("link"):
        Path("link").symlink_to(place)
        output = name
    elif parts == [""]:
        pytest.skip("a single store has no part that could be a link")
    else:  # one of its parts lies elsewhere
        Path("out").mkdir()
        Path("out/train").symlink_to(tmp_path / place)
        output = "out"
    if writer == "joined" and place == "empty":
        pytest.skip("an output of join-corpus must not exist")
    links = [path for path in tmp_path.rglob("*") if path.is_symlink()]
    write(inputs, output)
    assert all(path.is_symlink() for path in links)
    for part in parts:
        verify_blocks(Store(Path(output) / part))
    stores = {path.parent for path in tmp_path.rglob("ids.npy")}
    rest = {path for path in tmp_path.rglob("*") if path not in stores and not stores & set(path.parents)
            and not path.is_dir() and not path.is_symlink()}
    assert len(stores) == len(parts) and not rest
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".old", ".parts", ".partial", ".lock")]


@pytest.mark.parametrize("output", ["store/", "link", "link/"])
def test_a_store_is_replaced_where_it_lies(inputs, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    corpus(inputs, "store")
    Path("link").symlink_to("store")
    corpus(inputs, output, "b", replace_old=True)
    assert Store("store").manifest["documents"] == 50 and Path("link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "store"]
    mine_discourse("store", "pairs", markers=inputs / "markers.txt", least=5)
    Path("pairs/train").rename("elsewhere")
    Path("pairs/train").symlink_to(tmp_path / "elsewhere")
    mine_discourse("link", "pairs/", markers=inputs / "markers.txt", least=5)
    assert Path("pairs/train").is_symlink() and len(Store("pairs/train")) == len(Store("elsewhere"))


def test_a_file_is_written_where_a_link_leads_to(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep/file")
    for text in ("first", "second"):
        with atomic_write(tmp_path / "link") as file:
            file.write(text)
        assert (tmp_path / "deep/file").read_text() == text and (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
