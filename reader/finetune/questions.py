"""SQuAD-style json: CMRC 2018, DRCD, DuReader and SQuAD itself, read one article at a time."""
from __future__ import annotations

import json
import re
import zlib
from functools import lru_cache
from pathlib import Path

from reader.finetune.rows import Account, QuestionRow
from reader.utils.errors import InputError
from reader.utils.files import open_maybe_gzip
from reader.utils.text import HALF

BLOCK = 1 << 20  # characters read at a time
NOT_SPACE = re.compile(r"[^ \t\r\n]")


class Questions:
    """The questions of one file.

    Args:
        path: the file. labelled: questions without an answer are left out and counted. simplify: the model reads
            traditional characters converted to simplified ones. strict: see ``Table``.
        watch_ids: count the questions whose id stood before; needs memory for all ids. no_answer: a question with
            an empty list of answers says that its passage holds none (SQuAD 2).
    """

    def __init__(self, path: str | Path, *, labelled: bool = True, simplify: bool = False, strict: bool = True,
                 watch_ids: bool = False, no_answer: bool = False):
        self.path, self.labelled, self.simplify, self.no_answer = path, labelled, simplify, no_answer
        self.seen: set[str] | None = set() if watch_ids else None
        self.account = Account(path, strict, "article")

    def __iter__(self):
        number = 0
        for number, article in enumerate(_articles(self.path), 1):
            for paragraph in self._list(article, "paragraphs", number):
                original = paragraph.get("context") if isinstance(paragraph, dict) else None
                if not isinstance(original, str):
                    self.account.reject("no context", number, f"article {number}: a paragraph has no context")
                    continue
                original = self._whole(original, number)
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
            self.account.reject(f"no list {key!r}", number, f"article {number} has no list {key!r}: expected SQuAD's "
                                "data, paragraphs, qas, answers")
            return []
        return found

    def _row(self, entry: dict, context: str, original: str, number: int):
        if not isinstance(entry, dict) or not isinstance(entry.get("question"), str) or "id" not in entry:
            return self.account.reject("no question or no id", number,
                                       f"article {number}: a question without `question` or `id`")
        name, given = self._whole(str(entry["id"]), number), entry.get("answers") or []
        if not isinstance(given, list) or not all(isinstance(answer, dict) and isinstance(answer.get("text", ""), str)
                                                  for answer in given):
            return self.account.reject("answers of another form", number, f"article {number}: question {name!r}: "
                                       "`answers` is no list of `text` and `answer_start`")
        answers, starts = self._answers(given, context, original, number)
        impossible = self.no_answer and not answers and ("answers" in entry or bool(entry.get("is_impossible")))
        if self.labelled and not answers and not impossible:
            return self.account.skip("no answer", number)
        if answers and max(starts) < 0:
            self.account.note("an answer that its passage does not hold", number)
        if self.seen is not None:
            if name in self.seen:
                self.account.note("an id that stood before", number)
            self.seen.add(name)
        question = self._whole(entry["question"], number)
        return QuestionRow(name, simplified(question) if self.simplify else question, context, original, answers,
                           starts, impossible)

    def _answers(self, given: list, context: str, original: str, number: int):
        """(texts, starts) of the answers, each once, without those that are only space."""
        answers, starts, moved = [], [], False
        for answer in given:
            text, start = self._whole(answer.get("text", ""), number), answer.get("answer_start", -1)
            if not text.strip():
                continue
            place = locate(original, text, start)
            if place < 0 and self.simplify:  # answers that were simplified already, beside a passage that was not
                place = locate(context, simplified(text), start)
                text = original[place:place + len(text)] if place >= 0 else text
            moved |= place >= 0 and place != start
            if text not in answers:
                answers.append(text)
                starts.append(place)
        if moved:
            self.account.note("an answer that does not stand at its offset but elsewhere", number)
        return answers, starts

    def _whole(self, text: str, number: int) -> str:
        """The text with halves of surrogate pairs, which nothing could write, as U+FFFD: offsets stay true."""
        if HALF.search(text):
            self.account.note("half of a surrogate pair, read as U+FFFD", number)
            text = HALF.sub("\ufffd", text)
        return text


def locate(context: str, answer: str, start: int) -> int:
    """Return where the answer stands: ``start`` if it does there, else the nearest occurrence; -1 if there is none."""
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
    """Return simplified characters, exactly one for each character of ``text``, so that offsets stay true.

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


class _Stream:
    """Json read as far as is needed: values are decoded one after the other from a buffer that grows and is cut."""

    def __init__(self, file, path):
        self.file, self.path, self.decoder = file, path, json.JSONDecoder()
        self.buffer, self.position, self.finished = "", 0, False

    def more(self) -> bool:
        """Read on, as much again as is held, so that a long value is not decoded too often. False at the end."""
        block = self.file.read(max(BLOCK, len(self.buffer) - self.position))
        self.buffer, self.position = self.buffer[self.position:] + block, 0
        self.finished = not block
        return bool(block)

    def peek(self) -> str:
        """Return the next character that is no space, without consuming it; empty at the end."""
        while True:
            found = NOT_SPACE.search(self.buffer, self.position)
            if found:
                self.position = found.start()
                return found.group()
            self.position = len(self.buffer)
            if not self.more():
                return ""

    def take(self, expected: str) -> str:
        """Consume and return the next character that is no space; raise InputError unless it is an expected one."""
        found = self.peek()
        if not found or found not in expected:
            shown = repr(self.buffer[self.position:self.position + 20]) if found else "the end of the file"
            raise InputError(f"not valid json, or cut short: expected {' or '.join(expected)}, found {shown}",
                             self.path)
        self.position += 1
        return found

    def value(self):
        """Decode and return the next value, whole; raise InputError when it is no valid json."""
        self.peek()
        while True:
            try:
                found, end = self.decoder.raw_decode(self.buffer, self.position)
            except ValueError as error:
                if self.finished or not self.more():
                    raise InputError(f"not valid json, or cut short ({error})", self.path) from None
                continue
            if end == len(self.buffer) and self.more():
                continue  # a number may go on
            self.position = end
            return found


def _articles(path):
    """The members of the list ``data``, decoded one after the other: memory holds one article, not the file."""
    seen = False
    try:
        with open_maybe_gzip(path, "rt", encoding="utf-8-sig") as file:
            stream = _Stream(file, path)
            if stream.peek() != "{":
                raise InputError('no list "data": expected SQuAD-style json', path)
            stream.take("{")
            while stream.peek() != "}":
                key = stream.value()
                stream.take(":")
                if key == "data" and stream.peek() == "[" and not seen:
                    seen = True
                    stream.take("[")
                    while stream.peek() != "]":
                        yield stream.value()
                        if stream.take(",]") == "]":
                            break
                    else:
                        stream.take("]")
                else:
                    stream.value()
                if stream.take(",}") == "}":
                    break
            else:
                stream.take("}")
            if stream.peek():
                raise InputError(f"something follows the json: {stream.buffer[stream.position:stream.position + 20]!r}",
                                 path)
            if not seen:
                raise InputError('no list "data": expected SQuAD-style json', path)
    except UnicodeDecodeError:
        raise InputError("not UTF-8", path) from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"cut short or damaged: {error}", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from None
