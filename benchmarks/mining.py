"""Whether mining and vocabularies depend on how a corpus is cut into files: the same text as many files and as one.

    python benchmarks/mining.py [--language en] [--characters 400000]

Takes the text of the embedded demo, a paragraph a document, and samples the given number of characters, fewer than
there are. Prints how many phrases, names and vocabulary entries each form gives and how many entries two forms share;
the last columns are the same form sampled with another seed: the noise that a difference is to be compared with.
"""
from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reader.store.demo import SOURCES  # noqa: E402
from reader.text.annotators import DEFAULTS, find_annotator  # noqa: E402
from reader.text.documents import ReadOptions, Rejected  # noqa: E402
from reader.text.sampling import Sample  # noqa: E402
from reader.text.vocabulary import Paragraphs, train_vocab  # noqa: E402


def learn(files: list[Path], language: str, characters: int, seed: int) -> dict[str, set]:
    """Phrases, names (English) and vocabulary entries that a sample of the files gives."""
    sample = Sample(files, ReadOptions(language=language), characters, Rejected(), seed)
    with tempfile.TemporaryDirectory() as folder:
        find_annotator(DEFAULTS[language]).mine(sample, folder)
        found = {path.stem: set(path.read_text("utf-8").split("\n")) for path in sorted(Path(folder).iterdir())}
    return {**found, "vocabulary of 4000": set(train_vocab(Paragraphs(sample), language, 4000))}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", choices=sorted(SOURCES), default="en")
    parser.add_argument("--characters", type=int, default=400_000)
    args = parser.parse_args()
    paragraphs = [paragraph for _, text in SOURCES[args.language]() for paragraph in text]
    with tempfile.TemporaryDirectory() as name:
        one, many = Path(name, "one.jsonl"), Path(name, "many")
        many.mkdir()
        one.write_text("".join(json.dumps({"text": text}) + "\n" for text in paragraphs), "utf-8")
        for number, text in enumerate(paragraphs):
            (many / f"{number:06d}.txt").write_text(text, "utf-8")
        files = sorted(many.iterdir())
        found = [learn(files, args.language, args.characters, 0), learn([one], args.language, args.characters, 0),
                 learn([one], args.language, args.characters, 1)]
    print(f"{len(paragraphs):,} documents of {sum(map(len, paragraphs)):,} characters, {args.characters:,} sampled")
    print(f"{'':22}{'many files':>12}{'one jsonl':>12}{'shared':>9}{'other seed':>12}{'shared':>9}")
    for kind, words in found[0].items():
        print(f"{kind:22}{len(words):12,}{len(found[1][kind]):12,}{share(words, found[1][kind]):9.1%}"
              f"{len(found[2][kind]):12,}{share(found[1][kind], found[2][kind]):9.1%}")


def share(first: set, second: set) -> float:
    """The entries in both sets, of those in either."""
    return len(first & second) / max(1, len(first | second))


if __name__ == "__main__":
    main()
