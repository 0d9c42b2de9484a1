"""Wikipedia dumps (``*-pages-articles*.xml``, usually ``.bz2``) as articles of running text.

An article is a document: its title, then its paragraphs. Left out and counted: redirects, disambiguation pages, pages
of other namespaces, pages without running text. Tables and files with their captions are cut out, then gensim's
``filter_wiki`` takes away references, templates and markup; headings and lists are dropped by rule. Chinese variant
marks ``-{zh-hans:A;zh-hant:B}-`` become the simplified form; the rest of a Chinese dump is a mixture that
--convert t2s makes simplified.

A multistream dump is cut at its streams, so that many processes can read one file.
"""
from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Optional
from xml.etree import ElementTree

from reader.text.formats.base import Document, Record, Span
from reader.text.formats.compression import DAMAGE, compression, open_compressed
from reader.text.rejected import DISAMBIGUATION, NO_ARTICLE, NO_PROSE, REDIRECT, Rejected

BLOCK = 1 << 20
MAX_PAGE = 1 << 24
STREAM = re.compile(rb"BZh[1-9]1AY&SY")
SHORTEST = {"en": 60, "zh": 20}  # characters of a paragraph of running text
LISTED = "*#:;|!{}=<"
_ENDS = ".!?\"'”’)。！？」』）"
_MARKUP = re.compile("'{2,}|__[A-Z]+__")
_FILE = re.compile(r"\[\[\s*(?:File|Image|Media|文件|檔案|档案|图像|圖像)\s*:", re.IGNORECASE)
_BRACKETS = re.compile(r"\[\[|\]\]")
LONGEST_FILE = 10_000
_SPACE = re.compile(r"\s+")
# what removed templates leave behind: "( , born 1809)", "()"
_HOLES = ((re.compile(r"\( ?(?:[;,:] ?)+"), "("), (re.compile(r"\( ?\)"), ""), (re.compile(r" +([,;:.)])"), r"\1"),
          (re.compile("（[；，：、 ]+"), "（"), (re.compile("（ ?）"), ""))
_DISAMBIGUATION = re.compile(r"\{\{\s*(?:[\w -]*disambig[\w -]*|dab|hndis|geodis|消歧[义義][^|}]*)\s*[|}]",
                             re.IGNORECASE)
_VARIANT = re.compile(r"-\{([^{}]*)\}-")
_PREFERRED = ("zh-cn", "zh-hans", "zh-sg", "zh")


def wikipedia_records(span: Span, language: str, rejected: Rejected) -> Iterator[Record]:
    """Yield a record for each page that begins in the span."""
    try:
        for page in pages(span, rejected):
            yield Record(len(page), partial(read_page, page, language, span.path, rejected))
    except (*DAMAGE, zlib.error) as error:
        rejected.add("file cannot be read to its end", span.path, None, str(error))


def read_page(page: bytes, language: str, path: str, rejected: Rejected) -> Iterator[Document]:
    """Parse one ``<page>`` element; yields its article, or nothing."""
    try:
        element = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        rejected.add("page is not XML", path, None, str(error))
        return
    title, text = element.findtext("title") or "", element.findtext("revision/text") or ""
    space = element.findtext("ns")
    if space not in (None, "0") or space is None and ":" in title:
        rejected.add(NO_ARTICLE, path, None, title)
    elif element.find("redirect") is not None or text.lstrip().lower().startswith(("#redirect", "#重定向")):
        rejected.add(REDIRECT, path, None, title)
    elif title.endswith(("(disambiguation)", "(消歧义)", "(消歧義)")) or _DISAMBIGUATION.search(text):
        rejected.add(DISAMBIGUATION, path, None, title)
    elif paragraphs := article_text(text, language):
        yield Document([title, *paragraphs])
    else:
        rejected.add(NO_PROSE, path, None, title)


def article_text(wikitext: str, language: str) -> list[str]:
    """Return the paragraphs of an article: running text without headings, lists, tables, references and captions."""
    from gensim.corpora.wikicorpus import filter_wiki
    if language == "zh":
        wikitext = _VARIANT.sub(lambda match: simplified(match[1]), wikitext)
    paragraphs = []
    for line in filter_wiki(without_files(without_tables(wikitext))).split("\n"):
        line = _SPACE.sub(" ", _MARKUP.sub("", line)).strip()
        if len(line) < SHORTEST[language] or line[0] in LISTED or line[-1] not in _ENDS:
            continue
        for pattern, replacement in _HOLES:
            line = pattern.sub(replacement, line)
        paragraphs.append(_SPACE.sub(" ", line))
    return paragraphs


def without_tables(wikitext: str) -> str:
    """Remove tables, nested ones too; a table that is never closed is left as it is."""
    kept, depth, start = [], 0, 0  # start: lines kept when the outermost table began
    lines = wikitext.split("\n")
    for number, line in enumerate(lines):
        mark = line.lstrip(" :*#")[:2]
        if mark == "{|":
            start = number if depth == 0 else start
            depth += 1
        elif mark == "|}" and depth:
            depth -= 1
        elif not depth:
            kept.append(line)
    return "\n".join(kept + lines[start:] if depth else kept)


def without_files(wikitext: str) -> str:
    """Remove ``[[File:...]]`` and its captions, which may hold links."""
    pieces, place = [], 0
    for match in _FILE.finditer(wikitext):
        if match.start() < place:
            continue
        depth, end = 0, None
        for bracket in _BRACKETS.finditer(wikitext, match.start(), match.start() + LONGEST_FILE):
            depth += 1 if bracket[0] == "[[" else -1
            if depth == 0:
                end = bracket.end()
                break
        if end:
            pieces.append(wikitext[place:match.start()])
            place = end
    return "".join(pieces) + wikitext[place:]


def simplified(marked: str) -> str:
    """Return a language variant mark as a reader of simplified Chinese sees it; a rule alone shows nothing."""
    flag, bar, rules = marked.partition("|")
    if bar and re.fullmatch("[A-Z+-; ]*", flag):
        if any(letter in flag for letter in "HT-"):
            return ""
        marked = rules
    choices = {}
    for rule in marked.split(";"):
        name, colon, value = rule.partition(":")
        if colon and name.strip().lower().startswith("zh"):
            choices[name.strip().lower()] = value.rpartition("=>")[2]
    return next((choices[name] for name in _PREFERRED if name in choices), next(iter(choices.values()), marked))


def pages(span: Span, rejected: Rejected) -> Iterator[bytes]:
    """Yield the ``<page>`` elements that begin in the span, as bytes; the last one may reach beyond it."""
    buffer, owned = b"", 0  # owned: bytes of the buffer that lie in the span
    for data, within in _blocks(span):
        buffer += data
        owned = len(buffer) if within else owned
        place = 0
        while True:
            start = buffer.find(b"<page>", place)
            if start < 0:
                place = max(place, len(buffer) - 5)
                break
            if start >= owned:
                return
            end = buffer.find(b"</page>", start)
            if end >= 0:
                yield buffer[start:end + 7]
                place = end + 7
            elif len(buffer) - start > MAX_PAGE:
                rejected.add(f"page larger than {MAX_PAGE >> 20} MiB", span.path)
                place = start + 6
            else:
                place = start
                break
        buffer, owned = buffer[place:], owned - place
        if not within and owned <= 0:
            return


def _blocks(span: Span) -> Iterator[tuple[bytes, bool]]:
    """Decompressed blocks from the span's start on, and whether they lie in the span."""
    if compression(span.path) == ".bz2":
        yield from _bz2_blocks(span)
        return
    with open_compressed(span.path) as file:
        if span.start:
            file.seek(span.start)
        place = span.start
        while data := file.read(BLOCK if span.stop is None or place >= span.stop else min(BLOCK, span.stop - place)):
            yield data, span.stop is None or place < span.stop
            place += len(data)


def _bz2_blocks(span: Span) -> Iterator[tuple[bytes, bool]]:
    with open(span.path, "rb") as file:
        begin = _first_stream(file, span.start, span.stop)
        if begin is None:
            return
        file.seek(begin)
        packed = b""
        while packed := packed or file.read(BLOCK):
            within = span.stop is None or file.tell() - len(packed) < span.stop
            decompressor = bz2.BZ2Decompressor()
            while not decompressor.eof:
                packed = packed or file.read(BLOCK)
                if not packed:
                    raise EOFError("the compressed file ends in the middle")
                data, packed = decompressor.decompress(packed), b""
                if data:
                    yield data, within
            packed = decompressor.unused_data


def _first_stream(file, start: int, stop: Optional[int]) -> Optional[int]:
    """The offset of the first bz2 stream that begins in [start, stop)."""
    if start == 0:
        return 0
    file.seek(start)
    place, before = start, b""
    while stop is None or place < stop:
        data = file.read(BLOCK)
        if not data:
            return None
        match = STREAM.search(before + data)
        if match:
            found = place - len(before) + match.start()
            return found if stop is None or found < stop else None
        before, place = (before + data)[-9:], place + len(data)
    return None
