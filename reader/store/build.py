"""Raw text to a corpus store: in parts, on all cores, restartable, in constant memory.

The input is cut into parts that depend only on the input. Each part becomes a small store beside the output, written
under another name until it is whole, so that a build that was killed goes on where it stopped; then the parts are
appended to one another, streaming. The result does not depend on the number of workers.
"""
from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reader.store.store import NOBODY, VERSION, StoreWriter, read_manifest
from reader.text.annotators import DEFAULTS, Annotation, find_annotator
from reader.text.annotators.spans import covered
from reader.text.chunk_cache import ChunkCache
from reader.text.chunks import Block
from reader.text.documents import (
    LAYOUTS,
    Document,
    ReadOptions,
    Rejected,
    Span,
    find_inputs,
    plan_parts,
    read_documents,
)
from reader.text.flags import KIND_NAMES, KIND_SHIFT, UNIT_START, WORD_START
from reader.text.sampling import Sample
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.files import one_writer

BLOCK_CHARACTERS = 1 << 19      # text that is annotated and tokenized at once
PART_BYTES = (1 << 20, 1 << 26)  # least and most input of one part
LEARNT = "annotator"            # folder inside a store: what its annotator has learnt


@dataclass(frozen=True)
class BuildRecipe:
    """Everything that decides what the store of a part holds, besides its input; sent to the workers."""

    language: str
    vocab_file: str
    layout: str = "file"
    annotator: str = "english"
    options: dict = field(default_factory=dict)
    lower_case: bool = True
    document_tokens: int | None = None  # longer documents are cut, see ``cut_documents``

    @property
    def reading(self) -> ReadOptions:
        """How the input files are read."""
        return ReadOptions(self.layout, self.language)


class PartTokens(NamedTuple):
    """A block as the store wants it."""

    ids: np.ndarray         # [t]
    flags: np.ndarray       # [t] uint8
    sentences: np.ndarray   # [s] tokens in each
    paragraphs: np.ndarray  # [p] sentences in each
    documents: np.ndarray   # [d] paragraphs in each
    units: np.ndarray       # [3] units of each kind
    kept: np.ndarray        # [q] bool, which of the paragraphs that were given have tokens


@one_writer
def build_corpus(inputs, language: str, vocab_file, output, *, layout: str = "file", annotator: str | None = None,
                 workers: int = 1, shard: tuple[int, int] = (0, 1), options: dict | None = None, like=None,
                 lower_case: bool = True, document_tokens: int | None = None, replace_old: bool = False,
                 progress=None) -> dict:
    """Build a store (reader/store/store.py) from raw text; reader/text/documents.py has the layouts.

    Args:
        inputs: files and folders. vocab_file: WordPiece vocabulary. output: directory of the store.
        annotator: name or ``package.module:Class``; the language's default otherwise. options: for the annotator.
        like: another store, whose mined phrases and names are used instead of mining this input.
        replace_old: give up a store at ``output`` that was built from something else.
        document_tokens: cut longer documents between paragraphs, as one would cut a book into chapters.
        workers: processes. shard: (i, n) takes every n-th part from the i-th on, for n machines with the same input.
        progress: text stream for progress lines, or None.
    Returns:
        the manifest of the store: documents, sentences, tokens, ``units`` per kind, ``rejected`` ...
    Raises:
        InputError: nothing usable in the input, or bad arguments.
    """
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}: one of {', '.join(LAYOUTS)}")
    if language not in DEFAULTS:
        raise InputError(f"unknown language {language!r}: one of {', '.join(DEFAULTS)}")
    recipe = BuildRecipe(language, str(Path(vocab_file).resolve()), layout, annotator or DEFAULTS[language],
                         options or {}, lower_case, document_tokens)
    Tokenizer.load(vocab_file, lower_case)
    output, files = Path(output), find_inputs(inputs)
    refuse_foreign(output)
    total = sum(file.stat().st_size for file in files)
    parts = plan_parts(files, recipe.reading, int(np.clip(total // 64, *PART_BYTES)))
    plan = plan_digest(recipe, files, shard, like and learnt_of(like))
    if output.exists():
        if read_manifest(output).get("plan") == plan:
            return read_manifest(output)
        if not replace_old:
            raise InputError("holds a store of other input or options: choose another output, or say --replace", output)
    mine = list(range(shard[0], len(parts), shard[1]))
    if not mine:
        raise InputError(f"shard {shard[0]}/{shard[1]} is empty: the input has only {len(parts)} parts")
    folder = Path(f"{output}.parts")
    claim(folder, plan)
    prepare(recipe, files, folder / LEARNT, like)
    started = time.time()
    built = run_parts(recipe, [(index, parts[index]) for index in mine], folder, workers, progress)
    seconds = round(time.time() - started, 3)
    manifest = join(recipe, [folder / f"{index:06d}" for index in mine], output, plan=plan, input_bytes=sum(
        span_bytes(span) for index in mine for span in parts[index]), built_bytes=built, seconds=seconds)
    shutil.rmtree(folder)
    return manifest


def refuse_foreign(output: Path) -> None:
    """A store may replace a store, never a directory that holds anything else."""
    if output.exists() and not (output.is_dir() and ((output / "manifest.json").exists() or not any(output.iterdir()))):
        raise InputError("output exists and is not a corpus store: choose another place", output)
    if output.exists() and not (output / "manifest.json").exists():
        output.rmdir()


def plan_digest(recipe: BuildRecipe, files: list[Path], *more) -> str:
    """Fingerprint of all that decides the result: finished parts are reused only under the same one."""
    inputs = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    vocabulary = hashlib.sha256(Path(recipe.vocab_file).read_bytes()).hexdigest()
    everything = json.dumps([VERSION, asdict(recipe), vocabulary, inputs, more, BLOCK_CHARACTERS, PART_BYTES])
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


def learnt_of(store) -> str:
    """The fingerprint of a store that has an annotator to learn from; InputError when there is none."""
    if not (Path(store) / LEARNT).is_dir():
        raise InputError("not a corpus store of `ernie build-corpus`, which keeps what its annotator learnt", store)
    return read_manifest(store)["fingerprint"]


def claim(folder: Path, plan: str) -> None:
    """Make the folder of the parts; one that was left by another plan is emptied."""
    file = folder / "plan"
    if not file.exists() or file.read_text() != plan:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            file.write_text(plan)
        except OSError as error:
            raise InputError(f"output cannot be written ({error.strerror})", folder) from None


def prepare(recipe: BuildRecipe, files: list[Path], learnt: Path, like=None) -> None:
    """What the annotator learns, once: copied from another store, or from a sample of all files (not of a shard)."""
    if learnt.exists():
        return
    partial = Path(f"{learnt}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if like is not None:
        shutil.copytree(Path(like) / LEARNT, partial)
    else:
        partial.mkdir()
        annotator = find_annotator(recipe.annotator)
        sample = Sample(files, recipe.reading, annotator.sample, Rejected())
        try:
            annotator.mine(sample, partial, **recipe.options)
        except InputError:  # a bad option: nothing was built yet
            shutil.rmtree(learnt.parent)
            raise
    os.rename(partial, learnt)


def run_parts(recipe: BuildRecipe, parts: list, folder: Path, workers: int, progress) -> int:
    """Build the parts that are not there yet; returns how many bytes of input that were."""
    todo = [(index, spans) for index, spans in parts if not (folder / f"{index:06d}" / "manifest.json").exists()]
    sizes = {index: sum(span_bytes(span) for span in spans) for index, spans in parts}
    amount = sum(sizes[index] for index, _ in todo)
    meter = Meter(progress, sum(sizes.values()), sum(sizes.values()) - amount)
    if workers <= 1 or len(todo) <= 1:
        for index, spans in todo:
            build_part(recipe, spans, folder, index)
            meter.add(sizes[index])
        return amount
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=ignore_interrupts) as pool:
        jobs = {pool.submit(build_part, recipe, spans, folder, index): index for index, spans in todo}
        processes = list(pool._processes.values())
        try:
            for job in as_completed(jobs):
                job.result()
                meter.add(sizes[jobs[job]])
        except BrokenProcessPool:
            raise RuntimeError("a worker process died, perhaps for want of memory; finished parts are kept: start "
                               "again with fewer workers") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:  # unfinished parts are built again, there is nothing to wait for
                process.terminate()
            raise
    return amount


def ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def span_bytes(span: Span) -> int:
    """Bytes of input in a span."""
    return (os.path.getsize(span.path) if span.stop is None else span.stop) - span.start


class Meter:
    """Progress lines with speed and remaining time, at most one a second."""

    def __init__(self, stream, total: int, done: int):
        self.stream, self.total, self.before, self.done = stream, max(1, total), done, done
        self.started = self.shown = time.time()

    def add(self, amount: int) -> None:
        self.done += amount
        now = time.time()
        if self.stream is None or (now - self.shown < 1 and self.done < self.total):
            return
        self.shown = now
        speed = (self.done - self.before) / max(1e-9, now - self.started)
        left = (self.total - self.done) / max(1e-9, speed)
        print(f"build-corpus: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%}), "
              f"{speed / 1e6:.2f} MB/s, {left:.0f} s left", file=self.stream, flush=True)


class Pipeline:
    """Documents to tokens: the annotator, with what it has learnt, and the chunk_cache it fills as it goes."""

    def __init__(self, recipe: BuildRecipe, learnt: Path):
        self.annotator = find_annotator(recipe.annotator)(**recipe.options)
        self.annotator.open(learnt)
        self.chunk_cache = ChunkCache(Tokenizer.load(recipe.vocab_file, recipe.lower_case), self.annotator.describe)

    def tokens(self, documents: list[list[str]], split: bool = True) -> PartTokens | None:
        """PartTokens of documents; None when there are none. split: find sentences; else a paragraph is one."""
        self.chunk_cache.trim()
        block = Block([self.annotator.convert(document) for document in documents], self.chunk_cache)
        if not len(block):
            return None
        annotation = self.annotator.annotate(block)
        return to_tokens(block, annotation if split else replace(annotation, sentences=block.paragraphs[:0]),
                         self.chunk_cache)


_pipelines: dict = {}  # of this process: learnt chunks serve all its parts


def build_part(recipe: BuildRecipe, spans: list[Span], folder: Path, index: int) -> None:
    """Build the store of one part; runs in a worker."""
    key = json.dumps([asdict(recipe), str(folder)])
    if key not in _pipelines:
        _pipelines.clear()
        _pipelines[key] = Pipeline(recipe, folder / LEARNT)
    rejected, units = Rejected(), Counter()
    writer = StoreWriter(folder / f"{index:06d}", recipe.vocab_file, recipe.language)
    documents = itertools.chain.from_iterable(
        read_documents(span, recipe.reading, rejected) for span in spans)
    for group in batched(documents):
        tokens = _pipelines[key].tokens([document.paragraphs for document in group])
        if tokens is not None:
            if recipe.document_tokens:
                tokens = cut_documents(tokens, recipe.document_tokens)
            writer.add(*tokens[:5], speakers=speakers_of(group, tokens.kept))
            units.update(dict(zip(KIND_NAMES, tokens.units.tolist())))
    writer.close(units=dict(units), rejected=dict(rejected.reasons), rejected_examples=rejected.examples)


def speakers_of(documents: list[Document], kept: np.ndarray) -> np.ndarray | None:
    """[p] speaker of every paragraph that was kept, NOBODY where a document has none; None when no document has any."""
    if all(document.speakers is None for document in documents):
        return None
    numbers = [number for document in documents
               for number in document.speakers or [NOBODY] * len(document.paragraphs)]
    return np.minimum(np.array(numbers), NOBODY)[kept]


def cut_documents(tokens: PartTokens, limit: int) -> PartTokens:
    """Documents of at most ``limit`` tokens: longer ones are cut between paragraphs, a paragraph stays whole.

    In a long document nearly every token occurs elsewhere too, and the token-document relation says little.
    """
    ends = np.cumsum(tokens.sentences)[np.cumsum(tokens.paragraphs) - 1]
    lengths = np.diff(np.r_[0, ends]).tolist()
    sizes, paragraph = [], 0
    for count in tokens.documents.tolist():
        held, size = 0, 0
        for length in lengths[paragraph:paragraph + count]:
            if held and size + length > limit:
                sizes.append(held)
                held, size = 0, 0
            held, size = held + 1, size + length
        sizes.append(held)
        paragraph += count
    return tokens._replace(documents=np.array(sizes, np.int64))


def batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in groups of about BLOCK_CHARACTERS."""
    group, size = [], 0
    for document in documents:
        group.append(document)
        size += sum(map(len, document.paragraphs))
        if size >= BLOCK_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def to_tokens(block: Block, annotation: Annotation, chunk_cache: ChunkCache) -> PartTokens:
    """PartTokens, flags and sizes of an annotated block of n > 0 chunks."""
    n = len(block)
    ids, flags, counts = chunk_cache.pieces_of(block.ids)
    ends = np.r_[0, np.cumsum(counts)]
    inner = covered(annotation.starts, annotation.stops, n)
    inner[annotation.starts] = False
    kinds = np.zeros(n, np.uint8)
    kinds[annotation.starts] = annotation.kinds
    owner = np.maximum.accumulate(np.where(inner, 0, np.arange(n)))
    kinds = np.where(inner, kinds[owner], kinds)
    if annotation.continues is not None:
        flags = flags & ~np.repeat(np.where(annotation.continues, WORD_START | UNIT_START, 0).astype(np.uint8), counts)
    flags = flags & ~np.repeat(np.where(inner, UNIT_START, 0).astype(np.uint8), counts)
    several = np.repeat(kinds != 0, counts)  # words inside one odd chunk are one unit, when the chunk is in one
    first = np.zeros(len(ids), bool)
    first[ends[:-1]] = True
    flags = np.where(several & ~first, flags & ~np.uint8(UNIT_START), flags) | np.repeat(kinds << KIND_SHIFT, counts)
    flags = flags.astype(np.uint8)
    units = np.bincount((flags[flags & UNIT_START > 0] & 0b1100) >> KIND_SHIFT, minlength=3)
    starts = np.zeros(n + 1, bool)
    starts[annotation.sentences] = True
    starts[block.paragraphs] = True
    starts[n] = True
    bounds = np.flatnonzero(starts)
    sentences = np.diff(ends[bounds])
    per_paragraph = np.diff(np.searchsorted(bounds, block.paragraphs))
    filled = per_paragraph > 0
    per_document = np.diff(np.r_[0, np.cumsum(filled)][block.documents])
    return PartTokens(ids, flags, sentences, per_paragraph[filled], per_document[per_document > 0], units, filled)


def join(recipe: BuildRecipe, parts: list[Path], output: Path, **report) -> dict:
    """Append the parts to one store, with the sum of their reports and ``report``."""
    rejected, units = Rejected(), Counter()
    writer = StoreWriter(output, recipe.vocab_file, recipe.language)
    for part in parts:
        manifest = read_manifest(part)
        rejected.merge(manifest["rejected"], manifest["rejected_examples"])
        units.update(manifest["units"])
        writer.append_store(part)
    if not writer.arrays["ids"].count:
        writer.abandon()
        shutil.rmtree(parts[0].parent if parts else f"{output}.parts", ignore_errors=True)
        raise InputError("no usable document in the input" + (f"; {rejected}" if rejected.total else ""))
    shutil.copytree(parts[0].parent / LEARNT, writer.partial / LEARNT)
    return writer.close(annotator=recipe.annotator, layout=recipe.layout, lower_case=recipe.lower_case,
                        options=recipe.options, units=dict(units), rejected=dict(rejected.reasons),
                        rejected_examples=rejected.examples, **report)


@one_writer
def join_stores(stores: list, output) -> dict:
    """One store of several, such as the shards that many machines built: their files are appended, streaming.

    Raises:
        InputError: fewer than one store, or stores of different vocabularies, languages, kinds or classes.
    """
    manifests = [read_manifest(store) for store in stores]
    if not stores:
        raise InputError("nothing to join")
    first = manifests[0]
    for store, manifest in zip(stores, manifests):
        for key in ("vocab_sha256", "language", "kind", "classes"):
            if manifest.get(key) != first.get(key):
                raise InputError(f"cannot be joined to {stores[0]}: another {key.replace('_sha256', 'ulary')}", store)
    output = Path(output)
    if len({Path(store).resolve() for store in stores}) < len(stores):
        raise InputError("a store stands twice among those to join")
    if output.exists():
        raise InputError("output exists: choose another place", output)
    writer = StoreWriter(output, Path(stores[0]) / "vocab.txt", first["language"], first["kind"])
    rejected, units = Rejected(), Counter()
    for store, manifest in zip(stores, manifests):
        try:
            writer.append_store(store)
        except InputError:
            writer.abandon()
            raise
        rejected.merge(manifest.get("rejected", {}), manifest.get("rejected_examples", []))
        units.update(manifest.get("units", {}))
    if (Path(stores[0]) / LEARNT).is_dir():
        shutil.copytree(Path(stores[0]) / LEARNT, writer.partial / LEARNT)
    same = {key: first[key] for key in ("annotator", "layout", "lower_case", "options", "classes") if key in first}
    return writer.close(**same, units=dict(units), rejected=dict(rejected.reasons), rejected_examples=rejected.examples,
                        input_bytes=sum(m.get("input_bytes", 0) for m in manifests), built_bytes=0, seconds=0.0,
                        joined=[manifest["fingerprint"] for manifest in manifests])


def describe(manifest: dict) -> str:
    """The report of a build, for a person."""
    rejected = Rejected(Counter(manifest["rejected"]), list(manifest["rejected_examples"]))
    units = ", ".join(f"{count:,} {kind}" for kind, count in manifest["units"].items())
    built, seconds = manifest["built_bytes"] / 1e6, manifest["seconds"]
    speed = f", {built:.1f} of them built in {seconds:.1f} s: {built / max(1e-9, seconds):.2f} MB/s" if built else ""
    lines = [f"{manifest['documents']:,} documents, {manifest['paragraphs']:,} paragraphs, {manifest['sentences']:,} "
             f"sentences, {manifest['tokens']:,} tokens", f"units: {units}",
             f"{manifest['input_bytes'] / 1e6:.1f} MB{speed}"]
    return "\n".join(lines + ([str(rejected)] if rejected.total else []))


def print_report(manifest: dict, output) -> None:
    """Print ``describe`` and where the store lies."""
    print(describe(manifest))
    print(f"store: {output} (fingerprint {manifest['fingerprint']})")
    sys.stdout.flush()
