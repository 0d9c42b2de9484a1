"""Figures over seeds and equal budgets, stated by hand."""
import pytest

from ernie.comparison.budgets import Budget, check_equal
from ernie.comparison.results import Figure, Group, compare_downstream, compare_tasks, mean_metrics, table
from ernie.pretraining.curriculum import Curriculum
from ernie.training.metrics import Baseline, TaskMetrics
from reader.utils.errors import InputError


def curriculum(method: str, **settings) -> Curriculum:
    from ernie.utils.config_io import build
    return build(Curriculum, {"tasks": ["knowledge_masking", "capitalization", "sentence_distance"], "model": "m.json",
                              "corpora": {"c": {"path": "c"}}, "method": method, "iterations_per_task": 40,
                              "batch_tokens": 1000, "max_length": 32, "micro_batch_tokens": 500, **settings}, "here")


def test_a_token_level_task_is_updated_in_every_step_of_its_stages():
    budget = Budget.of(curriculum("continual_multitask"))  # stages 20; 10 + 30; 10 + 10 + 40
    assert (budget.steps, budget.tokens) == (120, 120_000)
    assert budget.updates == {"knowledge_masking": 120, "capitalization": 100, "sentence_distance": 40}
    assert Budget.of(curriculum("sequential")).updates == dict.fromkeys(budget.updates, 40)
    assert Budget.of(curriculum("multitask")).updates == {"knowledge_masking": 120, "capitalization": 120,
                                                         "sentence_distance": 40}


def test_updates_follow_what_is_trained_in_whose_batches():
    drawn = Budget.of(curriculum("multitask", losses="drawn"))
    assert drawn.updates == Budget.of(curriculum("sequential")).updates
    tasks = ["knowledge_masking", "capitalization", {"name": "sentence_distance", "lm_weight": 0}]
    assert Budget.of(curriculum("multitask", tasks=tasks)).updates == {
        "knowledge_masking": 80, "capitalization": 120, "sentence_distance": 40}


def test_unequal_totals_are_refused_unless_told_which_to_equal():
    budgets = {method: Budget.of(curriculum(method)) for method in ("sequential", "multitask")}
    with pytest.raises(InputError) as refused:
        check_equal(budgets, ["steps", "tokens", "updates"])
    text = str(refused.value)
    assert "differ in updates of a task (say which to equal: --equal steps tokens)" in text
    assert "sequential: updates knowledge_masking 40" in text and "multitask: updates knowledge_masking 120" in text
    check_equal(budgets, ["steps", "tokens"])
    budgets["long"] = Budget.of(curriculum("multitask", iterations_per_task=41, batch_tokens=2000))
    with pytest.raises(InputError, match="differ in steps and tokens .no total agrees: change the curricula"):
        check_equal(budgets, ["steps", "tokens"])
    with pytest.raises(InputError, match="long: tokens 246,000"):
        check_equal(budgets, ["tokens"])


def accuracy(value: float, baseline: float = 0.5) -> TaskMetrics:
    return TaskMetrics(1.0, value, 100, 0.4, 0.25, Baseline("lengths", baseline))


def loss(value: float) -> TaskMetrics:
    return TaskMetrics(value, 0.1, 100, baseline=Baseline("unigrams", 0.05, 7.0, True))


def test_spread_and_interval_by_hand():
    figure = Figure((1.0, 2.0, 3.0))
    assert (figure.mean, figure.spread) == (2.0, 1.0)
    assert figure.interval == pytest.approx(4.303 / 3**0.5, rel=1e-3) and not figure.clear
    assert Figure((1.0, 1.1, 0.9)).clear
    alone = Figure((1.0,))
    assert alone.spread is None and alone.interval is None and not alone.clear


@pytest.fixture
def groups():
    """The second curriculum is 2 points better at every seed, whatever the seed is worth."""
    worth = {1: 0.60, 2: 0.70, 3: 0.80}
    first = Group("first", {seed: [(1, {"masking": loss(6.0)}), (2, {"masking": loss(6.5), "order": accuracy(value)})]
                            for seed, value in worth.items()}, 1000, {"rte": {1: 0.5, 2: 0.6, 3: 0.7}})
    second = Group("second", {seed: [(1, {"masking": loss(6.0 - seed / 10), "order": accuracy(value + 0.02)})]
                              for seed, value in worth.items()}, 1000, {"rte": {2: 0.65}})
    return [first, second]


def test_differences_are_paired_by_seed(groups):
    masking, order = compare_tasks(groups)
    assert order.shown == ["70.0% ± 10.0", "72.0% ± 10.0"]
    assert order.differences == ["", "+2.0 ± 0.0"] and order.clear == [False, True]
    assert order.reference == ["50.0%", "40.0%"]
    assert masking.unit == "loss (lower)" and masking.shown == ["6.500 ± 0.000", "5.800 ± 0.100"]
    assert masking.differences[1] == "-0.700 ± 0.248" and masking.clear[1]  # 4.303 * 0.1 / sqrt(3)
    rte, = compare_downstream(groups)
    assert rte.shown == ["60.0% ± 10.0", "65.0%"] and rte.differences[1] == "+5.0"  # only seed 2 is a pair
    text = table([masking, order], groups, ["baseline", "majority"]).splitlines()
    assert text[0].split() == ["baseline", "majority", "first", "second", "second", "-", "first"]
    assert text[2].startswith("order, accuracy") and text[2].endswith("+2.0 ± 0.0  *")


def test_the_matrix_of_a_group_is_that_of_the_means(groups):
    matrix = groups[0].matrix
    assert matrix.forgotten("masking") == pytest.approx(-0.5)
    assert matrix.latest["order"].accuracy == pytest.approx(0.7)
    mean = mean_metrics([accuracy(0.6, 0.5), accuracy(0.8, 0.6)])
    assert mean.accuracy == pytest.approx(0.7) and mean.baseline.accuracy == pytest.approx(0.55) and mean.targets == 200
