"""The embedded demo corpora: real text that installed packages ship, as stores."""
from __future__ import annotations

import bz2
import json
import os
import re
import shutil
from pathlib import Path

from reader.build import build_corpus
from reader.errors import InputError
from reader.vocab import build_vocab

WIKIPEDIA = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
DEV_EVERY = 10  # every tenth document is dev
_MARKUP = re.compile("'{2,}|__[A-Z]+__")
_HOLES = ((re.compile(r"\(\s*(?:[;,:]\s*)+"), "("), (re.compile(r"\(\s*\)"), ""), (re.compile(r"\s+([,;:.)])"), r"\1"),
          (re.compile(r"\s+"), " "))  # what removed templates leave behind: "( , born 1809)", "()"
LISTED = "*#:;|!{}=<"


def prepare_demo(language: str, output, vocab_size: int = 8000, workers: int = 1, progress=None) -> Path:
    """Make the demo's data at ``output``: text/{train,dev}.jsonl, vocab.txt, train/, dev/ (stores); for zh also pairs/.

    Documents are split between train and dev; the vocabulary, phrases and names are learnt from train alone. The
    directory is whole or absent; when it is there already, nothing is done.

    Raises:
        InputError: the package with the text is missing, or ``output`` holds something else.
    """
    output, recipe = Path(output), {"language": language, "vocab_size": vocab_size, "version": 1}
    if (output / "demo.json").exists() and json.loads((output / "demo.json").read_text()) == recipe:
        return output
    if output.exists() and any(output.iterdir()) and not (output / "demo.json").exists():
        raise InputError("output exists and is not demo data: choose another place", output)
    partial = Path(f"{output}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "text").mkdir(parents=True)
    documents = SOURCES[language]()
    write_split(documents, partial / "text")
    train, vocab = partial / "text" / "train.jsonl", partial / "vocab.txt"
    build_vocab(train, language, vocab_size, vocab)
    build_corpus(train, language, vocab, partial / "train", workers=workers, progress=progress)
    build_corpus(partial / "text" / "dev.jsonl", language, vocab, partial / "dev", like=partial / "train")
    (partial / "demo.json").write_text(json.dumps(recipe) + "\n")
    shutil.rmtree(output, ignore_errors=True)
    os.rename(partial, output)
    return output


def write_split(documents: list[tuple[str, list[str]]], folder: Path) -> None:
    """(title, paragraphs) pairs to train.jsonl and dev.jsonl."""
    for name, wanted in (("train", False), ("dev", True)):
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for index, (title, paragraphs) in enumerate(documents):
                if (index % DEV_EVERY == DEV_EVERY - 1) == wanted:
                    record = {"title": title, "text": "\n".join(paragraphs)}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def wikipedia() -> list[tuple[str, list[str]]]:
    """(title, paragraphs) of the 106 English Wikipedia articles that the gensim package ships."""
    try:
        import gensim
        from gensim.corpora.wikicorpus import extract_pages, filter_wiki
    except ImportError as error:
        raise InputError(f"the English demo needs the gensim package: pip install gensim ({error})") from None
    path = Path(gensim.__file__).parent / WIKIPEDIA
    if not path.exists():
        raise InputError("the gensim package does not ship its Wikipedia sample here", path)
    articles = []
    with bz2.open(path) as file:
        for title, text, _ in extract_pages(file, filter_namespaces=("0",)):
            if not text.lstrip().lower().startswith("#redirect") and ":" not in title:
                articles.append((title, prose(filter_wiki(text))))
    return [(title, paragraphs) for title, paragraphs in articles if paragraphs]


def prose(text: str) -> list[str]:
    """The paragraphs of an article whose markup is stripped: running text, no headings, lists, tables, captions."""
    paragraphs = []
    for line in text.split("\n"):
        line = _MARKUP.sub("", line).strip()
        if len(line) < 60 or line[0] in LISTED or line[-1] not in ".!?\"'”’)":
            continue
        for pattern, replacement in _HOLES:
            line = pattern.sub(replacement, line)
        paragraphs.append(line)
    return paragraphs


SOURCES = {"en": wikipedia}
