"""What is said before a run starts: model, memory, time, and what to do when it does not fit."""
import dataclasses

import pytest

from ernie.planning.forecast import Forecast, forecast, free_memory, needed, sample_tokens
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
    assert 10 < found.seconds < 86400 and 0 <= found.waited <= 1 and lines[2].startswith("time: about")


def test_a_busy_machine_is_told_of():
    """What a few steps took while others had the processors is not what the run takes when they are gone."""
    small = plan("demo_en")
    assert Forecast(small, "cpu", 1.0, 8.0, 600.0, 0.1).lines()[2] == \
        "time: about 10.0 min, from a few steps timed just now"
    assert Forecast(small, "cpu", 1.0, 8.0, 600.0, 0.75).lines()[2] == \
        "time: about 2.5 min on an idle machine, up to 10.0 min while other processes take 75 % of this one, from a " \
        "few steps timed just now"


def test_a_small_model_is_timed_on_its_own_micro_batch_and_after_it_is_warm(monkeypatch):
    """A part of it, and the first step that is not the very first, were a quarter slower a token."""
    pytest.importorskip("paddle")
    from ernie.planning import benchmark
    taken = []

    def step(updater, batch, update):
        taken.append((batch.token_ids.size, update, "0" in batch.targets))
        return (9.0, 9.0) if update <= 2 else (1.0, 0.5)
    monkeypatch.setattr(benchmark, "_step", step)
    small = plan("demo_en")
    assert forecast(small).seconds == small.steps * 1.5
    assert {size for size, _, _ in taken} == {2048} and len(taken) == 11
    assert sample_tokens(plan("own_en")) == 512
    never = plan("demo_en", "tasks=[knowledge_masking, {name: sentence_reordering, lm_weight: 0}]",
                 "method=multitask")
    assert never.masked_share == 0.5
    taken.clear()
    assert forecast(never).seconds == never.steps * 1.5
    assert [masked for _, _, masked in taken] == [True] * 11 + [False] * 11


def test_steps_that_take_long_are_few(monkeypatch):
    pytest.importorskip("paddle")
    from ernie.planning import benchmark
    taken = []
    monkeypatch.setattr(benchmark, "_step", lambda updater, batch, update: taken.append(update) or (float(update), 0.0))
    assert benchmark.measure(plan("demo_en"), steps=9, seconds=0).forward_backward == 2 and taken == [1, 2]


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
