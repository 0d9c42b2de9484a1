"""Runs the code of docs/add_a_task.md as it stands there: inspect, extend a finished run, report."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reader.store.demo import prepare_demo

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "add_a_task.md").read_text("utf-8")
TINY = {"vocab_size": 2000, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 64, "type_vocab_size": 4, "task_type_vocab_size": 16, "use_task_id": True}


def blocks(language: str) -> list:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def ernie(*arguments, cwd) -> str:
    done = subprocess.run([sys.executable, "-m", "ernie", *map(str, arguments)], cwd=cwd, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A finished two-stage run of a tiny model, and the guide's files beside it."""
    folder = tmp_path_factory.mktemp("guide")
    prepare_demo("en", folder / "corpus", vocab_size=2000)
    (folder / "tiny.json").write_text(json.dumps(TINY))
    (folder / "named_entity.py").write_text(blocks("python")[0])
    (folder / "paragraph_opening.py").write_text(blocks("python")[1])
    (folder / "c.yaml").write_text(json.dumps({
        "tasks": ["knowledge_masking", "capitalization"], "iterations_per_task": 6, "model": "tiny.json",
        "corpora": {"wiki": {"path": "corpus/train", "dev": "corpus/dev"}}, "max_length": 64, "batch_tokens": 512,
        "micro_batch_tokens": 512, "dev_batches": 1, "workers": 0, "log_every": 2,
        "optimizer": {"warmup_steps": 2}}))
    for stage in (1, 2):
        ernie("pretrain", "--config", "c.yaml", "--output", "run", "--stage", stage, cwd=folder)
    return folder


EXTENDED = ["--config", "c.yaml", "--output", "run", "--tasks-from", "named_entity.py",
            "--tasks-from", "paragraph_opening.py",
            "--set", "tasks=[knowledge_masking, capitalization, named_entity, paragraph_opening]"]


@pytest.mark.parametrize("task, words", [("named_entity", "entity"), ("paragraph_opening", "opening")])
def test_inspect_shows_its_labels(work, task, words):
    shown = ernie("inspect", "--corpus", "corpus/dev", "--task", task, "--tasks-from", f"{task}.py", "-n", "12",
                  cwd=work)
    assert words in shown


def test_a_finished_run_is_extended_and_nothing_trained_is_touched(work):
    before = {file: file.read_bytes() for n in (1, 2) for file in (work / f"run/stage-{n}").rglob("*.*")
              if file.is_file()}
    assert ernie("stages", *EXTENDED, cwd=work).split() == ["3", "4"]
    first = ernie("pretrain", *EXTENDED, "--stage", 3, cwd=work)
    assert "new head: named_entity" in first
    assert "knowledge_masking 1, capitalization 1, named_entity 6 iterations" in first
    second = ernie("pretrain", *EXTENDED, "--stage", 4, cwd=work)
    assert "new head: paragraph_opening" in second
    assert before == {file: file.read_bytes() for file in before}
    table = ernie("stages", *EXTENDED, "--table", cwd=work)
    header, rows = table.splitlines()[1], re.findall(r"^after stage (\d).*$", table, re.M)
    assert re.split(r"\s{2,}", header.strip()) == ["knowledge masking", "capitalization", "named entity",
                                                    "paragraph opening"]
    assert rows == ["1", "2", "3", "4"]
    stages = json.loads((work / "run/run.json").read_text())["stages"]
    assert [stage["new"] for stage in stages] == [["knowledge_masking"], ["capitalization"], ["named_entity"],
                                                  ["paragraph_opening"]]


def test_the_report_shows_it(work):
    ernie("report", "run", "--output", "page.html", cwd=work)
    assert "paragraph_opening" in (work / "page.html").read_text("utf-8").replace(" ", "_")
