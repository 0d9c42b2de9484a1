"""A model that reads capitals goes on reading them: fine-tuned, converted, exported, pre-trained, of older versions."""
import json
import shutil

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import ernie  # noqa: E402
from ernie.checkpoints.formats import FAMILIES, read, write  # noqa: E402
from ernie.checkpoints.formats.casing import lower_cases  # noqa: E402
from ernie.checkpoints.formats.finetuned import DESCRIPTION, TOKENIZER  # noqa: E402
from ernie.checkpoints.manifest import FILE as MANIFEST  # noqa: E402
from ernie.checkpoints.manifest import write_manifest  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.finetuning.predictor import Predictor, find_model, find_weights  # noqa: E402
from reader.text.tokenizer import SPECIAL_TOKENS  # noqa: E402
from tests.builders import build_store, random_documents  # noqa: E402
from tests.ernie import runs  # noqa: E402
from tests.ernie.finetuning.tiny import QUICK, TINY, make_data  # noqa: E402
from tests.ernie.released import checkpoint  # noqa: E402

TEXTS = ["a B", "a b"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(configuration, cased vocabulary, data)."""
    folder = tmp_path_factory.mktemp("cased")
    (folder / "model.json").write_text(json.dumps(TINY))
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *"abcdefghABCD"]) + "\n")
    return folder / "model.json", folder / "vocab.txt", make_data("sst-2", folder / "SST-2")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, files):
    """An output of fine-tuning on texts with capitals."""
    output = tmp_path_factory.mktemp("tuned") / "out"
    assert finetune(output, files, "lower_case=false", "--model", files[0], "--vocab", files[1]) == 0
    return output


def finetune(output, files, setting, *more):
    arguments = ["finetune", "--task", "sst-2", "--data", files[2], "--output", output, *more]
    for given in [*QUICK, *filter(None, [setting])]:
        arguments += ["--set", given]
    return main([str(argument) for argument in arguments])


def made_older(folder):
    """Leave checkpoints as older versions wrote them."""
    for file in folder.rglob(TOKENIZER):
        file.unlink()
        write_manifest(file.parent, [other.name for other in file.parent.iterdir() if other.name != MANIFEST])


def different(path):
    """Whether a model makes different vectors of texts that differ in a capital."""
    first, second = ernie.load(path).encode(TEXTS)
    return bool(np.abs(first - second).max() > 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lower_case", [True, False])
def test_every_family_keeps_it(tmp_path, family, lower_case):
    found = checkpoint(tmp_path)
    found.lower_case = lower_case
    write(found, tmp_path / "out", family)
    assert read(tmp_path / "out").lower_case is lower_case


def test_a_fine_tuned_model_says_it_to_all_who_read_it(tmp_path, files, tuned, capsys):
    model = ernie.load(tuned)
    assert not model.tokenizer.lower_case and not model.vectors.tokenizer.lower_case
    assert different(tuned)
    assert finetune(tmp_path / "next", files, "", "--init", tuned) == 0
    assert not json.loads((find_model(tmp_path / "next") / DESCRIPTION).read_text())["recipe"]["lower_case"]
    for family in ("static", "paddlenlp", "huggingface"):
        assert main(["convert", str(tuned), str(tmp_path / family), "--to", family]) == 0
        assert not Predictor(tmp_path / family).tokenizer.lower_case
    assert main(["export", str(tuned), "--to", "inference", "--output", str(tmp_path / "export")]) == 0
    assert not Predictor(tmp_path / "export").tokenizer.lower_case
    assert "Texts are read with their capitals." in (tuned / "README.md").read_text()


def test_a_joint_model_says_it(tmp_path, files):
    output = tmp_path / "out"
    rte = make_data("rte", tmp_path / "RTE")
    arguments = ["finetune", "--together", f"sst-2={files[2]},rte={rte}", "--output", output, "--model", files[0],
                 "--vocab", files[1]]
    for given in [*QUICK, "lower_case=false"]:
        arguments += ["--set", given]
    assert main([str(argument) for argument in arguments]) == 0
    for place in (find_weights(output), output / "tasks" / "sst-2" / "seed-1" / "best"):
        assert not read(place).lower_case
        made_older(place)
        assert not read(place).lower_case


def test_models_of_older_versions(tmp_path, tuned):
    shutil.copytree(tuned, tmp_path / "old")
    made_older(tmp_path / "old")
    assert different(tmp_path / "old")


@pytest.mark.parametrize("record", ["[]", "{", '{"tasks": 3}', '{"tasks": {"a": 3}}', '{"curriculum": []}',
                                    '{"curriculum": {"corpora": {"a": {}}}}', '{"curriculum": {"corpora": []}}'])
@pytest.mark.parametrize("name", ["run.json", "together.json", DESCRIPTION])
def test_odd_records_say_nothing(tmp_path, record, name):
    (tmp_path / name).write_text(record)
    assert lower_cases(tmp_path / "stage-1" / "best", own=True)
    (tmp_path / TOKENIZER).write_text('{"do_lower_case": false}')
    assert not lower_cases(tmp_path, own=True)


def cased_run(folder):
    build_store(folder / "train", random_documents(60), lower_case=False)
    build_store(folder / "dev", random_documents(12, seed=1), lower_case=False)
    file = runs.declare(folder, [{"knowledge_masking": 2}])
    assert main(["pretrain", "--config", str(file), "--output", str(folder / "run"), "--stage", "1"]) == 0
    return folder / "run"


def test_a_pre_training_run_has_it_of_its_corpora(tmp_path, files, capsys):
    run = cased_run(tmp_path)
    assert not ernie.load(run).tokenizer.lower_case
    data = make_data("sst-2", tmp_path / "SST-2")
    assert finetune(tmp_path / "tuned", (None, None, data), "", "--init", run) == 0
    assert not Predictor(tmp_path / "tuned").tokenizer.lower_case
    made_older(run)
    assert not ernie.load(run).tokenizer.lower_case  # its corpora say it
    shutil.rmtree(tmp_path / "train")
    assert ernie.load(run).tokenizer.lower_case  # nobody knows any more


def test_corpora_of_two_minds_are_refused_and_another_than_the_checkpoint_is_said(tmp_path, capsys):
    run = cased_run(tmp_path)
    other = tmp_path / "other"
    build_store(other / "train", random_documents(60), lower_case=True)
    build_store(other / "dev", random_documents(12, seed=1), lower_case=False)
    file = runs.declare(other, [{"knowledge_masking": 2}])
    arguments = ["pretrain", "--config", str(file), "--output", str(other / "run"), "--stage", "1"]
    capsys.readouterr()
    assert main(arguments) == 2
    assert f"{other / 'dev'}: was built with capitals, {other / 'train'} in lower case" in capsys.readouterr().err
    build_store(tmp_path / "small" / "train", random_documents(60), lower_case=True)
    build_store(tmp_path / "small" / "dev", random_documents(12, seed=1), lower_case=True)
    file = runs.declare(tmp_path / "small", [{"knowledge_masking": 2}], init=str(run))
    assert main(["pretrain", "--config", str(file), "--output", str(tmp_path / "small" / "run"), "--stage", "1"]) == 0
    assert "the checkpoint reads texts with capitals, the corpora are in lower case" in capsys.readouterr().out
