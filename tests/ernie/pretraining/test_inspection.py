"""ernie inspect: what a person is shown, and what they are told when it cannot be."""
import json
from dataclasses import asdict

import pytest

from ernie.cli import main
from tests.builders import build_store, doc, pair_store, random_documents


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """run("--task ...") gives (exit code, stdout, stderr) of the command, started in the test's directory."""
    monkeypatch.chdir(tmp_path)

    def command(arguments: str):
        code = main(["inspect", *arguments.split()])
        return (code, *capsys.readouterr())
    return command


def test_masked_units_are_shown_with_kind_and_word(run, tmp_path):
    build_store(tmp_path / "s", [doc("she walk ##ed <a long way> to {New York} .")])
    code, out, _ = run("--corpus s --task knowledge_masking -n 1 --option basic=0 phrase=1 entity=1")
    assert code == 0
    assert out.startswith("example 1  s document 0, 12 tokens\nshe walked {phrase: a long way > ")
    assert "} to {entity: new york > " in out and "\x1b" not in out
    assert "word: 0 of 5 tokens chosen (0.0%)\nphrase: 3 of 3 tokens chosen (100.0%)" in out


def test_a_chosen_piece_leaves_the_rest_of_its_word(run, tmp_path):
    build_store(tmp_path / "s", [doc("walk ##ed")])
    shown = {run(f"--corpus s --task knowledge_masking -n 1 --option basic=0.5 --seed {seed}")[1].split("\n")[1]
             for seed in range(40)}
    assert {"walked", "{word: walk > [MASK]} ##ed", "walk {word: ##ed > [MASK]}",
            "{word: walk > [MASK]} {word: ##ed > [MASK]}"} <= shown


def test_token_labels_are_shown_at_their_words(run, tmp_path):
    build_store(tmp_path / "s", [doc("The pad ##dle Pad ##dle", "the ##dle end")])
    assert "\nthe/1 paddle paddle/1 thedle end\n" in run("--corpus s --task capitalization -n 1")[1]
    out = run("--corpus s --task token_document -n 1 --max-length 8")[1]
    assert "labels: " in out and "elsewhere too" in out


def test_sequence_labels_are_explained(run, tmp_path):
    build_store(tmp_path / "s", [doc("a b", "c d", "e f", "g h")] * 3)
    code, out, _ = run("--corpus s --task sentence_reordering -n 4")
    assert code == 0 and "shown in the order" in out and "to restore it\n[0] " in out
    pair_store(tmp_path / "p", [("a b", "c", 1)], ["but", "so"])
    assert "label 1: so\n[0] a b\n[1] c\n" in run("--pairs p --task discourse_relation -n 1")[1]


def test_the_step_of_a_run_is_shown_as_it_is_trained(run, tmp_path):
    """The rows of a step's batch, found again in what is printed."""
    from ernie.pretraining.curriculum import Curriculum
    from ernie.pretraining.inspection import step_of_run
    from ernie.pretraining.run_directory import RunDirectory
    from ernie.pretraining.stages import stages_of
    from ernie.utils.config_io import build
    store = build_store(tmp_path / "s", random_documents(100))
    curriculum = build(Curriculum, {
        "tasks": ["knowledge_masking", "sentence_reordering"], "corpora": {"s": str(store.path)}, "model": "model.json",
        "iterations_per_task": 30, "max_length": 64, "batch_tokens": 512, "micro_batch_tokens": 256}, "test")
    RunDirectory(tmp_path / "run").record(curriculum, stages_of(curriculum), {})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["stages"][1] == asdict(stages_of(curriculum)[1])
    drawn = set()
    for step in range(1, 9):
        batches, number, _ = step_of_run(tmp_path / "run", 2, step)
        made = batches.at(number)
        code, out, _ = run(f"--run run --stage 2 --step {step} -n 99 --task knowledge_masking")
        assert code == 0 and out.startswith(f"stage 2 step {step}: batch {number} of {batches.task.name}, ")
        heads = [line for line in out.split("\n") if line.startswith("example ")]
        shown = [int(line.split("document ")[1].split(",")[0]) for line in heads]
        assert sorted(shown) == sorted(document for batch in made for _, document, _ in batch.addresses)
        masked = sum(len(batch.targets["knowledge_masking"].labels) for batch in made)
        rates = [line for line in out.split("\n") if line.startswith(("word: ", "phrase: "))]
        assert sum(int(line.split()[1]) for line in rates) == masked
        drawn.add(batches.task.name)
    assert len(drawn) == 2
    assert "the run has the stages 1 (20 steps), 2 (40 steps)" in run("--run run --stage 2 --step 99")[2]
    assert "these do: " in run("--run run --stage 2 --step 1 --task capitalization")[2]


@pytest.mark.parametrize("arguments, message", [
    ("--task capitalization", "give one of --corpus, --pairs and --run"),
    ("--corpus s --pairs s --task capitalization", "give one of"),
    ("--corpus s", "--task is missing"),
    ("--corpus nowhere --task capitalization", "nowhere: not a corpus store"),
    ("--corpus s --task capitals", "unknown task 'capitals': did you mean 'capitalization'?"),
    ("--corpus s --task knowledge_masking --option basic", "--option 'basic' is not KEY=VALUE"),
    ("--corpus s --task knowledge_masking --option basic=lots", "basic 'lots' is no probability"),
    ("--corpus s --task ir_relevance", "ir_relevance draws from pairs"),
    ("--run s", "s: not the directory of a run"),
])
def test_mistakes_are_one_line(run, tmp_path, arguments, message):
    build_store(tmp_path / "s", [doc("a b")])
    code, out, err = run(arguments)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1
