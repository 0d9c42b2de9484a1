"""Every flag that takes a number is held to its limits, in every command and launcher: one line, exit code 2."""
import argparse
import subprocess
import typing

import pytest

from ernie import cli
from ernie.launching import launcher
from ernie.planning import clusters
from ernie.release2019 import flags, launch, pretrain
from ernie.utils.arguments import Parser
from tests.ernie import runs

REFUSED = ("nan", "inf", "-inf", "-1", "1e400", "", "x", "0x10", "1" * 5000)


def parser_of(call) -> argparse.ArgumentParser:
    """The parser that a function makes and is about to use."""
    made = []

    class Caught(Exception):
        pass

    def catch(self, *args, **kwargs):
        made.append(self)
        raise Caught

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", catch)
        with pytest.raises(Caught):
            call()
    return made[0]


PARSERS = {**{name: lambda name=name: cli.parser_of(name) for name in cli.COMMANDS if cli._exists(name)},
           "clusters": lambda: parser_of(lambda: clusters.main([])),
           "launcher": lambda: parser_of(lambda: launcher.main(["--"])),
           "2019 launch": lambda: parser_of(lambda: launch.parse([], "")),
           "2019 finetune": lambda: parser_of(lambda: flags.parse([])),
           "2019 pretrain": lambda: parser_of(lambda: pretrain.parse([]))}


@pytest.mark.parametrize("name", PARSERS)
def test_numbers_that_cannot_work_are_refused(name, capsys):
    parser = PARSERS[name]()
    for action in parser._actions:
        assert action.type not in (int, float), f"{action.option_strings}: give it limits, see ernie.utils.arguments"
        limited = getattr(action.type, "limited", None)
        if limited is None:
            continue
        zero = () if not typing.get_args(limited)[1].fault(0) else ("0", "0.0")
        for value in (*REFUSED, *zero):
            with pytest.raises(SystemExit) as end:
                parser.parse_known_args([action.option_strings[-1], value])
            said = capsys.readouterr().err
            assert end.value.code == 2 and said.count("\n") == 1 and len(said) < 400, said
            assert action.option_strings[-1] in said


@pytest.mark.parametrize("script, flag, values", [
    ("run_pretrain.sh", "--step-timeout", ("nan", "inf", "-1", "0", "0.0", "1.2.3", "", "1e9", "9" * 30)),
    ("run_pretrain.sh", "--rendezvous-timeout", ("nan", "-1", "0", "9" * 30)),
    ("run_finetune.sh", "--rendezvous-timeout", ("nan", "-1", "0", "9" * 30)),
    ("run_pretrain.sh", "--max-restarts", ("nan", "-1", "1.5", "9" * 30)),
    ("run_finetune.sh", "--max-restarts", ("nan", "-1", "1.5", "9" * 30)),
    ("run_pretrain.sh", "--nnodes", ("nan", "-1", "0", "1.5")),
    ("run_finetune.sh", "--nnodes", ("nan", "-1", "0", "1.5")),
])
def test_launchers_refuse_them_before_anything_starts(script, flag, values, tmp_path):
    output = tmp_path / "run"
    words = ["mrpc", "--data", str(tmp_path)] if script == "run_finetune.sh" else []
    for value in values:
        done = subprocess.run(["bash", script, *words, "--output", str(output), flag, value], cwd=runs.ROOT,
                              env=runs.ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and flag in done.stderr, (value, done.stderr)
        assert not output.exists()


@pytest.mark.parametrize("stage", ["0", "2", "-1"])
def test_a_stage_that_is_not_there_is_refused(stage, tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 2}])
    done = subprocess.run([runs.sys.executable, "-m", "ernie", "pretrain", "--config", str(file), "--output",
                           str(tmp_path / "run"), "--stage", stage], cwd=runs.ROOT, env=runs.ENVIRONMENT,
                          capture_output=True, text=True, timeout=400)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "--stage" in done.stderr, done.stderr
    assert not list((tmp_path / "run").glob("stage-*"))
