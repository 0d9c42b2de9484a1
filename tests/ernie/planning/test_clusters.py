"""The arithmetic of clusters, against sums done by hand and a published figure."""
import subprocess
import sys

import pytest

from ernie.model.config import ErnieConfig
from ernie.planning.clusters import MACHINES, estimate, flops_per_token
from tests.ernie.planning.test_plan import ROOT, paper

V100, A100, H100 = MACHINES


def test_operations_of_a_token_by_hand():
    """12 layers of 4 H H + 8 H H, a masked-LM head on 15 %, two products of attention."""
    layers, head = 12 * 12 * 768 * 768, 0.15 * (768 * 768 + 30522 * 768)
    assert flops_per_token(ErnieConfig(), 128) == pytest.approx(6 * (layers + head) + 12 * 12 * 768 * 128)


def test_one_v100_is_the_published_speed():
    """PaddlePaddle's record: BERT-base, sequence 128, AMP, 85,000 tokens/s a card."""
    found = estimate(paper("max_length=128", "batch_tokens=65536", "precision=fp16"), V100, 8)
    assert 65536 / 8 / found.compute == pytest.approx(85000, rel=0.01)


@pytest.mark.parametrize("cards, published", [(8, 0.98), (32, 0.94), (64, 0.93)])
def test_published_scaling_lies_between_nothing_and_half_hidden(cards, published):
    """PaddlePaddle's record of BERT-base on V100s, sequence length 128; 64 rows a card here."""
    found = estimate(paper("max_length=128", f"batch_tokens={8192 * cards}", "precision=fp16"), V100, cards)
    alone = found.compute + found.update
    assert found.efficiency == alone / found.exposed <= published <= alone / found.hidden


def test_a_published_a100_is_faster_than_computed():
    """NVIDIA's BERT-large for PaddlePaddle, AMP, sequence length 128: 633 sequences/s on one A100 of 80 GB."""
    plan = paper("max_length=128", "precision=fp16", "model=configs/model/large_en.json")
    found = estimate(plan, A100, 8)
    assert found.tokens / 8 / found.compute == pytest.approx(633 * 128, rel=0.25)
    assert found.tokens / 8 / found.compute < 633 * 128


def test_the_slowest_link_of_a_ring_counts():
    plan = paper("precision=fp16")
    count = sum(plan.parameters.values())
    inside, across = estimate(plan, V100, 8), estimate(plan, V100, 48)
    assert inside.reduce == pytest.approx(2 * 7 / 8 * 2 * count / 150e9)
    assert across.reduce == pytest.approx(2 * 47 / 48 * 2 * count / 12.5e9)
    assert estimate(plan, V100, 1).reduce == 0
    assert inside.compute == pytest.approx(6 * across.compute)
    assert across.hidden < across.exposed


def test_the_command_prints_every_cluster():
    done = subprocess.run([sys.executable, "-m", "ernie.planning.clusters", "--config",
                           "configs/curriculum/ernie2_en.yaml"], capture_output=True, text=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert [tuple(line.split()[:2]) for line in lines[1:]] == [
        (str(cards), machine.name) for cards in (8, 48, 64) for machine in MACHINES]
    wrong = subprocess.run([sys.executable, "-m", "ernie.planning.clusters", "--config", "none.yaml"],
                           capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
