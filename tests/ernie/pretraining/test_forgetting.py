"""The table at the end of a run, stated by hand."""
import pytest

from ernie.pretraining.forgetting import ForgettingMatrix, read_dev
from ernie.training.metrics import Baseline, GroupMetrics, LogLine, TaskMetrics, TrainingMetrics
from reader.utils.errors import InputError
from reader.utils.files import write_json

MASKING = [TaskMetrics(loss, accuracy, 10, baseline=Baseline("unigrams", 0.04, 6.8))
           for loss, accuracy in ((7.0, 0.05), (6.5, 0.1), (6.75, 0.1))]


def capitals(accuracy: float, targets: int = 10000) -> TaskMetrics:
    return TaskMetrics(0.3, accuracy, targets, 0.8, 0.5, Baseline("label of the token", 0.85))


def table(measured, vocabulary: int) -> list[str]:
    return [" ".join(line.split()) for line in ForgettingMatrix(measured, vocabulary).table().splitlines()]


def test_what_was_forgotten_is_measured_from_the_best_stage():
    assert table([(1, {"knowledge_masking": MASKING[0]}),
                  (2, {"knowledge_masking": MASKING[1], "capitalization": capitals(0.9)}),
                  (3, {"knowledge_masking": MASKING[2], "capitalization": capitals(0.88)})], vocabulary=1000) == [
        "knowledge masking capitalization",
        "loss (lower) accuracy",
        "after stage 1 7.000 -",
        "after stage 2 6.500 90.0%",
        "after stage 3 6.750 88.0%",
        "forgotten since best +0.250 -2.0",
        "best shallow baseline 6.800 85.0%",
        "difference from it -0.050 +3.0",
        "majority class - 80.0%",
        "chance 6.908 50.0%",
        "best shallow baseline: knowledge masking: unigrams; capitalization: label of the token",
        "above it: knowledge masking, capitalization"]


def test_a_task_that_a_later_stage_does_not_measure():
    shown = table([(1, {"a": capitals(0.9)}), (2, {"b": capitals(0.7)})], vocabulary=10)
    assert shown[4] == "forgotten since best - +0.0"
    assert shown[-2:] == ["above it: a", "not above it: b"]


def test_only_what_exceeds_the_best_baseline_by_more_than_the_noise_is_above_it():
    assert capitals(0.86).above_baseline and not capitals(0.86, targets=300).above_baseline
    assert not capitals(0.84).above_baseline
    weak = TaskMetrics(1.0, 0.7, 10**6, majority=0.75, chance=0.5, baseline=Baseline("lengths", 0.6))
    assert weak.floor == 0.75 and not weak.above_baseline  # the majority class is a baseline, too
    assert MASKING[1].above_baseline and not MASKING[0].above_baseline
    assert not TaskMetrics(1.0, 0.9, 10).above_baseline  # nothing is known about its baselines


def test_metrics_and_log_lines_come_back_from_json(tmp_path):
    metrics = {"a": TaskMetrics(2.0, 0.5, 7, groups={"word": GroupMetrics(0.5, 7)}), "b": capitals(0.9)}
    write_json(tmp_path / "dev.json", {name: values.to_json() for name, values in metrics.items()})
    assert read_dev(tmp_path / "dev.json") == metrics and read_dev(tmp_path / "absent.json") is None
    line = LogLine(5, 9, 1.0, 2.0, tasks={"a": TrainingMetrics(2.0, 0.5, 7)}, drawn={"a": 3}, gradient_norm=None)
    assert LogLine.from_json(line.to_json()) == line
    assert LogLine.from_json({"step": 3, "added_later": 1}) == LogLine(3)
    (tmp_path / "dev.json").write_text('{"a": 3}')
    with pytest.raises(InputError, match="not readable as dev metrics"):
        read_dev(tmp_path / "dev.json")
