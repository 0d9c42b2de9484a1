"""Every example of own data in the documentation goes through --check and two steps."""
import json
import re
from pathlib import Path

import pytest

from ernie.cli import main
from reader.finetune.splits import SplitReader
from reader.finetune.tables import Columns
from reader.text.tokenizer import SPECIAL_TOKENS
from tests.ernie.finetuning.tiny import TINY

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "finetuning.md").read_text("utf-8")
BLOCK = re.compile(r'^```(yaml|text) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def examples():
    """(name, yaml, file name, rows) of every example."""
    blocks = BLOCK.findall(PAGE)
    assert [kind for kind, _, _ in blocks] == ["yaml", "text"] * (len(blocks) // 2)
    return [(yaml[1], yaml[2], data[1], data[2]) for yaml, data in zip(blocks[::2], blocks[1::2])]


@pytest.mark.parametrize(("name", "recipe", "file", "rows"), examples(), ids=[example[0] for example in examples()])
def test_an_example(tmp_path, capsys, name, recipe, file, rows):
    (tmp_path / name).write_text(recipe)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_text(rows)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *letters, *(f"##{c}" for c in letters)]) + "\n")
    (tmp_path / "model.json").write_text(json.dumps(TINY))
    command = ["finetune", "--task", str(tmp_path / name), "--data", str(tmp_path / "data"), "--vocab",
               str(tmp_path / "vocab.txt"), "--set", "max_length=48"]
    assert main([*command, "--check"]) == 0, capsys.readouterr()
    assert "  example, " in capsys.readouterr().out
    assert main([*command, "--model", str(tmp_path / "model.json"), "--output", str(tmp_path / "out"), "--set",
                 "max_steps=2", "--set", "epochs=2", "--set", "log_every=1"]) == 0
    assert "step 2/2" in capsys.readouterr().out


@pytest.mark.parametrize("declared", [SplitReader, Columns])
def test_every_key_of_the_reader_is_explained(declared):
    section = PAGE[PAGE.index("## Your own data"):PAGE.index("## Files")]
    missing = [key for key in declared.__dataclass_fields__ if not re.search(rf"\b{key}\b", section)]
    assert not missing
