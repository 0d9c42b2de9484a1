"""The log lines of the 2019 release, to the letter: scripts in the wild grep them. No paddle."""
from __future__ import annotations

import logging
import sys

LOG = logging.getLogger("ernie.2019")


def to_console(rank: int) -> None:
    """Send the lines to the standard error stream, with the prefix of 2019; ranks other than 0 are silent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(asctime)s [%(filename)12s:%(lineno)5d]:\t%(message)s"))
    LOG.handlers[:] = [handler]
    LOG.propagate = False
    LOG.setLevel(logging.INFO if rank == 0 else logging.ERROR)


def dev_line(metric: str, scores: dict[str, float], loss: float, count: int, seconds: float) -> str:
    """Format the measurement of a classifier or a regression by its ``--metric``."""
    shown = {name: f"{value:f}" for name, value in scores.items()}
    if metric == "acc_and_f1":
        figures = f"ave_acc: {shown['accuracy']}, f1: {shown['f1']}"
    elif metric == "matthews_corrcoef":
        figures = f"matthews_corrcoef: {shown['matthews']}"
    elif metric == "pearson_and_spearman":
        mean = (scores["pearson"] + scores["spearman"]) / 2
        figures = f"pearson:{shown['pearson']}, spearman:{shown['spearman']}, corr:{mean:f}"
    elif metric == "acc_and_f1_and_mrr":
        figures = f"acc: {shown['accuracy']}, f1: {shown['f1']}, mrr: {shown['mrr']}"
    else:
        figures = f"acc:{shown['accuracy']}"
    return f"[dev evaluation] ave loss: {loss:f}, {figures}, data_num: {count}, elapsed time: {seconds:f} s"


def tagger_line(scores: dict[str, float], seconds: float) -> str:
    """Format the measurement of a tagger."""
    return f"[evaluation] {_entities(scores)}, elapsed time: {seconds:f} s"


def reader_line(scores: dict[str, float], questions: int, seconds: float) -> str:
    """Format the measurement of a reader, in percent."""
    em, f1 = 100 * scores["em"], 100 * scores["f1"]
    return (f"[dev evaluation] em: {em:f}, f1: {f1:f}, avg: {(em + f1) / 2:f}, questions: {questions}, "
            f"elapsed time: {seconds:f}")


def place(file: str, epoch: int, step: int) -> str:
    """Format what follows a measurement: file, epoch and step."""
    return f", file: {file}, epoch: {epoch}, steps: {step}"


def training_line(epoch: int, row: int, rows: int, step: int, figures: str, speed: float) -> str:
    """Format the state of training; ``figures`` from one of the functions below."""
    return f"epoch: {epoch}, progress: {row}/{rows}, step: {step}, {figures} speed: {speed:f} steps/s"


def classifier_figures(loss: float, accuracy: float) -> str:
    """Format the loss and accuracy of a classifier's training since the last line."""
    return f"ave loss: {loss:f}, ave acc: {accuracy:f},"


def loss_figures(loss: float) -> str:
    """Format the loss of a regression's training; the second space is 2019's own."""
    return f"ave loss: {loss:f}, "


def tagger_figures(loss: float, scores: dict[str, float]) -> str:
    """Format the loss of a tagger's training since the last line, and the entities of the last batch."""
    return f"loss: {loss:f}, {_entities(scores)},"


def _entities(scores: dict[str, float]) -> str:
    return (f"f1: {scores['entity_f1']:f}, precision: {scores['entity_precision']:f}, "
            f"recall: {scores['entity_recall']:f}")
