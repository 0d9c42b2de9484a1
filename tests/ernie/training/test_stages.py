"""What a stage begins with, and what its model can read."""
import json
import shutil
from types import SimpleNamespace

import pytest

from ernie.checkpoints import checkpoint
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tests.builders import build_store
from tests.ernie import runs


def test_segments_that_the_model_has_no_sentence_type_for_are_named(tmp_path, train):
    """A query and its titles, read by a token-level task, with a model of two types."""
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}], pairs={"knowledge_masking": str(tmp_path / "pairs")})
    vocabulary = (tmp_path / "train" / "vocab.txt").read_text().split()
    build_store(tmp_path / "pairs", [[["w1 w2"], ["w3 w4 w5"], ["w6 w7"], ["w8 w9"]] for _ in range(30)], vocabulary,
                labels=[[IGNORE, 0, 1, 1]] * 30, classes=["clicked", "shown", "unrelated"])
    assert train(file, tmp_path / "four") == 0
    (tmp_path / "model.json").write_text(json.dumps({**runs.MODEL, "type_vocab_size": 2}))
    with pytest.raises(InputError, match="made an example of sentence type 3, of which the model has 2"):
        train(file, tmp_path / "two")


def test_a_rank_that_cannot_read_the_checkpoint_of_the_main_rank_says_so(tmp_path, train, monkeypatch):
    """A rank that took another checkpoint, or none, would train on beside the others with other weights."""
    from ernie.training import run as life_cycle
    from ernie.training.distributed import World
    assert train(runs.declare(tmp_path, [{"knowledge_masking": 1}]), tmp_path / "run") == 0
    path, looked = tmp_path / "run" / "stage-1" / "step-00000001", []
    monkeypatch.setattr(life_cycle, "PATIENCE", 0.0)
    for rank in (0, 1):
        life_cycle.wait_until_seen(SimpleNamespace(world=World(rank, 2)), path)
    with pytest.raises(InputError, match="step-00000002: rank 1 on .* cannot read this checkpoint of rank 0: manifest"):
        life_cycle.wait_until_seen(SimpleNamespace(world=World(1, 2)), path.with_name("step-00000002"))

    def late(directory):
        looked.append(directory)
        return "" if len(looked) > 2 else "model.safetensors is missing"

    monkeypatch.setattr(life_cycle, "PATIENCE", 60.0)
    monkeypatch.setattr(checkpoint, "check", late)
    life_cycle.wait_until_seen(SimpleNamespace(world=World(1, 2)), path)
    assert looked == [path] * 3


def test_a_head_that_enters_later_has_the_weights_of_init(tmp_path, train, capsys):
    """They are not lost because stage 1 had no use for them; weights that were trained since are not undone."""
    assert train(runs.declare(tmp_path, [{"knowledge_masking": 3, "capitalization": 3}]), tmp_path / "before") == 0
    init = tmp_path / "before" / "stage-1"
    stages = [{"sentence_reordering": 2}, {"sentence_reordering": 1, "knowledge_masking": 1, "token_document": 1}]
    file = runs.declare(tmp_path, stages, init=str(init), optimizer={"learning_rate": 1e-9})
    assert train(file, tmp_path / "run") == 0
    capsys.readouterr()
    assert train(file, tmp_path / "run", number=2) == 0
    assert f"new head: masked LM, token_document; of {init}: masked LM" in capsys.readouterr().out
    before, first = runs.final(tmp_path / "before"), runs.final(tmp_path / "run")
    second = runs.final(tmp_path / "run", 2)
    for name in ("cls.predictions.transform.weight", "cls.predictions.decoder_bias"):
        assert name not in first and abs(second[name] - before[name]).max() < 1e-6
    for name in ("heads.sentence_reordering.weight", "ernie.embeddings.task_type_embeddings.weight"):
        assert abs(second[name] - first[name]).max() < 1e-6


def test_a_later_stage_does_without_an_init_that_is_gone(tmp_path, train, capsys):
    assert train(runs.declare(tmp_path, [{"knowledge_masking": 1}]), tmp_path / "before") == 0
    file = runs.declare(tmp_path, [{"capitalization": 1}, {"knowledge_masking": 1}], init=str(tmp_path / "before"))
    assert train(file, tmp_path / "run") == 0
    shutil.rmtree(tmp_path / "before")
    assert train(file, tmp_path / "run", number=2) == 0
    assert "note: masked LM as initialised, not as in init: " in capsys.readouterr().out
    assert checkpoint.newest(tmp_path / "run" / "stage-2")
