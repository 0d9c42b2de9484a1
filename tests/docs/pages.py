"""What the commands of a page find when they are run, page by page: files, smaller settings, what is left out and why.

A page is an entry of ``PAGES``. What holds on every page, as where the launchers lie, is in ``EVERYWHERE``.
"""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ernie.checkpoints.formats import write
from tests import official
from tests.ernie.released import checkpoint
from tests.ernie.runs import ROOT

EVERYWHERE = {"bash run_": f"bash {ROOT}/run_", " benchmarks/": f" {ROOT}/benchmarks/",
              " configs/": f" {ROOT}/configs/"}
NOT_HERE = {  # beginning of a command -> why no test runs it
    r"(pip|git|make|source|pre-commit|python3 -m venv) ": "installs or changes the checkout",
    r"(sbatch|kubectl|docker) ": "needs a cluster or a daemon",
    r"(\w+=\S+ )*(python -m )?pytest": "is a test of this suite",
}


@dataclass
class Page:
    """How the commands of one page are run, in the order of the page and in one folder.

    Attributes:
        lay: writes into the empty folder what the page takes for granted.
        before: commands that the reader has given earlier.
        replace: text -> text, in every command; what a reader would replace, as MODEL.
        more: beginning of a command (a pattern) -> what is added to it, as smaller settings.
        left_out: beginning of a command (a pattern) -> why it is not run here; "needs NAME": unless that is installed.
    """

    lay: Callable[[Path], None] = lambda folder: None
    before: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def small_model(path: Path, family: str = "huggingface") -> None:
    """A checkpoint of a released family over the letters, of a few thousand parameters."""
    scratch = path.parent / "scratch"
    scratch.mkdir(parents=True)
    write(checkpoint(scratch, max_position_embeddings=64), path, family)
    shutil.rmtree(scratch)


def published(folder: Path, scratch: Path) -> None:
    """``glue/`` and ``chinese/`` in the form in which their makers publish them, a few rows each."""
    official.write(scratch)
    shutil.copytree(scratch / "chinese", folder / "chinese")
    shutil.move(folder / "chinese" / "msra_ner" / "train_derived_from_dh_msra.tsv",
                folder / "chinese" / "msra_ner" / "train.tsv")
    for part in sorted((scratch / "layouts").glob("glue__*")):
        shutil.copytree(part, folder / "glue", dirs_exist_ok=True)
    shutil.copytree(scratch / "glue", folder / "glue", dirs_exist_ok=True)
    shutil.rmtree(scratch)


def finetuning(folder: Path) -> None:
    published(folder, folder / "scratch")
    small_model(folder / "checkpoints" / "ernie_base_en")
    shutil.copytree(folder / "glue" / "CoLA", folder / "output" / "cola")
    (folder / "mine").mkdir()
    for split in "train", "dev":
        (folder / "mine" / f"{split}.csv").write_text("review,opinion\n" + "so bad,bad\na pleasure,good\n" * 4)
    (folder / "mine.yaml").write_text(json.dumps({"kind": "classification", "reader": {  # json is yaml
        "columns": [{"text": "review", "label": "opinion"}], "classes": ["bad", "good"]}}))
    (folder / "rows.tsv").write_text("text_a\ttext_b\na cat\tthe cat\n")
    mrpc = folder / "glue" / "MRPC"
    shutil.copy(mrpc / "train.tsv", mrpc / "dev.tsv")  # a file of GLUE's that Microsoft's corpus does not have


TRIAL = "--set max_steps=2 --set max_length=32 --set log_every=1 --set batch_size=4"
PAGES = {
    "docs/finetuning.md": Page(
        lay=finetuning,
        before=("bash run_finetune.sh mnli --data glue --init checkpoints/ernie_base_en --output output/mnli",
                "bash run_finetune.sh mrpc --data glue --init checkpoints/ernie_base_en --output output/other"),
        replace={"MINILM": "checkpoints/ernie_base_en", "--init MODEL": "--init checkpoints/ernie_base_en",
                 "--model DIR --input FILE": "--model output/mrpc --input glue/MRPC/dev.tsv",
                 "output/demo_zh": "checkpoints/ernie_base_en"},
        more={r"(bash \S*run_finetune.sh|ernie finetune --t(o|ask cola)|python \S+finetune_from)": TRIAL,
              r"python \S+finetune_against": f"{TRIAL} --seeds 1", r"python \S+padding": "--set max_length=32"},
        left_out={r"python \S+finetune_against": "needs transformers", r"python \S+word_sim": "needs gensim"}),
}
