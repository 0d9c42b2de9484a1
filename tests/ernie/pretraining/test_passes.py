"""How often a curriculum reads its data."""
import subprocess
import sys

import pytest

from ernie.pretraining import passes
from ernie.pretraining.curriculum import Curriculum, build, load
from ernie.pretraining.stages import stages_of
from reader.utils.errors import InputError
from tests.builders import build_store, doc, pair_store
from tests.ernie import runs


def declared(**changes) -> Curriculum:
    return build(Curriculum, {
        "tasks": ["knowledge_masking", {"name": "capitalization", "corpora": ["books"]}, "discourse_relation"],
        "corpora": {"wiki": {"path": "w", "weight": 3}, "books": {"path": "b", "weight": 1}},
        "pairs": {"discourse_relation": "d"}, "model": "m", "method": "multitask", "iterations_per_task": 10,
        "batch_tokens": 1000, **changes}, "c.yaml")


def test_shares_of_the_tokens_by_hand():
    curriculum = declared()
    drawn = passes.tokens_drawn(curriculum, stages_of(curriculum), {})
    assert drawn == {"wiki": 7500, "books": 2500 + 10_000, "discourse_relation": 10_000}
    assert passes.passes(curriculum, stages_of(curriculum), {"wiki": 750, "discourse_relation": 100}) == {
        "wiki": 10, "discourse_relation": 100}


def test_without_weights_every_token_is_read_equally_often():
    curriculum = declared(corpora={"wiki": "w", "books": "b"}, tasks=["knowledge_masking"], pairs={})
    assert passes.passes(curriculum, stages_of(curriculum), {"wiki": 900, "books": 100}) == {"wiki": 10, "books": 10}
    with pytest.raises(InputError, match="corpora: books without a weight; give every corpus one, or none"):
        declared(corpora={"wiki": {"path": "w", "weight": 1}, "books": "b"})


def test_what_is_said_of_stores_that_are_there(tmp_path):
    curriculum = declared(corpora={"wiki": {"path": str(tmp_path / "wiki"), "weight": 3},
                                   "books": {"path": str(tmp_path / "books"), "weight": 1}},
                          pairs={"discourse_relation": str(tmp_path / "pairs")})
    stages = stages_of(curriculum)
    assert passes.describe(curriculum, stages)[0] == "wiki: 7,500 tokens drawn, not built yet"
    assert passes.warnings(curriculum, stages) == []
    build_store(tmp_path / "wiki", [doc("a b c d e")] * 10)
    build_store(tmp_path / "books", [doc("a b c d e")] * 1000)
    pair_store(tmp_path / "pairs", [("a b", "c d", 0)] * 50, ["x"])
    assert passes.describe(curriculum, stages) == [
        "wiki: 7,500 tokens drawn, 150.0 passes over 50", "books: 12,500 tokens drawn, 2.5 passes over 5,000",
        "discourse_relation: 10,000 tokens drawn, 50.0 passes over 200"]
    warning, = passes.warnings(curriculum, stages)
    assert warning.startswith("wiki has 50 tokens and would be read 150 times over: fewer iterations")


def test_plan_and_training_say_so(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2, "token_document": 1}], batch_tokens=2048,
                        iterations_per_task=2)
    planned = subprocess.run([sys.executable, "-m", "ernie", "plan", "--config", str(file)], capture_output=True,
                             text=True, env=runs.ENVIRONMENT, check=True).stdout
    assert "Data, over all stages\n  made: 6,144 tokens drawn, 0." in planned
    planned = subprocess.run([sys.executable, "-m", "ernie", "plan", "--config", str(file), "--set",
                              "batch_tokens=4000000"], capture_output=True, text=True, env=runs.ENVIRONMENT,
                             check=True).stdout
    assert "note: made has " in planned and "times over" in planned


def test_the_stage_says_so(tmp_path, capsys):
    from ernie.pretraining.stage import train_stage
    build_store(tmp_path / "train", [[["a b . c d . a b c d"] * 3] * 40] * 3)
    build_store(tmp_path / "dev", [doc("a b", "c d")] * 40, (tmp_path / "train/vocab.txt").read_text().split())
    file = runs.declare(tmp_path, [{"knowledge_masking": 600, "token_document": 1}])
    curriculum = load(file, ["stages=[{tasks: {knowledge_masking: 1, token_document: 1}}]"])
    assert train_stage(curriculum, 1, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "data: made: 512 tokens drawn, " in said
    assert "note: token_document on " in said and "'elsewhere too', so there is little to learn" in said
