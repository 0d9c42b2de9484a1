"""Stages, allocation and draws, stated by hand."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ernie.pretraining.curriculum import Curriculum, load
from ernie.pretraining.run_directory import RunDirectory
from ernie.pretraining.stages import allocate, extend, stages_of
from ernie.utils.config_io import build, override
from reader.utils.errors import InputError

NAMES = ["knowledge_masking", "capitalization", "token_document", "sentence_reordering"]


def curriculum(**values) -> Curriculum:
    return build(Curriculum, {"tasks": NAMES, "corpora": {"wiki": "store"}, "model": "m.json", **values}, "test")


def budgets(stages):
    return [stage.budgets for stage in stages]


def test_the_table_of_the_paper():
    assert (allocate([50000] * 4) / 1000).tolist() == [
        [20, 10, 10, 10],
        [0, 30, 10, 10],
        [0, 0, 40, 10],
        [0, 0, 0, 50]]


def test_continual_multitask_stages_carry_all_tasks_so_far():
    stages = stages_of(curriculum())
    assert [stage.new for stage in stages] == [[name] for name in NAMES]
    assert budgets(stages)[2] == {"knowledge_masking": 10000, "capitalization": 10000, "token_document": 40000}
    assert [stage.steps for stage in stages] == [20000, 40000, 60000, 80000]


def test_the_three_methods_cost_the_same():
    totals = {method: sum(stage.steps for stage in stages_of(curriculum(method=method)))
              for method in ("continual_multitask", "multitask", "sequential")}
    assert set(totals.values()) == {200000}
    assert budgets(stages_of(curriculum(method="sequential"))) == [{name: 50000} for name in NAMES]
    assert budgets(stages_of(curriculum(method="multitask"))) == [dict.fromkeys(NAMES, 50000)]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_every_task_gets_exactly_its_iterations(totals):
    table = allocate(totals)
    assert table.sum(axis=1).tolist() == totals
    assert (table >= 0).all() and not np.tril(table, -1).any()


def test_explicit_stages():
    stages = stages_of(curriculum(method="explicit", stages=[
        {"tasks": {"knowledge_masking": 5}},
        {"tasks": {"capitalization": 3, "knowledge_masking": 0}, "until_converged": {"evaluate_every": 2}}]))
    assert budgets(stages) == [{"knowledge_masking": 5}, {"capitalization": 3}]
    assert stages[1].new == ["capitalization"] and stages[1].until_converged.patience == 3


def test_draws_spend_every_budget_and_depend_on_seed_and_stage_only():
    first, second = stages_of(curriculum(iterations_per_task=100))[1:3]
    draws = first.draws(7)
    assert np.bincount(draws).tolist() == list(first.budgets.values())
    assert (draws == first.draws(7)).all()
    assert not (draws == first.draws(8)).all()
    assert len(second.draws(7)) == second.steps


def test_budgets_run_out_together():
    stage = stages_of(curriculum(iterations_per_task=5000))[3]
    draws = stage.draws(1)
    half = np.bincount(draws[:len(draws) // 2], minlength=4)
    assert np.abs(half / np.array(list(stage.budgets.values())) - 0.5).max() < 0.06


def test_an_appended_task_gets_one_new_stage_and_leaves_the_others():
    done = stages_of(curriculum(iterations_per_task=100))
    more = curriculum(iterations_per_task=100, tasks=[{"name": NAMES[0], "rehearsal": 7}, *NAMES[1:], "mine"])
    stages = extend(done, more)
    assert stages[:4] == done
    assert stages[4].budgets == {NAMES[0]: 7, NAMES[1]: 16, NAMES[2]: 16, NAMES[3]: 16, "mine": 100}
    assert stages[4].new == ["mine"]
    assert extend(done, curriculum(iterations_per_task=100)) == done


def test_what_is_recorded_of_an_extended_run_is_the_whole_declaration(tmp_path):
    facts = {"model": {}, "vocabulary": "", "data": {}, "classes": {}}
    run, first = RunDirectory(tmp_path), curriculum(iterations_per_task=100)
    run.record(first, stages_of(first), facts)
    more = curriculum(iterations_per_task=100, tasks=[{"name": NAMES[0], "rehearsal": 7}, *NAMES[1:], "mine"])
    run.record(more, run.stages(more), facts)
    assert run.recorded()["curriculum"] == more.to_dict()


def test_an_extension_must_begin_with_the_trained_tasks():
    with pytest.raises(InputError, match="must begin with these tasks in this order"):
        extend(stages_of(curriculum()), curriculum(tasks=[NAMES[1], NAMES[0]]))


@pytest.mark.parametrize("values, message", [
    ({"iteration_per_task": 3}, "did you mean 'iterations_per_task'"),
    ({"method": "continual"}, "not one of continual_multitask"),
    ({"optimizer": {"lr": 1}}, "unknown key 'lr'"),
    ({"optimizer": {"learning_rate": "fast"}}, "expected float, found 'fast'"),
    ({"tasks": ["a", "a"]}, "stands twice"),
    ({"tasks": [{"name": "a", "corpora": ["books"]}]}, "'books' is not one of wiki"),
    ({"stages": [{"tasks": {"a": 1}}]}, "explicit"),
    ({"batch_tokens": 0}, "must be at least 1"),
    ({"precision": "fp8"}, "not one of fp32, fp16, bf16"),
])
def test_mistakes_are_named(values, message):
    with pytest.raises(InputError, match=message):
        curriculum(**values)


def test_a_missing_key_and_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="missing key 'corpora'"):
        build(Curriculum, {"tasks": ["a"], "model": "m"}, "f.yaml")
    with pytest.raises(InputError, match="no such (curriculum|configuration file)"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: 1\nb: [1,\n")
    with pytest.raises(InputError, match="bad.yaml line 3: not valid yaml"):
        load(tmp_path / "bad.yaml")


def test_overrides_are_dotted_and_read_as_yaml():
    changed = override({"a": {"b": 1}, "c": 2}, ["a.b=1e-4", "d.e=[x, y]", "c=null"])
    assert changed == {"a": {"b": 1e-4}, "c": None, "d": {"e": ["x", "y"]}}
    with pytest.raises(InputError, match="expected key=value"):
        override({}, ["nothing"])
    with pytest.raises(InputError, match=r"--set 'a=\[': the value is not valid yaml"):
        override({}, ["a=["])


def test_slices_fill_the_batch_for_any_number_of_cards():
    paper = curriculum(batch_tokens=393216, micro_batch_tokens=8192)
    assert [paper.slices(cards) for cards in (1, 2, 48)] == [48, 48, 48]
    assert paper.slices(64) == 64 and paper.slices(5) == 50
