"""Every log line of the 2019 release to the letter, with figures that differ from one another."""
import logging
import re

import pytest

from ernie.release2019 import words

SCORES = {"accuracy": 0.5, "f1": 0.25, "matthews": -0.125, "pearson": 0.75, "spearman": 0.5, "mrr": 0.625, "em": 0.125,
          "entity_f1": 0.5, "entity_precision": 0.75, "entity_recall": 0.375}


@pytest.mark.parametrize(("metric", "figures"), [
    ("simple_accuracy", "acc:0.500000"),
    ("acc_and_f1", "ave_acc: 0.500000, f1: 0.250000"),
    ("matthews_corrcoef", "matthews_corrcoef: -0.125000"),
    ("pearson_and_spearman", "pearson:0.750000, spearman:0.500000, corr:0.625000"),
    ("acc_and_f1_and_mrr", "acc: 0.500000, f1: 0.250000, mrr: 0.625000")])
def test_dev_line(metric, figures):
    assert words.dev_line(metric, SCORES, 1.5, 7, 2.25) == \
        f"[dev evaluation] ave loss: 1.500000, {figures}, data_num: 7, elapsed time: 2.250000 s"


def test_lines_of_tagger_and_reader():
    entities = "f1: 0.500000, precision: 0.750000, recall: 0.375000"
    assert words.tagger_line(SCORES, 2.25) == f"[evaluation] {entities}, elapsed time: 2.250000 s"
    assert words.reader_line(SCORES, 7, 2.25) == (
        "[dev evaluation] em: 12.500000, f1: 25.000000, avg: 18.750000, questions: 7, elapsed time: 2.250000")
    assert words.place("dev.tsv", 1, 20) == ", file: dev.tsv, epoch: 1, steps: 20"


def test_training_lines():
    head, speed = "epoch: 1, progress: 5/9, step: 3, ", " speed: 2.500000 steps/s"
    entities = "f1: 0.500000, precision: 0.750000, recall: 0.375000"
    for figures, expected in (
            (words.classifier_figures(1.5, 0.5), "ave loss: 1.500000, ave acc: 0.500000,"),
            (words.loss_figures(1.5), "ave loss: 1.500000, "),
            (words.tagger_figures(1.5, SCORES), f"loss: 1.500000, {entities},")):
        assert words.training_line(1, 5, 9, 3, figures, 2.5) == head + expected + speed


@pytest.mark.parametrize(("rank", "heard"), [(0, True), (1, False)])
def test_lines_go_to_the_error_stream_of_the_first_rank(capsys, rank, heard):
    try:
        words.to_console(rank)
        words.LOG.info("a line")
        words.LOG.error("a mistake")
    finally:
        words.LOG.handlers.clear()
        words.LOG.setLevel(logging.NOTSET)
        words.LOG.propagate = True
    out, err = capsys.readouterr()
    head = r"\] [-0-9]{10} [0-9:]{8},\d{3} \[test_words.py: *\d+\]:\t"
    assert out == "" and len(re.findall(rf"^\[INFO{head}a line$", err, re.M)) == heard
    assert len(re.findall(rf"^\[ERROR{head}a mistake$", err, re.M)) == 1
