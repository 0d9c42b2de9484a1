"""What is said before a run starts: model, memory, time, and what to do when it does not fit."""
import dataclasses

import pytest

from ernie.planning.forecast import Forecast, forecast, free_memory, needed
from ernie.planning.plan import Plan
from ernie.pretraining.curriculum import load


def plan(name, *assignments):
    return Plan.of(load(name, assignments), 1)


def test_a_small_run_is_told_with_its_time():
    pytest.importorskip("paddle")
    small = plan("demo_en")
    found = forecast(small)
    lines = found.lines()
    assert lines[0].startswith("model: 1.9 M parameters (4 layers of 128, vocabulary 8,000); 1,280 steps of 2,048")
    assert found.device == "cpu" and 0.5 < found.needed < 2 and "GB free (cpu)" in lines[1]
    assert 10 < found.seconds < 86400 and lines[2].startswith("time: about")


def test_what_does_not_fit_names_the_mildest_remedy():
    big = plan("own_en")
    small = needed(big, "cpu", 1024)
    assert needed(big, "cpu", 8192) > 13  # resident gigabytes; 13 to 20 were seen
    warning = Forecast(big, "cpu", needed(big, "cpu", 8192), small + 0.1, None).lines()[-1]
    assert warning.startswith("warning: this does not fit") and "--set micro_batch_tokens=1024" in warning
    warning = Forecast(big, "cpu", needed(big, "cpu", 8192), 1.0, None).lines()[-1]
    assert "model=configs/model/small.json" in warning
    assert len(Forecast(big, "cpu", 13.0, 64.0, None).lines()) == 2


def test_a_run_of_months_is_warned_about():
    *_, time, warning = Forecast(plan("own_en"), "cpu", 13.0, 64.0, 90 * 86400.0).lines()
    assert "own_small" in warning and "90.0 days" in time


def test_the_remedy_computes_the_same():
    big = plan("own_en")
    cut = dataclasses.replace(big, curriculum=dataclasses.replace(big.curriculum, micro_batch_tokens=1024))
    assert cut.micro_tokens * cut.micro_batches == big.micro_tokens * big.micro_batches == big.curriculum.batch_tokens


def test_free_memory_is_the_tighter_of_machine_and_container(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    assert free_memory(tmp_path / "meminfo", tmp_path) == 8
    (tmp_path / "memory.max").write_text(f"{3 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{1 << 30}\n")
    assert free_memory(tmp_path / "meminfo", tmp_path) == 2
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path / "meminfo", tmp_path) == 8
    assert free_memory(tmp_path / "absent", tmp_path) is None
