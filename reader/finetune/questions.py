"""SQuAD-style json: CMRC 2018, DRCD, DuReader and SQuAD itself, read one article at a time."""
from __future__ import annotations

import json
from functools import lru_cache

from reader.errors import InputError
from reader.finetune.rows import Account, QuestionRow

BLOCK = 1 << 20  # characters read at a time


class Questions:
    """The questions of one file.

    Args:
        path: the file. labelled: questions without an answer are left out and counted. simplify: the model reads
            traditional characters converted to simplified ones. strict: see ``Table``.
    """

    def __init__(self, path, *, labelled: bool = True, simplify: bool = False, strict: bool = True):
        self.path, self.labelled, self.simplify = path, labelled, simplify
        self.account = Account(path, strict, "article")

    def __iter__(self):
        number = 0
        for number, article in enumerate(_articles(self.path), 1):
            for paragraph in self._list(article, "paragraphs", number):
                original = paragraph.get("context")
                if not isinstance(original, str):
                    self.account.reject("no context", number, f"article {number}: a paragraph has no context")
                    continue
                context = simplified(original) if self.simplify else original
                for entry in self._list(paragraph, "qas", number):
                    row = self._row(entry, context, original, number)
                    if row is not None:
                        self.account.rows += 1
                        yield row
        if not number:
            raise InputError("holds no articles", self.path)
        self.account.finish()

    def _list(self, mapping, key: str, number: int) -> list:
        found = mapping.get(key) if isinstance(mapping, dict) else None
        if not isinstance(found, list):
            raise InputError(f"article {number} has no list {key!r}: expected SQuAD's data, paragraphs, qas, answers",
                             self.path)
        return found

    def _row(self, entry: dict, context: str, original: str, number: int):
        if not isinstance(entry, dict) or "question" not in entry or "id" not in entry:
            return self.account.reject("no question or no id", number,
                                       f"article {number}: a question without `question` or `id`")
        answers, starts = [], []
        for answer in entry.get("answers") or []:
            text = answer.get("text", "") if isinstance(answer, dict) else ""
            if text and text not in answers:
                answers.append(text)
                starts.append(locate(original, text, answer.get("answer_start", -1)))
        if self.labelled and not answers:
            return self.account.skip("no answer", number)
        if answers and starts[0] < 0:
            self.account.note("an answer that its passage does not hold", number)
        question = simplified(entry["question"]) if self.simplify else entry["question"]
        return QuestionRow(str(entry["id"]), question, context, original, answers, starts)


def locate(context: str, answer: str, start: int) -> int:
    """Where the answer stands: at ``start`` if it does, else the occurrence nearest to it; -1 when there is none."""
    start = start if isinstance(start, int) else -1
    if start >= 0 and context.startswith(answer, start):
        return start
    before, after = context.rfind(answer, 0, max(start, 0) + len(answer)), context.find(answer, max(start, 0))
    found = [place for place in (before, after) if place >= 0]
    return min(found, key=lambda place: abs(place - start)) if found else -1


@lru_cache(maxsize=1)
def _converter():
    try:
        import opencc
    except ImportError:
        raise InputError("traditional text needs OpenCC: pip install OpenCC (or this package's extra `zh`)") from None
    return opencc.OpenCC("t2s")


def simplified(text: str) -> str:
    """Simplified characters, exactly one for each character of ``text``, so that offsets stay true.

    Phrases are converted as OpenCC does; only where that changes the length, its characters are converted one by one.
    """
    convert = _converter().convert
    whole = convert(text)
    if len(whole) == len(text):
        return whole
    if len(text) == 1:
        return text
    middle = len(text) // 2
    return simplified(text[:middle]) + simplified(text[middle:])


def _articles(path):
    """The members of the list ``data``, decoded one after the other: memory holds one article, not the file."""
    decoder, buffer, position, finished = json.JSONDecoder(), "", 0, False
    try:
        with open(path, encoding="utf-8-sig") as file:
            while '"data"' not in buffer or "[" not in buffer[buffer.index('"data"'):]:
                block = file.read(BLOCK)
                if not block:
                    raise InputError('no list "data": expected SQuAD-style json', path)
                buffer += block
            position = buffer.index("[", buffer.index('"data"')) + 1
            while True:
                while position < len(buffer) and buffer[position] in " \t\r\n,":
                    position += 1
                if buffer.startswith("]", position):
                    return
                try:
                    article, end = decoder.raw_decode(buffer, position)
                except ValueError as error:
                    if finished:
                        raise InputError(f"not valid json, or cut short ({error})", path) from None
                    # the article goes on: read as much again as is held, so that a long one is not decoded too often
                    block = file.read(max(BLOCK, len(buffer) - position))
                    buffer, position, finished = buffer[position:] + block, 0, not block
                    continue
                yield article
                position = end
    except UnicodeDecodeError:
        raise InputError("not UTF-8", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from None
