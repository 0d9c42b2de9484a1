"""Mistakes with the place to write: one line, code 2, in every command, and nothing is made there."""
import argparse
import errno
import os
import stat

import pytest

from ernie import cli
from ernie.utils.arguments import Parser
from ernie.utils.files import check_output, told
from reader.utils.errors import InputError
from tests.bounded import outcome, refused
from tests.builders import build_store, random_documents

COMMANDS = {
    "build-vocab": "--input {text} --language en --size 200", "join-corpus": "{store}",
    "build-corpus": "--input {text} --language en --vocab {store}/vocab.txt", "demo-data": "--kind text --language en",
    "build-pairs": "discourse --language en --input {text} --like {store}", "report": "{folder}",
    "pretrain": "--config demo_en --stage 1 --corpus {store}", "finetune": "--task rte --data {folder}",
    "encode": "--init {folder} --input {text}", "export": "{folder} --to inference",
    "compare": "demo_en --corpus {store}", "evaluate": "--model {folder} --input {text}",
    "predict": "--model {folder} --input {text}", "convert": "{folder} {output} --to own",
}
PLACES = ["file/x", "file/x/y", "n" * 300, "inside/" + "n" * 300 + "/x", "/dev/null/x", "\0"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_cannot_be(tmp_path, capsys, monkeypatch, command, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    store = build_store(tmp_path / "store", random_documents(5)).path
    before = sorted(tmp_path.rglob("*"))
    words = COMMANDS[command].format(text=tmp_path / "file", store=store, folder=tmp_path / "folder", output=place)
    words = words.split(" ") + ([] if command == "convert" else ["--output", place])
    assert cli.main([command, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ernie: ") and error.count("\n") == 1 and len(error) < 1_200, error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_behind_a_link(tmp_path):
    (tmp_path / "link").symlink_to("disk")
    with pytest.raises(InputError, match="link: cannot be written: it is a link to a directory that does not exist"):
        check_output(f"{tmp_path}/link/", folder=True)
    (tmp_path / "disk").mkdir()
    check_output(f"{tmp_path}/link/", folder=True)


def test_no_permission(tmp_path):
    """As another user where these tests are root's, since root may write anywhere."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)

    def write():
        if os.getuid() == 0:
            os.chdir("/")
            os.setuid(65534)
        check_output(tmp_path / "locked" / "x")

    for folder in [tmp_path, *tmp_path.parents]:  # the other user must come this far
        if not folder.stat().st_mode & stat.S_IXOTH and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    message = refused(write)
    assert "permission" in message or "not a directory" in message


@pytest.mark.parametrize("number, code", [(errno.EACCES, 2), (errno.EROFS, 2), (errno.ENOSPC, 1), (errno.EDQUOT, 1)])
def test_what_the_system_says_is_told(number, code, monkeypatch, capsys):
    line, found = told(OSError(number, os.strerror(number), "out/x"))
    assert (line, found) == (f"out/x: {os.strerror(number)}", code)
    assert told(OSError("no number")) is None


def test_a_full_disk_is_called_one(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")

    def write():
        with open("/dev/full", "w") as file:
            file.write("x")

    assert outcome(write)[0] == "OSError"
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/dev/full")
    assert told(error) == ("/dev/full: No space left on device", 1)


@pytest.mark.parametrize("words, expected", [
    (["--output", "-x", "a"], ("-x", "a")), (["--output=-x", "a"], ("-x", "a")),
    (["--output", "y", "--", "-a"], ("y", "-a")),
    (["a", "--output", "--x-y"], ("--x-y", "a")), (["--output", "-"] + ["a"], ("-", "a")),
])
def test_words_that_begin_with_a_hyphen(words, expected):
    parser = Parser()
    parser.add_argument("--output")
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("place")
    found = parser.parse_args(words)
    assert (found.output, found.place) == expected


def test_a_missing_value_is_still_missing(capsys):
    parser = Parser(prog="x")
    parser.add_argument("--output")
    parser.add_argument("--flag", action="store_true")
    for words in (["--output", "--flag"], ["--output"], ["--output", "--flag=3"]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
    assert isinstance(parser, argparse.ArgumentParser)


def test_control_characters_of_a_name_reach_no_terminal():
    assert "\x1b" not in str(InputError("bad \x1b[31m", "a\x1b[2J\nb")) and "\n" not in str(InputError("bad", "a\nb"))
