"""The CPU switches: set only where the user set nothing, and only on processors that have the instructions."""
import os
import subprocess
import sys

import pytest

from ernie.utils.paddle_setup import tune_cpu, usable_cores


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
    assert environment["OMP_NUM_THREADS"] == str(usable_cores())


def test_what_the_user_set_stays(tmp_path):
    (tmp_path / "cpuinfo").write_text("AuthenticAMD avx512f")
    environment = {"MKL_DEBUG_CPU_TYPE": "4", "OMP_NUM_THREADS": "3"}
    assert tune_cpu(environment, tmp_path / "cpuinfo") == []
    assert environment == {"MKL_DEBUG_CPU_TYPE": "4", "OMP_NUM_THREADS": "3"}


def test_elsewhere_than_linux_only_the_threads_are_set(tmp_path):
    environment = {}
    assert tune_cpu(environment, tmp_path / "none") == [f"OMP_NUM_THREADS={usable_cores()}"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor affinity here")
def test_threads_follow_the_share_of_the_machine_and_the_number_of_processes(tmp_path):
    code = ("import os; from ernie.utils.paddle_setup import tune_cpu; first = min(os.sched_getaffinity(0)); "
            "os.sched_setaffinity(0, {first}); e = {}; tune_cpu(e); print(e['OMP_NUM_THREADS'])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"
    code = ("import os; from ernie.utils.paddle_setup import share_cpu; share_cpu(10**6); "
            "print(os.environ['OMP_NUM_THREADS'])")
    for given, expected in ((None, "1\n"), ("3", "3\n")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        environment.update({"OMP_NUM_THREADS": given} if given else {})
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment
                              ).stdout == expected


def test_a_paddle_that_lacks_something_is_told_in_one_line(tmp_path):
    (tmp_path / "paddle").mkdir()
    (tmp_path / "paddle" / "__init__.py").write_text("import a_package_that_is_not_there\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', os.getcwd())}"}
    done = subprocess.run([sys.executable, "-m", "ernie", "pretrain", "--config", "x", "--stage", "1", "--output", "y"],
                          capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot be imported: No module named 'a_package_that_is_not_there' (docs/gpu.md" in done.stderr


KEPT = """
import resource
from ernie.utils.paddle_setup import import_paddle
paddle = import_paddle()
faults = []
for _ in range(12):
    paddle.ones([2**24])
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(min(later - earlier for earlier, later in zip(faults, faults[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
@pytest.mark.parametrize("setting, kept", [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)])
def test_a_large_array_reuses_the_memory_of_the_last_unless_the_user_chose(setting, kept):
    pytest.importorskip("paddle")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    found = subprocess.run([sys.executable, "-c", KEPT], env={**clean, **setting}, capture_output=True, text=True)
    assert (int(found.stdout) < 1000) == kept, found.stderr  # 64 MB are 16,384 pages
