"""Comments of a forum, in any order and number, to dialogues: the ``turns`` form of .jsonl (reader/text/formats).

A record is a line of JSON with an id, the id of what it answers, its thread, its author and its text, under the names
that Reddit's archives (``RC_*``, ``RS_*``) or ConvoKit's corpora use. A thread is a tree of comments; a document is a
chain of it, each comment an answer to the one before: the longest chain from the top, then the longest ones of what is
left. So every comment is in one document, once.

Comments are brought together through files on disk, so that memory does not grow with the archive.
"""
from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from reader.text.documents import Rejected, Span, find_inputs
from reader.text.formats.compression import compression
from reader.text.formats.lines import Lines
from reader.text.formats.plain import BREAKS
from reader.utils.errors import InputError
from reader.utils.files import atomic_write, one_writer

FIELDS = {  # of a comment: the first name that a record has
    "id": ("id", "name"), "parent": ("parent_id", "reply_to", "reply-to"),
    "thread": ("link_id", "conversation_id", "root", "thread_id"), "author": ("author", "speaker", "user"),
    "text": ("body", "text", "selftext", "content")}
DELETED = frozenset(("", "[deleted]", "[removed]"))
BUCKET_BYTES = 1 << 26  # of the archive, for each file that is put in order in memory
_KIND = re.compile("^t[0-9]_")  # Reddit writes t1_ before the id of a comment, t3_ before that of a submission


class Comment(NamedTuple):
    """A comment. parent, thread: ids, or None at the top of a thread."""

    id: str
    parent: Optional[str]
    thread: str
    author: str
    text: str


@one_writer
def build_threads(inputs: Any, output: str | Path, *, least: int = 2) -> tuple[dict[str, int], Rejected]:
    """Write the dialogues of archives of comments as .jsonl (gzipped where ``output`` ends in .gz).

    Args:
        inputs: files and folders of JSON lines, compressed or not. least: turns of a dialogue; shorter ones are left
            out and counted.
    Returns:
        ({"comments": ..., "threads": ..., "dialogues": ..., "turns": ...}, what could not be used)
    Raises:
        InputError: no dialogue in the input.
    """
    rejected = Rejected()
    files = find_inputs(inputs, rejected, json_files=False)  # ConvoKit's say other things than utterances
    counts = dict.fromkeys(("comments", "threads", "dialogues", "turns"), 0)
    size = sum(file.stat().st_size * (8 if compression(file) else 1) for file in files)
    with tempfile.TemporaryDirectory(dir=Path(output).resolve().parent) as folder:
        buckets = scatter(files, Path(folder), min(256, size // BUCKET_BYTES + 1), counts, rejected)
        with atomic_write(output, "wb") as file:
            target = gzip.GzipFile("", "wb", 6, file, mtime=0) if str(output).endswith(".gz") else file
            for bucket in buckets:
                for turns in dialogues(bucket, counts):
                    if len(turns) < least:
                        rejected.add(f"dialogue of fewer than {least} turns", None)
                        continue
                    counts["dialogues"] += 1
                    counts["turns"] += len(turns)
                    record = {"turns": [{"speaker": turn.author, "text": turn.text} for turn in turns]}
                    target.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            if target is not file:
                target.close()
            if not counts["dialogues"]:
                raise InputError(f"no dialogue in {len(files)} file(s); {rejected.line}", files[0])
    return counts, rejected


def scatter(files: list[Path], folder: Path, number: int, counts: dict[str, int], rejected: Rejected) -> list[Path]:
    """Write the usable comments to ``number`` files, those of a thread to the same one."""
    paths = [folder / str(k) for k in range(number)]
    targets = [open(path, "w", encoding="utf-8") for path in paths]  # noqa: SIM115  (closed below)
    try:
        for file in files:
            lines = Lines(Span(str(file)), rejected)
            for _, line in lines:
                comment = parse_comment(line, lines) if line else None
                if comment:
                    counts["comments"] += 1
                    target = targets[zlib.crc32(comment.thread.encode("utf-8", "replace")) % number]
                    target.write(json.dumps(comment) + "\n")
    finally:
        for target in targets:
            target.close()
    return paths


def parse_comment(line: str, lines: Lines) -> Optional[Comment]:
    """Parse the comment of a line; where there is none, reject the line and return None."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        lines.reject("line is not JSON", str(error))
        return None
    found = {name: next((record[key] for key in keys if record.get(key) is not None), None)
             for name, keys in FIELDS.items()} if isinstance(record, dict) else {}
    text = " ".join(str(part) for part in (record.get("title"), found.get("text")) if part) if found else ""
    if not found or found["id"] is None:
        lines.reject("no comment: a record without an id")
        return None
    if BREAKS.sub(" ", text).strip() in DELETED or str(found["text"]).strip() in DELETED - {""}:
        lines.rejected.add("deleted or empty comment", None)
        return None
    name = _KIND.sub("", str(found["id"]))
    parent = None if found["parent"] is None else _KIND.sub("", str(found["parent"]))
    thread = name if found["thread"] is None else _KIND.sub("", str(found["thread"]))
    return Comment(name, parent, thread, str(found["author"]), BREAKS.sub(" ", text).strip())


def dialogues(bucket: Path, counts: dict[str, int]) -> Iterator[list[Comment]]:
    """Yield the chains of all threads of a file, threads in their order of appearance."""
    threads: dict[str, dict[str, Comment]] = {}
    with open(bucket, encoding="utf-8") as file:
        for line in file:
            comment = Comment(*json.loads(line))
            threads.setdefault(comment.thread, {}).setdefault(comment.id, comment)
    counts["threads"] += len(threads)
    for comments in threads.values():
        yield from chains(comments)


def chains(comments: dict[str, Comment]) -> Iterator[list[Comment]]:
    """Cut a tree of comments into chains: the longest from the top, then the longest of what is left.

    Comments whose parents are missing, or that answer one another in a circle, begin a chain of their own.
    """
    depth, best = dict.fromkeys(comments, 1), {}  # best: the answer that begins the longest chain
    for comment in upwards(comments):
        parent = comment.parent
        if parent in comments and parent != comment.id and depth[comment.id] + 1 > depth[parent]:
            depth[parent], best[parent] = depth[comment.id] + 1, comment.id
    continued = set(best.values())
    used: set[str] = set()
    for name in comments:
        if name in continued:
            continue
        chain: list[Comment] = []
        here: str | None = name
        while here is not None and here not in used:
            used.add(here)
            chain.append(comments[here])
            here = best.get(here)
        yield chain


def upwards(comments: dict[str, Comment]) -> list[Comment]:
    """Sort the comments so that every answer stands before what it answers."""
    answers: dict[str, list[str]] = {}
    roots = []
    for comment in comments.values():
        if comment.parent in comments and comment.parent != comment.id:
            answers.setdefault(comment.parent, []).append(comment.id)
        else:
            roots.append(comment.id)
    order, stack = [], roots
    while stack:
        name = stack.pop()
        order.append(comments[name])
        stack += answers.get(name, ())
    return order[::-1]
