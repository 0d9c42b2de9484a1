"""Fixtures of the tests of training."""
import signal

import pytest

from ernie.utils.paddle_setup import import_paddle


@pytest.fixture
def train(monkeypatch):
    """train(file, output) trains stage 1 in this process; with ``stop_after``, until that step."""
    import_paddle()
    from ernie.pretraining import stage as pretraining
    from ernie.pretraining.curriculum import load
    from ernie.training import run as life_cycle
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stage(file, output, *assignments, stop_after=None, number=1):
        class Stop(life_cycle.StopSignals):
            calls = 0

            def __call__(self):
                self.calls += 1
                return bool(stop_after) and self.calls > stop_after

        monkeypatch.setattr(life_cycle, "StopSignals", Stop)
        return pretraining.train_stage(load(file, assignments), number, output)

    yield stage
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def half(monkeypatch):
    """half() makes this process compute half precision in float32, rounded; see ``half_on_cpu``."""
    from tests.ernie.training import half_on_cpu
    return lambda: half_on_cpu.install(monkeypatch.setattr)
