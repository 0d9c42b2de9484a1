"""The CPU switches: set only where the user set nothing, and only on processors that have the instructions."""
import os

import pytest

from ernie.utils.paddle_setup import tune_cpu


@pytest.mark.parametrize("processor, expected", [
    ("vendor_id : AuthenticAMD\nflags : sse2 avx2 avx512f\n", "7"),
    ("vendor_id : AuthenticAMD\nflags : sse2 avx2\n", "5"),
    ("vendor_id : AuthenticAMD\nflags : sse2\n", None),
    ("vendor_id : GenuineIntel\nflags : avx2 avx512f\n", None),
])
def test_the_amd_switch_follows_the_processor(tmp_path, processor, expected):
    (tmp_path / "cpuinfo").write_text(processor)
    environment = {}
    tune_cpu(environment, tmp_path / "cpuinfo")
    assert environment.get("MKL_DEBUG_CPU_TYPE") == expected
    assert environment["OMP_NUM_THREADS"] == str(os.cpu_count())


def test_what_the_user_set_stays(tmp_path):
    (tmp_path / "cpuinfo").write_text("AuthenticAMD avx512f")
    environment = {"MKL_DEBUG_CPU_TYPE": "4", "OMP_NUM_THREADS": "3"}
    assert tune_cpu(environment, tmp_path / "cpuinfo") == []
    assert environment == {"MKL_DEBUG_CPU_TYPE": "4", "OMP_NUM_THREADS": "3"}


def test_elsewhere_than_linux_only_the_threads_are_set(tmp_path):
    environment = {}
    assert tune_cpu(environment, tmp_path / "none") == [f"OMP_NUM_THREADS={os.cpu_count()}"]
