"""Memory stays flat: over thousands of training steps, and over batches of many shapes in an exported encoder."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.checkpoints.formats import write  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.model.exported import INPUTS, Exported  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel  # noqa: E402
from ernie.training.amp import Precision  # noqa: E402
from ernie.training.distributed import World  # noqa: E402
from ernie.training.optimizer import Updater  # noqa: E402
from ernie.training.settings import LossScaling, OptimizerSettings, Schedule  # noqa: E402
from ernie.training.trainer import Callback, Trainer, TrainState  # noqa: E402
from reader.batches.examples import Batch, Targets  # noqa: E402
from tests.ernie.released import checkpoint, config  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")]
MIB = 2 ** 20
TASKS = {"masking": SimpleNamespace(level="token", head="vocabulary", classes=()),
         "capital": SimpleNamespace(level="token", head="classes", classes=("no", "yes")),
         "order": SimpleNamespace(level="sequence", head="classes", classes=range(33))}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Batches:
    """Rows of six widths, every task with its targets."""

    def at(self, step: int) -> list[Batch]:
        rng, rows, width = np.random.default_rng(step), 2, 6 + 2 * (step % 6)
        tokens, places = rng.integers(5, 40, (rows, width)), np.arange(rows * width)
        targets = {"masking": Targets(places[::6], rng.integers(5, 40, len(places[::6]))),
                   "capital": Targets(places, rng.integers(0, 2, len(places))),
                   "order": Targets(np.arange(rows), rng.integers(0, 33, rows))}
        return [Batch("masking", 0, tokens, np.zeros_like(tokens), np.tile(np.arange(width), (rows, 1)),
                      np.full(rows, width), targets)]


class Memory(Callback):
    """Resident bytes by step."""

    def __init__(self):
        self.at = {}

    def after_step(self, trainer, result):
        if result.step % 1000 == 0:
            self.at[result.step] = resident()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_five_thousand_training_steps_leave_nothing_behind(precision):
    memory, schedule = Memory(), Schedule("noam", 1e-3, 100, 5000)
    updater = Updater(PretrainingModel(config(), TASKS), OptimizerSettings(learning_rate=1e-3), schedule,
                      Precision(precision, "O1", LossScaling()), World())
    Trainer(updater, Batches(), dict.fromkeys(TASKS, 1.0), 5000, state=TrainState(), world=World(), seed=1,
            callbacks=[memory]).run()
    assert memory.at[5000] - memory.at[1000] < 4 * MIB, memory.at  # a hundred bytes an array would leave 9


def test_an_exported_encoder_keeps_nothing_of_the_shapes_it_has_seen(tmp_path):
    write(checkpoint(tmp_path, max_position_embeddings=512), tmp_path / "own", "own")
    assert main(["export", str(tmp_path / "own"), "--to", "inference", "--output", str(tmp_path / "served")]) == 0
    model, before = Exported(tmp_path / "served"), 0
    for rows in range(1, 401):  # short texts: the arrays themselves stay small
        ids = np.ones((rows, 2), np.int64)
        model(**dict(zip(INPUTS, (ids, 0 * ids, 0 * ids, np.full(rows, 2), ids[:, :1]))))
        before = resident() if rows == 100 else before
    assert resident() - before < 8 * MIB  # a kernel kept for each shape would be 23
