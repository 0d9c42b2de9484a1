"""The site builds without a broken link, and its generated pages leave nothing out."""
import importlib.util
import subprocess
import sys

import pytest

from tests.conftest import absent
from tests.ernie.runs import ROOT


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_configuration_key_has_a_meaning(generate):
    page = generate.configuration()
    assert not [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    for key in ("batch_tokens", "learning_rate", "vocab_size", "increase_every", "remove_spaces"):
        assert f"| `{key}` |" in page


def test_every_command_is_on_its_page(generate):
    from ernie import cli
    page = generate.commands()
    assert all(f"## ernie {name}\n" in page for name in cli.COMMANDS if cli._exists(name))
    assert "--max-restarts" in page and str(ROOT) not in page


@pytest.mark.parametrize("broken", [False, True])
def test_the_site_builds_and_a_broken_link_is_an_error(tmp_path, broken):
    pytest.importorskip("paddle")
    if importlib.util.find_spec("mkdocs") is None:
        absent("mkdocs", "mkdocs is not installed: pip install mkdocs")
    for name in ("docs", "ernie", "reader", "tasks", "configs", "scripts", "run_pretrain.sh", "run_finetune.sh"):
        if name != "docs":
            (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    for file in (ROOT / "docs").glob("*.*"):
        (tmp_path / "docs" / file.name).write_text(file.read_text("utf-8"), "utf-8")
    (tmp_path / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text("utf-8"), "utf-8")
    if broken:
        with open(tmp_path / "docs" / "tasks.md", "a", encoding="utf-8") as file:
            file.write("\n[nowhere](nowhere.md)\n")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
                          cwd=tmp_path, capture_output=True, text=True)
    if broken:
        assert done.returncode != 0 and "nowhere.md" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "fill_mask" in (tmp_path / "site" / "reference" / "api" / "index.html").read_text("utf-8")
