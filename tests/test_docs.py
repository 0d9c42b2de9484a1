"""The site builds without a broken link, and its generated pages leave nothing out."""
import importlib.util
import shutil
import subprocess
import sys

import pytest

from tests.conftest import absent
from tests.ernie.runs import ROOT


def module_of(file):
    """The module in a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate():
    return module_of(ROOT / "docs" / "generate.py")


def test_the_evidence_shows_the_results():
    """Tables and pictures are those that docs/results gives."""
    evidence = module_of(ROOT / "benchmarks" / "evidence.py")
    page = evidence.PAGE.read_text("utf-8")
    for name, content in evidence.blocks().items():
        begin = f"<!-- begin {name} -->\n"
        assert begin not in page or page.partition(begin)[2].startswith(f"{content}\n<!-- end -->"), name
    for theme in evidence.COLOURS:
        assert (evidence.PICTURES / f"forgetting-{theme}.svg").read_text("utf-8") == \
            evidence.picture(evidence.groups_of(evidence.RESULTS / "minilm.jsonl"), theme)


def test_books_are_cut_into_chapters(tmp_path):
    evidence = module_of(ROOT / "benchmarks" / "evidence.py")
    with pytest.raises(evidence.InputError, match="expected the books"):
        evidence.chapters(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "book.txt").write_text("".join(f"Line {n} .\n" for n in range(161)), "utf-8")
    evidence.chapters(tmp_path, tmp_path / "out")
    parts = (tmp_path / "out" / "book.txt").read_text("utf-8").split("\n\n")
    assert [len(part.splitlines()) for part in parts] == [80, 80, 1]
    assert parts[1].startswith("Line 80 .\n") and parts[2] == "Line 160 .\n"


def test_published_questions_are_divided_by_sentence(tmp_path):
    evidence = module_of(ROOT / "benchmarks" / "evidence.py")
    with pytest.raises(evidence.InputError, match="expected the published dev rows"):
        evidence.questions(tmp_path, tmp_path / "out")
    (tmp_path / "QNLI").mkdir()
    rows = [f"{n}\tWhat ?\tSentence {n % 40} .\tentailment\n" for n in range(120)]
    (tmp_path / "QNLI" / "dev.tsv").write_text("index\tquestion\tsentence\tlabel\n" + "".join(rows), "utf-8")
    evidence.questions(tmp_path, tmp_path / "out")
    parts = [(tmp_path / "out" / f"{name}.tsv").read_text("utf-8").splitlines(True) for name in ("train", "dev")]
    assert [part[0] for part in parts] == ["index\tquestion\tsentence\tlabel\n"] * 2
    assert sorted(parts[0][1:] + parts[1][1:]) == sorted(rows)
    train, dev = ({row.split("\t")[2] for row in part[1:]} for part in parts)
    assert not train & dev and 2 < len(dev) < 16  # about 8 of 40 sentences


def test_the_evidence_runs_what_can_be_run(capsys):
    """Every command of the manifest parses, and its curricula spend equal budgets where it says so."""
    evidence = module_of(ROOT / "benchmarks" / "evidence.py")
    from ernie import cli
    from ernie.comparison.budgets import Budget, check_equal
    from ernie.pretraining.curriculum import load
    places = dict.fromkeys(("chapters", "glue", "questions", "chinese", "clue", "output", "gensim", "minilm"), "x")
    for command in evidence.read_yaml(evidence.MANIFEST).values():
        program, name, *arguments = command.format(**places).split()
        assert program == "ernie"
        args = cli.parser_of(name).parse_args(arguments)
        if name == "compare":
            check_equal({config: Budget.of(load(config)) for config in args.configs}, args.equal)


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
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
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
        assert not [page for page in (tmp_path / "site").rglob("*.html") if "```" in page.read_text("utf-8")]
        assert "fill_mask" in (tmp_path / "site" / "reference" / "api" / "index.html").read_text("utf-8")
