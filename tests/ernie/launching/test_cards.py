"""Cards as CUDA_VISIBLE_DEVICES and --devices name them. A script stands for the driver's ``nvidia-smi``."""
import argparse
import os
import subprocess
import sys

import pytest

from ernie.launching.cards import choose_cards, rank_settings, visible_cards
from ernie.launching.cluster import from_flags
from ernie.launching.launcher import rank_environment
from ernie.launching.rendezvous import Node
from reader.utils.errors import InputError
from tests.ernie import runs

FIRST, SECOND = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"


@pytest.mark.parametrize("value, labels", [
    (None, "0 1 2 3"), ("all", "0 1 2 3"), ("2,3", "2 3"), (" 3 , 1", "3 1"), ("", ""), ("-1", ""), ("0,-1,2", "0"),
    ("NoDevFiles", ""), ("7", ""), (f"{FIRST},{SECOND}", f"{FIRST} {SECOND}")])
def test_visible_cards(four_cards, value, labels):
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert [card.label for card in visible_cards(environment)] == labels.split()


@pytest.mark.parametrize("value, devices, ordinals", [
    (None, "0,2", [0, 2]), ("2,3", None, [0, 1]), ("2,3", "3", [1]), ("2,3", "3,2", [1, 0]), ("all", "3", [3]),
    (f"{FIRST},{SECOND}", "1,0", [1, 0]), (f"{FIRST},{SECOND}", SECOND, [1])])
def test_devices_are_labels_as_with_paddles_launcher(four_cards, value, devices, ordinals):
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert [card.ordinal for card in choose_cards(devices, environment)] == ordinals


def test_paddles_launcher_maps_the_same(four_cards):
    device = pytest.importorskip("paddle.distributed.launch.context.device").Device()
    device._labels = ["2", "3"]
    assert device.get_selected_devices("3,2") == [
        str(card.ordinal) for card in choose_cards("3,2", {"CUDA_VISIBLE_DEVICES": "2,3"})]


@pytest.mark.parametrize("value, devices, words", [
    ("2,3", "0,1", r"'0' is no visible card; visible here: 2,3 \(CUDA_VISIBLE_DEVICES=2,3\)"),
    (None, "4", "'4' is no visible card; visible here: 0,1,2,3$"), (None, "1,1", "'1' stands twice"),
    (None, "0,,1", "'' is no visible card")])
def test_a_card_that_is_not_there_is_named(four_cards, value, devices, words):
    with pytest.raises(InputError, match=words):
        choose_cards(devices, {} if value is None else {"CUDA_VISIBLE_DEVICES": value})


def test_ranks_find_their_card(four_cards, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    where = from_flags(argparse.Namespace(nnodes=None, rank=None, master=None, devices=None))
    assert (where.devices, where.nproc) == ("2,3", 2)
    found = rank_environment([Node(0, "127.0.0.1", 1, [2, 3])], where, 1)
    assert found["FLAGS_selected_gpus"] == "1" and "PADDLE_DISTRI_BACKEND" not in found
    card = choose_cards("3", {"CUDA_VISIBLE_DEVICES": "all"})[0]
    assert rank_settings(card, {"CUDA_VISIBLE_DEVICES": "all"}) == {
        "FLAGS_selected_gpus": "3", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}


def test_without_a_driver_there_are_no_cards(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert visible_cards({"CUDA_VISIBLE_DEVICES": "0,1"}) == []
    where = from_flags(argparse.Namespace(nnodes=None, rank=None, master=None, devices="0,1"))
    assert where.nproc == 2


def test_a_node_with_cards_and_a_paddle_for_cpus_says_what_to_install(four_cards, tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}])
    said = runs.run(file, tmp_path / "run", "--devices", "0,1", expect=2, PATH=os.environ["PATH"])
    assert "this node has NVIDIA cards, but Paddle" in said and "install paddlepaddle-gpu" in said
    assert "Traceback" not in said


def test_the_dry_run_tells_the_cards(four_cards, tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}])
    said = runs.run(file, tmp_path / "run", "--dry-run", CUDA_VISIBLE_DEVICES="1,3", PATH=os.environ["PATH"])
    assert "1 node(s) x 2 process(es)" in said and "devices 1,3" in said
    said = runs.run(file, tmp_path / "run", "--dry-run", "--devices", "0", expect=2, CUDA_VISIBLE_DEVICES="1,3",
                    PATH=os.environ["PATH"])
    assert "visible here: 1,3" in said


def test_the_command(four_cards):
    done = subprocess.run([sys.executable, "-m", "ernie.launching.cards", "--devices", "3"], capture_output=True,
                          text=True, cwd=runs.ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": "2,3"})
    assert done.stdout == "3 is gpu:1\n"
