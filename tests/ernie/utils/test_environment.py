"""The environment that the launchers make: a Paddle that cannot be imported is no installed one."""
import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.ernie import runs
from tests.ernie.release2019.test_launch import wait_for

LACKING = "import a_package_that_is_not_there\n"  # as the GPU wheel of 2.6.2 lacks setuptools on Python 3.12
BASH = "set -u; . scripts/environment.sh; echo chosen $PYTHON"


@pytest.fixture
def checkout(tmp_path):
    """A checkout without an environment whose pip installs nothing; Paddle is what ``paddle/__init__.py`` says."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(runs.ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    (tmp_path / "setup.py").write_text("")
    (tmp_path / "paddle").mkdir()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$2" = pip ] && exit 0\n'
                      f'PYTHONPATH={tmp_path}:{runs.ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items()
            if name not in ("PYTHON", "VIRTUAL_ENV", "ERNIE_PADDLE", "ERNIE_EXTRAS")}


def chosen(checkout) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", BASH], cwd=checkout, capture_output=True, text=True, env=surroundings())


def test_an_installation_counts_when_paddle_can_be_imported(checkout):
    (checkout / "paddle" / "__init__.py").write_text(LACKING)
    done = chosen(checkout)
    assert done.returncode == 2 and "chosen" not in done.stdout
    assert "No module named 'a_package_that_is_not_there'" in done.stderr
    assert "Paddle was installed into" in done.stderr and "cannot be imported" in done.stderr
    assert not (checkout / ".venv" / "installed").exists()  # the next start tries again
    (checkout / "paddle" / "__init__.py").write_text("")
    done = chosen(checkout)
    assert done.returncode == 0 and done.stdout == f"chosen {checkout}/.venv/bin/python\n", done.stderr
    assert (checkout / ".venv" / "installed").exists()


def test_an_interpreter_that_is_asked_for_and_not_used_is_named(checkout, tmp_path):
    (checkout / "paddle" / "__init__.py").write_text("")
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # without any package
    bare.chmod(0o755)
    for name, value, why in (("PYTHON", str(bare), "lacks paddle, ernie, tokenizers"),
                             ("PYTHON", "no/such/python", "does not run"), ("VIRTUAL_ENV", "no/such", "does not run")):
        (checkout / ".venv" / "installed").unlink(missing_ok=True)
        done = subprocess.run(["bash", "-c", BASH], cwd=checkout, capture_output=True, text=True,
                              env={**surroundings(), name: value})
        assert f"ernie: {name}={value} is passed over: it {why}" in done.stderr
        assert f"chosen {checkout}/.venv/bin/python\n" in done.stdout


def test_of_nodes_that_start_together_in_one_checkout_one_installs(checkout):
    (checkout / "paddle" / "__init__.py").write_text("")
    python, calls, said = checkout / ".venv" / "bin" / "python", checkout / "calls", checkout / "said"
    python.write_text(python.read_text().replace("exit 0", '{ echo pip >>calls; until [ -e go ]; do sleep 0.1; done; '
                                                           'exit 0; }'))
    with open(said, "w") as file:
        def start():
            return subprocess.Popen(["bash", "-c", BASH], cwd=checkout, env=surroundings(), stdout=file, stderr=file)

        first = start()
        wait_for(calls.exists, first, said)
        second = start()
        wait_for(lambda: calls.read_text().count("pip") > 1 or "waiting" in said.read_text(), second, said)
        (checkout / "go").touch()
        assert (first.wait(300), second.wait(300)) == (0, 0), said.read_text()
    assert "another launcher is installing into" in said.read_text()
    assert calls.read_text().split() == ["pip", "pip"]  # pip itself, then the package: once
    assert said.read_text().count("chosen") == 2


def test_an_environment_of_the_user_whose_paddle_lacks_something_is_named(checkout):
    """The launcher does not train, install or restart; it says what is missing."""
    (checkout / "paddle" / "__init__.py").write_text(LACKING)
    (checkout / "data").mkdir()
    said = runs.run(runs.declare(checkout / "data", [{"knowledge_masking": 2}]), checkout / "run", expect=2,
                    PYTHON=str(checkout / ".venv" / "bin" / "python"), VIRTUAL_ENV="")
    assert "cannot be imported: No module named 'a_package_that_is_not_there'" in said
    assert "Traceback" not in said and "starting stage 1 again" not in said


def test_the_gpu_extra_brings_what_its_wheel_does_not_declare():
    tree = ast.parse((runs.ROOT / "setup.py").read_text("utf-8"))
    extras = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
                  and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXTRAS")
    assert "setuptools" in extras["gpu"]
