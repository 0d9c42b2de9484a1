"""Which losses train in the batches of which task: lm_weight of a task, losses of a curriculum."""
import json

import numpy as np
import pytest

from ernie.pretraining.curriculum import load
from ernie.pretraining.data import PretrainingData
from reader.utils.errors import InputError
from tests.ernie import runs

STAGE = {"knowledge_masking": 3, "capitalization": 3, "sentence_reordering": 3}


def batches(folder, name: str, lm_weight: dict | None = None, **settings):
    entries = [{"name": task, "lm_weight": (lm_weight or {}).get(task, 1)} for task in STAGE]
    data = PretrainingData(load(runs.declare(folder, [STAGE], tasks=entries, **settings)))
    return data.batches(name, list(STAGE), 1)


def corrupted(source) -> bool:
    return any((batch.token_ids == source.specials.mask_id).any() for batch in source.at(0))


def test_all_token_level_tasks_train_in_every_batch(tmp_path):
    source = batches(tmp_path, "sentence_reordering")
    assert list(source.at(0)[0].targets) == list(STAGE) and corrupted(source)
    assert source.at(0)[0].factors == {"knowledge_masking": 1.0}


def test_at_weight_0_the_input_is_not_corrupted(tmp_path):
    weights = {"sentence_reordering": 0, "capitalization": 0.25}
    source = batches(tmp_path, "sentence_reordering", weights)
    assert list(source.at(0)[0].targets) == ["capitalization", "sentence_reordering"] and not corrupted(source)
    source = batches(tmp_path, "capitalization", weights)
    assert source.at(0)[0].factors == {"knowledge_masking": 0.25} and corrupted(source)
    source = batches(tmp_path, "knowledge_masking", weights)
    assert source.at(0)[0].factors == {} and corrupted(source)
    with pytest.raises(InputError, match="knowledge_masking: lm_weight is for the batches of other tasks"):
        batches(tmp_path, "capitalization", {"knowledge_masking": 0.5})


def test_the_drawn_task_alone(tmp_path):
    for name in STAGE:
        source = batches(tmp_path, name, losses="drawn")
        assert list(source.at(0)[0].targets) == [name]
        assert corrupted(source) == (name == "knowledge_masking")
    with pytest.raises(InputError, match="losses"):
        batches(tmp_path, "capitalization", losses="some")


def test_the_texts_are_the_same_whatever_trains_in_them(tmp_path):
    found = [batches(tmp_path, "sentence_reordering", weight, **settings).at(2) for weight, settings in (
        (None, {}), ({"sentence_reordering": 0}, {}), (None, {"losses": "drawn"}))]
    for other in found[1:]:
        for one, two in zip(found[0], other):
            assert one.addresses == two.addresses and np.array_equal(one.token_type_ids, two.token_type_ids)
            assert np.array_equal(one.targets["sentence_reordering"].labels, two.targets["sentence_reordering"].labels)


def test_a_run_logs_what_trained(tmp_path):
    """Through the trainer: the factor reaches the gradient, and no task is missed that has no loss in a step."""
    from ernie.pretraining.stage import train_stage
    final = {}
    for name, settings in {"all": {}, "tenth": {"lm_weight": 0.1}, "none": {"lm_weight": 0}, "drawn": {}}.items():
        folder = tmp_path / name
        folder.mkdir()
        entries = [{"name": "capitalization", **settings}, "knowledge_masking"]
        file = runs.declare(folder, [{"capitalization": 2, "knowledge_masking": 2}], tasks=entries, dropout=0.0,
                            losses="drawn" if name == "drawn" else "all")
        assert train_stage(load(file), 1, folder / "run") == 0
        logged = [json.loads(line) for line in (folder / "run/stage-1/log.jsonl").read_text().splitlines()]
        trained = {line["task"]: sorted(line["tasks"]) for line in logged}
        both = ["capitalization", "knowledge_masking"]
        assert trained == {"capitalization": both if name in ("all", "tenth") else ["capitalization"],
                           "knowledge_masking": ["knowledge_masking"] if name == "drawn" else both}
        final[name] = runs.final(folder / "run")
    assert not runs.identical(final["all"], final["tenth"]) and not runs.identical(final["none"], final["drawn"])


def test_a_task_that_is_left_out_needs_no_pairs(tmp_path):
    absent = {"path": str(tmp_path / "pairs" / "train"), "dev": str(tmp_path / "pairs" / "dev")}
    file = runs.declare(tmp_path, [{"sentence_distance": 2}], pairs={"discourse_relation": absent})
    data = PretrainingData(load(file))
    assert list(data.stores) == ["made"] and data.measurable(["sentence_distance"]) == ["sentence_distance"]
    both = {"sentence_distance": 2, "discourse_relation": 2}
    file = runs.declare(tmp_path, [both], pairs={"discourse_relation": absent})
    with pytest.raises(InputError, match="pairs/train"):
        PretrainingData(load(file))
