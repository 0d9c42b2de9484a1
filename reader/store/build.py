"""Raw text to a corpus store: in parts, on all cores, restartable, in constant memory.

The input is cut into parts that depend only on the input. Each part becomes a small store beside the output, written
under another name until it is whole, so that a build that was killed goes on where it stopped; then the parts are
appended to one another, streaming. The result does not depend on the number of workers.
"""
from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from reader.store.duplicates import KEPT, REASONS, Verdicts, check_rensa, sign_part
from reader.store.integrity import check_together
from reader.store.pipeline import BLOCK_CHARACTERS, BuildRecipe, Pipeline, batched, cut_documents
from reader.store.store import NOBODY, VERSION, StoreWriter, read_manifest
from reader.store.workers import run_parts, span_bytes
from reader.text.annotators import ANNOTATORS, DEFAULTS, LANGUAGES, find_annotator
from reader.text.documents import (
    LAYOUTS,
    Document,
    Rejected,
    Span,
    find_inputs,
    plan_parts,
    read_documents,
)
from reader.text.flags import KIND_NAMES
from reader.text.sampling import Sample
from reader.text.script import beginning, doubt, vocabulary_doubt
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError
from reader.utils.files import Paths, StrPath, one_writer, place_of
from reader.utils.text import counted

PART_BYTES = (1 << 20, 1 << 26)  # least and most input of one part
TRAIN, DEV = "", ".dev"         # suffixes of the folders of parts
PLAN = "plan"                   # file in the folder of parts: what they are built from
LEARNT = "annotator"            # folder inside a store: what its annotator has learnt


@one_writer
def build_corpus(inputs: Paths, language: str, vocab_file: StrPath, output: StrPath, *, layout: str = "file",
                 annotator: str | None = None, workers: int = 1, shard: tuple[int, int] = (0, 1),
                 options: dict[str, str] | None = None, like: StrPath | None = None,
                 lower_case: bool = True, document_tokens: int | None = None, text_field: str = "text",
                 title_field: str = "title", dev_share: float = 0.0, deduplicate: bool = False,
                 replace_old: bool = False, progress: TextIO | None = None) -> dict[str, Any]:
    """Build a store (reader/store/store.py) from raw text; reader/text/documents.py has the forms of input.

    Args:
        inputs: files and folders. vocab_file: WordPiece vocabulary. output: directory of the store.
        annotator: name or ``package.module:Class``; the language's default otherwise. options: for the annotator.
        like: another store, whose mined phrases and names are used instead of mining this input.
        replace_old: give up a store at ``output`` that was built from something else.
        document_tokens: cut longer documents between paragraphs, as one would cut a book into chapters.
        text_field, title_field: names of fields of records (.jsonl, parquet, Arrow).
        dev_share: of the documents, drawn by the hash of their words: make stores output/train and output/dev, both
            with the phrases and names mined from train.
        deduplicate: leave out exact and near copies of earlier documents (reader/store/duplicates.py).
        workers: processes. shard: (i, n) takes every n-th part from the i-th on, for n machines with the same input.
        progress: text stream for progress lines, or None.
    Returns:
        the manifest of the store (with ``dev_share``, of output/train): documents, sentences, tokens, ``units`` per
        kind, ``rejected`` ...
    Raises:
        InputError: nothing usable in the input, or bad arguments.
    """
    check_arguments(layout, language, annotator, dev_share, deduplicate, shard)
    recipe = BuildRecipe(language, str(Path(vocab_file).resolve()), layout, annotator or DEFAULTS[language],
                         options or {}, lower_case, document_tokens, text_field, title_field, dev_share, deduplicate)
    tokenizer = Tokenizer.load(vocab_file, lower_case)
    left_out = Rejected()
    files, outputs = find_inputs(inputs, left_out, vocabulary=vocab_file), outputs_of(Path(output), dev_share)
    parts = plan_parts(files, recipe.reading, int(np.clip(sum(map(os.path.getsize, files)) // 64, *PART_BYTES)))
    plan = plan_digest(recipe, files, shard, like and learnt_of(like, recipe))
    folder = Path(f"{output}.parts")
    if not missing(outputs, plan, replace_old):
        if claimed(folder, plan):  # a build that was killed while it cleared up
            shutil.rmtree(folder)
        return read_manifest(outputs[TRAIN])
    mine = [(index, parts[index]) for index in range(shard[0], len(parts), shard[1])]
    if not mine:
        raise InputError(f"shard {shard[0]}/{shard[1]} is empty: the input has only {counted(len(parts), 'part')}")
    if progress:
        read = list(beginning(mine[0][1], recipe.reading))
        notes = (left_out.line if left_out.total else "", doubt(language, read),
                 vocabulary_doubt(tokenizer, read, recipe.options.get("convert")))
        progress.writelines(f"ernie: {note}\n" for note in notes if note)
    claim(folder, plan)
    prepare(recipe, files, folder / LEARNT, like)
    report = {"plan": plan, **build_parts(recipe, mine, folder, workers, progress)}
    for kind, place in reversed(list(outputs.items())):  # train last: it stands for both
        join(recipe, [folder / f"{index:06d}{kind}" for index, _ in mine], place,
             left_out if kind == TRAIN else Rejected(), **report)
    shutil.rmtree(folder)
    return read_manifest(outputs[TRAIN])


def check_arguments(layout: str, language: str, annotator: str | None, dev_share: float, deduplicate: bool,
                    shard: tuple[int, int]) -> None:
    """Raise InputError for arguments of ``build_corpus`` that nothing can be built from."""
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}: one of {', '.join(LAYOUTS)}")
    if language not in DEFAULTS:
        raise InputError(f"unknown language {language!r}: one of {', '.join(DEFAULTS)}")
    if annotator is not None:
        find_annotator(annotator)
        if LANGUAGES.get(annotator, language) != language:
            raise InputError(f"annotator {annotator!r} is for {LANGUAGES[annotator]}, not {language}")
    if not 0 <= dev_share <= 0.5:
        raise InputError(f"dev share {dev_share} is not between 0 and 0.5")
    if deduplicate and shard != (0, 1):
        raise InputError("copies are found in the whole input: --deduplicate and --shard exclude each other")


def build_parts(recipe: BuildRecipe, mine: list, folder: Path, workers: int, progress: TextIO | None) -> dict[str, Any]:
    """Build the parts of this machine that are not there yet, and return what their manifest says of it.

    Args:
        mine: (index, spans) of each part; with ``deduplicate``, which compares all documents, these are all parts.
    """
    started = time.time()
    if recipe.deduplicate:
        check_rensa()
        run_parts(sign_part, recipe, mine, folder, "{index}.keys.npy", workers, progress, "compared")
        Verdicts(folder, len(mine), recipe.dev_share)
    built = run_parts(build_part, recipe, mine, folder, "{index}/manifest.json", workers, progress)
    report: dict[str, Any] = {"input_bytes": sum(span_bytes(span) for _, spans in mine for span in spans),
                              "built_bytes": built, "seconds": round(time.time() - started, 3)}
    if recipe.deduplicate:
        report["near_copies_across_train_and_dev"] = Verdicts(folder, len(mine), recipe.dev_share).across
    return report


def outputs_of(output: Path, dev_share: float) -> dict[str, Path]:
    """Return {suffix of the parts of a store: its directory}.

    Raises:
        InputError: a directory of another kind is in the way.
    """
    if dev_share and (output / "manifest.json").exists():
        raise InputError("is a store, but with --dev-share it shall hold train and dev: choose another output", output)
    outputs = {TRAIN: place_of(output / "train"), DEV: place_of(output / "dev")} if dev_share else {TRAIN: output}
    for place in outputs.values():
        refuse_foreign(place)
    return outputs


def missing(outputs: dict[str, Path], plan: str, replace_old: bool) -> bool:
    """Tell whether a store is still to be built.

    Raises:
        InputError: a store of another plan is there and shall not be replaced.
    """
    plans = [read_manifest(place).get("plan") for place in outputs.values() if place.exists()]
    for place, found in zip((place for place in outputs.values() if place.exists()), plans):
        if found != plan and not replace_old:
            raise InputError("holds a store of other input or options: choose another output, or say --replace", place)
    return plans != [plan] * len(outputs)


def refuse_foreign(output: Path) -> None:
    """Refuse, by InputError, an output that exists and is neither a store nor empty; remove an empty directory."""
    if output.exists() and not (output.is_dir() and ((output / "manifest.json").exists() or not any(output.iterdir()))):
        raise InputError("output exists and is not a corpus store: choose another place", output)
    if output.exists() and not (output / "manifest.json").exists():
        output.rmdir()


def plan_digest(recipe: BuildRecipe, files: list[Path], *more: Any) -> str:
    """Return the fingerprint of all that decides the result: finished parts are reused only under the same one."""
    inputs = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    vocabulary = hashlib.sha256(Path(recipe.vocab_file).read_bytes()).hexdigest()
    everything = json.dumps([VERSION, asdict(recipe), vocabulary, inputs, more, BLOCK_CHARACTERS, PART_BYTES,
                             *annotator_files(recipe)])
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


def annotator_files(recipe: BuildRecipe) -> list[str]:
    """Return the SHA-256 of each file that options name, such as a dictionary, and of the user's own annotator."""
    files = [value for _, value in sorted(recipe.options.items()) if os.path.isfile(str(value))]
    if recipe.annotator not in ANNOTATORS:
        with contextlib.suppress(TypeError):  # of a class that has no file
            files.append(inspect.getfile(find_annotator(recipe.annotator)))
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]


def learnt_of(store: StrPath, recipe: BuildRecipe) -> str:
    """Return the fingerprint of a store whose annotator has learnt what that of a recipe reads, or raise InputError."""
    if not (Path(store) / LEARNT).is_dir():
        raise InputError("not a corpus store of `ernie build-corpus`, which keeps what its annotator learnt", store)
    manifest = read_manifest(store)
    language, name = manifest["language"], manifest.get("annotator", recipe.annotator)
    if language != recipe.language:
        raise InputError(f"is of language {language}, not {recipe.language}: nothing can be learnt from it", store)
    ours, theirs = find_annotator(recipe.annotator), find_annotator(name)
    if not issubclass(ours, theirs) and not issubclass(theirs, ours):
        raise InputError(f"its annotator is {name}, not {recipe.annotator}: nothing can be learnt from it", store)
    return manifest["fingerprint"]


def claim(folder: Path, plan: str) -> None:
    """Make the folder of the parts; one that was left by another plan is emptied."""
    if claimed(folder, plan):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        (folder / PLAN).write_text(plan)
    except OSError as error:
        raise InputError(f"output cannot be written ({error.strerror})", folder) from None


def claimed(folder: Path, plan: str) -> bool:
    """Tell whether the folder holds parts of this plan."""
    file = folder / PLAN
    return file.exists() and file.read_text() == plan


def prepare(recipe: BuildRecipe, files: list[Path], learnt: Path, like: StrPath | None = None) -> None:
    """Let the annotator learn, once: copied from another store, or from a sample of all files (not of a shard)."""
    if learnt.exists():
        return
    partial = Path(f"{learnt}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if like is not None:
        shutil.copytree(Path(like) / LEARNT, partial)
    else:
        partial.mkdir()
        annotator = find_annotator(recipe.annotator)
        sample = Sample(files, recipe.reading, annotator.sample, Rejected(), wanted=recipe.is_train)
        try:
            annotator.mine(sample, partial, **recipe.options)
        except InputError:  # a bad option: nothing was built yet
            shutil.rmtree(learnt.parent)
            raise
    os.rename(partial, learnt)


_pipelines: dict = {}  # of this process: learnt chunks serve all its parts


def build_part(recipe: BuildRecipe, spans: list[Span], folder: Path, index: int) -> None:
    """Build the store of one part, and that of its dev documents before it; runs in a worker."""
    key = json.dumps([(folder / PLAN).read_text(), str(folder)])  # the plan: another input teaches an annotator anew
    if key not in _pipelines:
        _pipelines.clear()
        _pipelines[key] = Pipeline(recipe, folder / LEARNT)
    rejected = Rejected()
    documents: Iterator[Document] = itertools.chain.from_iterable(
        read_documents(span, recipe.reading, rejected) for span in spans)
    if recipe.deduplicate:
        documents = without_copies(documents, Verdicts(folder, 0).of_part(index), rejected)
    writers = {kind: PartWriter(recipe, folder / f"{index:06d}{kind}", _pipelines[key])
               for kind in ((DEV, TRAIN) if recipe.dev_share else (TRAIN,))}
    for group in batched(documents):
        for kind, writer in writers.items():
            writer.add(group if not recipe.dev_share else
                       [document for document in group if recipe.is_train(document) == (kind == TRAIN)])
    for kind, writer in writers.items():  # train is written last: it says that the part is done
        writer.close(rejected if kind == TRAIN else Rejected())


def without_copies(documents: Iterator[Document], verdicts: np.ndarray, rejected: Rejected) -> Iterator[Document]:
    """Yield the documents that are to be kept; count the others."""
    for document, verdict in zip(documents, verdicts.tolist()):
        if verdict == KEPT:
            yield document
        else:
            rejected.add(REASONS[verdict], None)


class PartWriter:
    """Appends documents to the store of a part."""

    def __init__(self, recipe: BuildRecipe, path: Path, pipeline: Pipeline):
        self.recipe, self.pipeline = recipe, pipeline
        self.units: Counter[str] = Counter()
        self.unknown = 0
        self.writer = StoreWriter(path, recipe.vocab_file, recipe.language)

    def add(self, documents: list[Document]) -> None:
        """Annotate, tokenize and append documents."""
        tokens = self.pipeline.tokens([document.paragraphs for document in documents])
        if tokens is None:
            return
        speakers = speakers_of(documents, tokens.kept)
        if self.recipe.document_tokens:
            tokens = cut_documents(tokens, self.recipe.document_tokens)
        self.writer.add(*tokens[:5], speakers=speakers)
        self.units.update(dict(zip(KIND_NAMES, tokens.units.tolist())))
        self.unknown += int((tokens.ids == self.pipeline.chunk_cache.tokenizer.unk_id).sum())

    def close(self, rejected: Rejected) -> None:
        """Finish the store."""
        self.writer.close(units=dict(self.units), unknown=self.unknown, rejected=dict(rejected.reasons),
                          rejected_examples=rejected.examples)


def speakers_of(documents: list[Document], kept: np.ndarray) -> np.ndarray | None:
    """Return the [p] speaker of every kept paragraph, NOBODY where a document has none; None where no document has any.

    Args:
        kept: [paragraphs of the documents] bool.
    Raises:
        InputError: the annotator has changed the number of paragraphs.
    """
    if all(document.speakers is None for document in documents):
        return None
    numbers = [number for document in documents
               for number in document.speakers or [NOBODY] * len(document.paragraphs)]
    if len(numbers) != len(kept):
        raise InputError("the annotator's convert() changes the number of paragraphs, which have speakers")
    return np.minimum(np.array(numbers), NOBODY)[kept]


def join(recipe: BuildRecipe, parts: list[Path], output: Path, left_out: Rejected, **report: Any) -> dict[str, Any]:
    """Append the parts to one store, with the sum of their reports, ``left_out`` and ``report``."""
    rejected = Rejected()
    units: Counter[str] = Counter()
    unknown = 0
    writer = StoreWriter(output, recipe.vocab_file, recipe.language)
    for part in parts:
        manifest = read_manifest(part)
        rejected.merge(manifest["rejected"], manifest["rejected_examples"])
        units.update(manifest["units"])
        unknown += manifest.get("unknown", 0)  # absent in parts of an earlier version
        writer.append_store(part)
    rejected.merge(dict(left_out.reasons), left_out.examples)
    if not writer.arrays["ids"].count:
        writer.abandon()
        shutil.rmtree(parts[0].parent if parts else f"{output}.parts", ignore_errors=True)
        what = "no usable document in the input" + (" for dev: a larger share is needed" if output.name == "dev"
                                                    and recipe.dev_share else "")
        raise InputError(what + (f"; {rejected.line}" if rejected.total else ""))
    shutil.copytree(parts[0].parent / LEARNT, writer.partial / LEARNT)
    return writer.close(annotator=recipe.annotator, layout=recipe.layout, lower_case=recipe.lower_case,
                        options=recipe.options, units=dict(units), unknown=unknown,
                        rejected=dict(rejected.reasons), rejected_examples=rejected.examples, **report)


@one_writer
def join_stores(stores: list, output: StrPath) -> dict[str, Any]:
    """Join several stores into one, such as the shards that many machines built: append their files, streaming.

    Raises:
        InputError: fewer than one store, or stores of different vocabularies, languages, cases, kinds or classes.
    """
    manifests = [read_manifest(store) for store in stores]
    if not stores:
        raise InputError("nothing to join")
    first = manifests[0]
    check_together(dict(zip(map(Path, stores), manifests)), ("kind", "classes"))
    output = Path(output)
    if len({Path(store).resolve() for store in stores}) < len(stores):
        raise InputError("a store stands twice among those to join")
    if output.exists():
        raise InputError("output exists: choose another place", output)
    writer = StoreWriter(output, Path(stores[0]) / "vocab.txt", first["language"], first["kind"])
    rejected = Rejected()
    units: Counter[str] = Counter()
    for store, manifest in zip(stores, manifests):
        try:
            writer.append_store(store)
        except InputError:
            writer.abandon()
            raise
        left_out = manifest.get("rejected", {})
        rejected.merge(left_out if isinstance(left_out, dict) else {"malformed line": left_out},
                       manifest.get("rejected_examples", []))
        units.update(manifest.get("units", {}))
    if (Path(stores[0]) / LEARNT).is_dir():
        shutil.copytree(Path(stores[0]) / LEARNT, writer.partial / LEARNT)
    same = {key: first[key] for key in ("annotator", "layout", "lower_case", "options", "classes") if key in first}
    return writer.close(**same, **joined_chances(manifests), units=dict(units), rejected=dict(rejected.reasons),
                        rejected_examples=rejected.examples, built_bytes=0, seconds=0.0,
                        input_bytes=sum(m.get("input_bytes", 0) for m in manifests),
                        unknown=sum(m.get("unknown", 0) for m in manifests),
                        joined=[manifest["fingerprint"] for manifest in manifests])


def joined_chances(manifests: list[dict]) -> dict[str, list]:
    """Return the ``unit_chances`` of joined stores, see ``Corpus.unit_chances``; empty where no store has any."""
    if not any("unit_chances" in manifest for manifest in manifests):
        return {}
    chances, before = [], 0
    for manifest in manifests:
        tokens = manifest["tokens"]
        chances += [[before + stop, chance] for stop, chance in manifest.get("unit_chances", [[tokens, 1.0]])]
        before += tokens
    return {"unit_chances": chances}
