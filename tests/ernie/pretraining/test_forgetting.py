"""The table at the end of a run, stated by hand."""
from ernie.pretraining.forgetting import table

MASKING = [{"loss": 7.0, "accuracy": 0.05, "targets": 10}, {"loss": 6.5, "accuracy": 0.1, "targets": 10},
           {"loss": 6.75, "accuracy": 0.1, "targets": 10}]


def capitals(accuracy: float) -> dict:
    return {"loss": 0.3, "accuracy": accuracy, "targets": 10, "majority": 0.8, "chance": 0.5}


def test_what_was_forgotten_is_measured_from_the_best_stage():
    shown = table([(1, {"knowledge_masking": MASKING[0]}),
                   (2, {"knowledge_masking": MASKING[1], "capitalization": capitals(0.9)}),
                   (3, {"knowledge_masking": MASKING[2], "capitalization": capitals(0.88)})], vocabulary=1000)
    assert [line.split() for line in shown.splitlines()] == [
        ["knowledge", "masking", "capitalization"],
        ["loss", "(lower)", "accuracy"],
        ["after", "stage", "1", "7.000", "-"],
        ["after", "stage", "2", "6.500", "90.0%"],
        ["after", "stage", "3", "6.750", "88.0%"],
        ["forgotten", "since", "best", "+0.250", "-2.0"],
        ["majority", "class", "-", "80.0%"],
        ["chance", "6.908", "50.0%"]]


def test_a_task_that_a_later_stage_does_not_measure():
    shown = table([(1, {"a": capitals(0.9)}), (2, {"b": capitals(0.7)})], vocabulary=10)
    assert shown.splitlines()[4].split() == ["forgotten", "since", "best", "-", "+0.0"]
