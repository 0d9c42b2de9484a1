"""Health lines: the rank that is slow is named, whether it computes slowly or waits for its batches."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ernie.training.health import slowest_rank
from tests.ernie import runs

SLOW = """
import os, sys, time
sys.path[:0] = [{root!r}]

def slowly(self, *arguments, **named):
    time.sleep(0.5 * (os.environ["PADDLE_TRAINER_ID"] == "1"))
    return forward(self, *arguments, **named)

if __name__ == "__main__":
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.model.pretraining_model import PretrainingModel
    forward = PretrainingModel.forward
    PretrainingModel.forward = slowly
    from ernie.cli import main
    sys.exit(main())
"""
# Slower than what a machine with other work adds to the times of the other rank.
LATE = '''
import os, time
from tasks.token_document import TokenDocument

class Late(TokenDocument):
    name = "late"

    def labels(self, tokens):
        time.sleep(0.1 * (os.environ["PADDLE_TRAINER_ID"] == "1"))
        return super().labels(tokens)
'''


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "stage-1" / "log.jsonl").read_text("utf-8").splitlines()]


def test_a_rank_that_computes_slowly_is_named(tmp_path):
    (tmp_path / "main.py").write_text(SLOW.format(root=str(runs.ROOT)))
    file = runs.declare(tmp_path, [{"knowledge_masking": 6}], log_every=3, health_every=0.2, check_ranks_every=0,
                        checkpoint_every=1000)
    said = runs.run(file, tmp_path / "run", "--devices", "0,1", "--max-restarts", "0",
                    ERNIE_MAIN=str(tmp_path / "main.py"))
    last = lines(tmp_path / "run")[-1]
    assert len(last["rank_compute"]) == len(last["rank_data_wait"]) == 2
    assert last["slowest"]["rank"] == 1 and last["slowest"]["host"] == os.uname().nodename
    assert last["slowest"]["ratio"] > 1.3, lines(tmp_path / "run")
    assert last["slowest"]["compute"] > 4 * last["slowest"]["data_wait"]
    health = [line for line in said.splitlines() if "health:" in line]
    assert f"slowest rank 1 on {os.uname().nodename}: " in health[-1] and " s a step, skipped 0" in health[-1]


def test_a_rank_that_waits_for_batches_is_named(tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    file = runs.declare(tmp_path, [{"late": 20}], tasks_from=[str(tmp_path / "late.py")], log_every=10,
                        check_ranks_every=0, dev_batches=1)
    said = runs.run(file, tmp_path / "run", "--devices", "0,1", "--max-restarts", "0")
    slowest = lines(tmp_path / "run")[-1]["slowest"]
    assert slowest["rank"] == 1 and slowest["ratio"] > 1.3
    assert slowest["data_wait"] > 2 * lines(tmp_path / "run")[-1]["rank_data_wait"][0]
    assert "health:" not in said  # a minute has not passed


def test_one_rank_has_none_that_is_slowest(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 30}], health_every=0.01)
    said = runs.run(file, tmp_path / "run")
    assert "health: step " in said and "slowest" not in said
    assert all(line["slowest"] is None and line["rank_compute"] == [] for line in lines(tmp_path / "run"))
    assert "health:" not in runs.run(file, tmp_path / "silent", "--set", "health_every=0")


@pytest.mark.parametrize("compute, waits, rank, ratio", [
    ([1.0, 3.0], [0.0, 0.0], 1, 3.0), ([1.0, 1.0, 1.0], [0.0, 0.5, 0.0], 1, 1.5),
    ([2.0, 1.0, 1.0, 1.5], [0.0, 0.0, 2.0, 0.0], 2, 2.0)])
def test_the_slowest_rank_beside_the_median(compute, waits, rank, ratio):
    found = slowest_rank(compute, waits, [f"node{n // 2}" for n in range(len(compute))])
    assert (found.rank, found.host, found.ratio) == (rank, f"node{rank // 2}", pytest.approx(ratio))
