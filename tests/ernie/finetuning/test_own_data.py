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


def check(folder, task):
    """Survey the data below a folder with a vocabulary that is there."""
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "a", "b"]) + "\n")
    return main(["finetune", "--task", str(task), "--data", str(folder / "data"), "--vocab",
                 str(folder / "vocab.txt"), "--check"])


def own(folder, columns, kind="classification"):
    recipe = folder / "mine.yaml"
    recipe.write_text(f'kind: {kind}\nreader:\n  columns: [{columns}]\n  classes: ["0", "1"]\n')
    return recipe


def rows(folder, **files):
    (folder / "data").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "data" / name.replace("_", ".")).write_text(text.replace("|", "\t"))


@pytest.mark.parametrize(("columns", "kind", "message"), [
    ("{text: x, only: {langauge: en}}", "classification", "no column 'langauge', which `only` in reader.columns names; "
     "no other file of the data has it: did you mean 'language'?"),
    ("{text: x, group: questoin}", "ranking", "no column 'questoin', which `group` in reader.columns names; no other "
     "file of the data has it: did you mean 'question'?")])
def test_a_column_that_no_file_has_is_refused(tmp_path, capsys, columns, kind, message):
    rows(tmp_path, train_tsv="x|label|language|question\na|1|en|q\nb|0|fr|q\n",
         dev_tsv="x|label|language|question\na|1|en|q\n")
    assert check(tmp_path, own(tmp_path, columns, kind)) == 2
    assert f"train.tsv line 1: {message}" in capsys.readouterr().err
    assert check(tmp_path, own(tmp_path, columns.replace("langauge", "language").replace("questoin", "question"),
                               kind)) == 0


@pytest.mark.parametrize("key", ["labels", "only"])
def test_a_list_where_a_mapping_belongs_is_refused(tmp_path, capsys, key):
    rows(tmp_path, train_tsv="x|label\na|1\nb|0\n")
    assert check(tmp_path, own(tmp_path, f"{{text: x, {key}: [a, b]}}")) == 2
    assert f"reader.columns: {key}: expected a mapping, found ['a', 'b']" in capsys.readouterr().err


def test_a_column_that_some_file_has_is_noted_where_it_lacks(tmp_path, capsys):
    """Also one that a later record alone has, as in json."""
    rows(tmp_path, train_tsv="x|label\na|1\nb|0\n", dev_tsv="x|label|language\na|1|en\na|1|fr\n")
    recipe = own(tmp_path, "{text: x, only: {language: en}}")
    assert check(tmp_path, recipe) == 0
    out = capsys.readouterr().out
    assert "train.tsv: 2 rows; 1 with no column 'language' for `only`: every row is kept (first at line 1)" in out
    assert "dev.tsv: 1 row; 1 left out: not 'en' (first at line 3)\n" in out
    (tmp_path / "data" / "train.tsv").unlink()
    rows(tmp_path, train_jsonl='{"x": "a", "label": 1}\n{"x": "b", "label": 0, "language": "fr"}\n')
    assert check(tmp_path, recipe) == 0
    assert "train.jsonl: 1 row; 1 left out: not 'en' (first at line 2)\n" in capsys.readouterr().out


@pytest.mark.parametrize(("task", "header", "noted"), [
    ("xnli", "sentence1|sentence2|gold_label", "1 with no column 'language' for `only`: every row is kept"),
    ("nlpcc-dbqa", "text_a|text_b|label", None)])
def test_recipes_of_the_package_take_files_without_it(tmp_path, capsys, task, header, noted):
    label = "neutral" if task == "xnli" else "1"
    rows(tmp_path, train_tsv=f"{header}\na|b|{label}\n", dev_tsv=f"{header}\na|b|{label}\n")
    assert check(tmp_path, task) == 0
    out = capsys.readouterr().out
    assert (noted in out) if noted else ("no column" not in out), out


@pytest.mark.parametrize("declared", [SplitReader, Columns])
def test_every_key_of_the_reader_is_explained(declared):
    section = PAGE[PAGE.index("## Your own data"):PAGE.index("## Files")]
    missing = [key for key in declared.__dataclass_fields__ if not re.search(rf"\b{key}\b", section)]
    assert not missing


def test_a_file_that_no_split_names_is_named_where_dev_data_lack(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("kind: classification\nreader: {columns: [{text: text}], classes: [a, b]}\n")
    data = tmp_path / "data"
    data.mkdir()
    for name in "train.tsv", "valid.tsv", "notes.md":
        (data / name).write_text("text\tlabel\nx y\ta\n")
    command = ["finetune", "--task", str(tmp_path / "mine.yaml"), "--check", "--data"]
    assert main([*command, str(data)]) == 0
    assert "\nno dev file (not read: valid.tsv; reader.files names the file of each split)\n" in capsys.readouterr().out
    assert main([*command, str(data), "--set", "reader.files={dev: valid.tsv}"]) == 0
    assert "\ndev: " in capsys.readouterr().out
    files = f"reader.files={{train: {data / 'train.tsv'}, dev: no/such}}"  # as the programs of 2019 name them
    for alone in [str(data / "train.tsv")], [str(data), "--set", files]:
        assert main([*command, *alone]) == 0
        assert "\nno dev file\n" in capsys.readouterr().out
