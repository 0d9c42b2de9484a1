"""Arguments and steps that several commands of a pre-training run share."""
from __future__ import annotations

import argparse
from pathlib import Path

from ernie.pretraining.curriculum import CorpusSource, Curriculum, load


def add_run_arguments(parser: argparse.ArgumentParser, output: bool = True) -> None:
    """Declare --config, --output, --corpus, --set, --tasks-from."""
    parser.add_argument("--config", required=True, metavar="FILE", help="curriculum (yaml)")
    parser.add_argument("--output", required=output, metavar="DIR", help="run directory", default="output")
    parser.add_argument("--corpus", metavar="DIR", help="a store, or a directory with the stores train, dev and "
                                                        "pairs/<task>, instead of the curriculum's corpora")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="override a key of the curriculum; dotted, repeatable")
    parser.add_argument("--tasks-from", action="append", default=[], metavar="FILE",
                        help="a Python file with tasks of your own; repeatable")


def read_curriculum(args: argparse.Namespace) -> Curriculum:
    """Read the curriculum that the arguments declare; ``{output}`` in the paths of its data is the run directory."""
    curriculum = load(args.config, args.assignments)
    curriculum.tasks_from = [*curriculum.tasks_from, *args.tasks_from]
    if args.corpus:
        path = Path(args.corpus)
        whole = not (path / "train").is_dir()
        dev = path / "dev"
        curriculum.corpora = {"corpus": CorpusSource(str(path if whole else path / "train"),
                                               str(dev) if dev.is_dir() else None)}
        curriculum.demo = None
        for task in curriculum.tasks:
            task.corpora = None
            pairs = path / "pairs" / task.name
            if (pairs / "train").is_dir():
                measured = str(pairs / "dev") if (pairs / "dev").is_dir() else None
                curriculum.pairs[task.name] = CorpusSource(str(pairs / "train"), measured)
    for source in [*curriculum.corpora.values(), *curriculum.pairs.values()]:
        source.path = source.path.replace("{output}", str(args.output))
        source.dev = source.dev and source.dev.replace("{output}", str(args.output))
    return curriculum


def prepare_demo(curriculum: Curriculum, output: Path) -> None:
    """Make the corpus of an embedded demo in <output>/corpus, unless it is there.

    It has the vocabulary of the checkpoint that the curriculum begins with, or one of its own.
    """
    if curriculum.demo:
        from ernie.checkpoints.warm_start import read_pretrained
        from reader.store.demo import prepare_demo as prepare
        found = read_pretrained(curriculum.init) if curriculum.init else None
        prepare(curriculum.demo, Path(output) / "corpus", vocab=found.vocab if found else None,
                lower_case=found is None or found.lower_case)
