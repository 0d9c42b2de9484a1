"""The environment that the launchers make: a Paddle that cannot be imported is no installed one."""
import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.ernie import runs

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


def chosen(checkout) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("PYTHON", "VIRTUAL_ENV", "ERNIE_PADDLE", "ERNIE_EXTRAS")}
    return subprocess.run(["bash", "-c", BASH], cwd=checkout, capture_output=True, text=True, env=environment)


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
