"""The command line as a whole: help, version, what is in the way of it."""
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ernie
import ernie.release2019.flags
import ernie.release2019.launch
import ernie.release2019.pretrain
from ernie import cli, release2019
from ernie.utils.arguments import Parser
from ernie.utils.resources import CONFIGS, locate, locate_curriculum
from reader.utils.errors import InputError
from tests.ernie.runs import ROOT

EXISTING = [name for name in cli.COMMANDS if cli._exists(name)]


def python(code: str, cwd: Path, **environment) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds this checkout behind the working directory."""
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment})


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def helps():
    """Of every command, launcher and program of 2019: what `--help` prints, and what its example begins with."""
    for name in EXISTING:
        yield pytest.param(lambda name=name: cli.parser_of(name).format_help(), f"ernie {name}", id=name)
    for kind in ("pretrain", "finetune"):
        launcher = ["bash", str(ROOT / f"run_{kind}.sh"), "--help"]
        yield pytest.param(lambda launcher=launcher: subprocess.run(launcher, capture_output=True, text=True).stdout,
                           f"bash run_{kind}.sh", id=f"run_{kind}.sh")
        launch = importlib.import_module(f"ernie.{kind}_launch")
        yield pytest.param(lambda launch=launch: release2019.launch.parser_of(launch.__doc__).format_help(),
                           f"python ernie/{kind}_launch.py", id=f"{kind}_launch.py")
    for program in release2019.flags.PROGRAMS:
        yield pytest.param(lambda program=program: release2019.flags.parser_of(program).format_help(),
                           f"python ernie/run_{program}.py", id=f"run_{program}.py")
    yield pytest.param(lambda: release2019.pretrain.parser_of().format_help(), "python ernie/pretrain_launch.py",
                       id="train.py")


@pytest.mark.parametrize("show, example", list(helps()))
def test_every_help_fits_the_terminal_has_an_example_and_names_its_documentation(show, example):
    text = show()
    assert [line for line in text.splitlines() if len(line) > 80 and " " in line.strip()] == []  # a long path alone may
    assert re.search(rf"(example: +|^ +){re.escape(example)}\b", text, re.M), "no example"
    page = Path(re.search(r"documentation:\s+(\S+)", text).group(1))
    called = example.replace("bash run_pretrain.sh", "run_pretrain.sh").replace("python ernie/", "")
    assert called.removeprefix("bash ") in page.read_text("utf-8"), f"{page.name} does not speak of it"


@pytest.mark.parametrize("name", EXISTING)
def test_every_example_of_a_help_can_be_pasted(name):
    """Also where it is folded: what stands behind the backslashes belongs to the same command."""
    parser = cli.parser_of(name)
    text = re.sub(r"\\\n *", "", parser.format_help())
    found = re.findall(rf"^ *(?:example: +)?(ernie {name} .*)$", text, re.M)
    for command in found:
        words = shlex.split(command, comments=True)[2:]
        parser.parse_args(words) if name != "launch" or len(words) > 2 else None


def test_every_flag_says_what_it_is():
    silent = [f"{name} {action.dest}" for name in EXISTING for action in cli.parser_of(name)._actions
              if not action.help or not (action.metavar or action.choices or action.nargs == 0)]
    assert silent == []


def test_a_program_of_2019_shows_its_own_flags_and_takes_those_of_the_others():
    for program, foreign in (("classifier", "--doc_stride"), ("mrc", "--is_regression"),
                             ("sequence_labeling", "--num_labels")):
        assert foreign not in release2019.flags.parser_of(program).format_help()
        release2019.flags.parse([foreign, "1"], program)


def test_the_overview_fits_the_terminal():
    assert [line for line in cli.overview().splitlines() if len(line) > 80 and "documentation" not in line] == []


def test_folding_leaves_the_words_of_a_command(monkeypatch):
    monkeypatch.setenv("COLUMNS", "46")
    command = "ernie do --input a b --text 'one two three four' --output output/somewhere --flag"
    text = Parser(prog="x", description=f"Prose.\n\nexample: {command}").format_help()
    block = text.partition("example: ")[2].partition("\n\n")[0]
    assert max(map(len, block.splitlines())) <= 46
    assert shlex.split(block.replace("\\\n", "")) == shlex.split(command)  # as a shell joins lines


@pytest.mark.parametrize("name", EXISTING)
def test_a_list_given_in_two_flags_is_one_list(name):
    """`--task a --task b` means `--task a b`; where a flag has values of its own accord, it replaces them."""
    lists = [action for action in cli.parser_of(name)._actions if action.option_strings and action.nargs in ("+", "*")]
    assert [action.dest for action in lists if not action.default and type(action).__name__ != "_ExtendAction"] == []


def test_every_module_of_commands_is_a_command():
    files = {file.stem.replace("_", "-") for file in (ROOT / "ernie" / "commands").glob("*.py")}
    assert files - {"--init--", "common"} == set(EXISTING)


def test_version_names_paddle_and_where_it_runs(capsys):
    paddle = pytest.importorskip("paddle")
    assert cli.main(["--version"]) == 0
    said = capsys.readouterr().out
    assert f"ernie {ernie.__version__} " in said and f"PaddlePaddle {paddle.__version__} on cpu" in said


def test_a_file_in_the_way_is_named_in_one_line(tmp_path):
    (tmp_path / "tasks.py").write_text("import this_does_not_exist\n")
    found = python("import ernie", tmp_path)
    assert found.stderr.splitlines()[-1].startswith(f"ImportError: ernie: {tmp_path / 'tasks.py'} is in the way")
    found = python("import sys; sys.argv[0] = '/usr/bin/ernie'; import ernie.cli", tmp_path)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1, found.stderr


def test_a_package_that_overwrote_ours_is_named(tmp_path):
    for name in ("ernie", "reader", "tasks"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "ernie").unlink()
    shutil.copytree(ROOT / "ernie" / "utils", tmp_path / "ernie" / "utils")
    shutil.copy(ROOT / "ernie" / "cli.py", tmp_path / "ernie")
    (tmp_path / "ernie" / "__init__.py").write_text('"""Another project."""\n')
    (tmp_path / "run_pretrain.sh").touch()
    found = subprocess.run([sys.executable, "-c", "import sys; from ernie.cli import main; sys.exit(main([]))"],
                           cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert found.returncode == 2, found.stderr
    assert "another package called 'ernie' has overwritten" in found.stderr and len(found.stderr.splitlines()) == 1


def test_without_paddle_one_line_says_what_to_install(tmp_path):
    code = ("import sys\nimport importlib.util as u\nfind = u.find_spec\n"
            "u.find_spec = lambda name, package=None: None if name == 'paddle' else find(name, package)\n"
            "from ernie.cli import main\nsys.exit(main(['encode', '--init', 'x', '--input', 'y', '--output', 'z']))")
    found = python(code, tmp_path)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1
    assert "pip install 'ernie-pretrain[cpu]'" in found.stderr


def test_curricula_are_found_by_name_and_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate_curriculum("demo_en") == CONFIGS / "curriculum" / "demo_en.yaml"
    assert locate_curriculum("configs/curriculum/demo_zh.yaml").is_file()
    assert locate("configs/model/base_en.json").is_file()
    assert str(locate("no/such.json")) == "no/such.json"  # as its user wrote it
    with pytest.raises(InputError, match="did you mean 'demo_en'"):
        locate_curriculum("demo_eng")


def test_a_shell_completes_commands_and_flags(tmp_path):
    pytest.importorskip("shtab")
    script = ('eval "$("$0" -m ernie --completion bash)"\n'
              'COMP_WORDS=(ernie build-vo) COMP_CWORD=1; _shtab_ernie; echo "${COMPREPLY[@]}"\n'
              'COMP_WORDS=(ernie plan --card) COMP_CWORD=2; _shtab_ernie; echo "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, sys.executable], cwd=tmp_path, capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert done.stdout.split() == ["build-vocab", "--cards", "--card-memory"], done.stderr
    assert cli.main(["--completion", "fish"]) == 2
