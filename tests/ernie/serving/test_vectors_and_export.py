"""Text to vectors, conversion and export, from the command line down; exported models give what the models give."""
import json
import subprocess
import sys

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import ernie  # noqa: E402
from ernie.checkpoints.formats import read, write  # noqa: E402
from ernie.checkpoints.warm_start import read_pretrained  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.model.exported import INPUTS, Exported  # noqa: E402
from reader.utils.errors import InputError  # noqa: E402
from tests.ernie.finetuning.tiny import finetune, make_data  # noqa: E402
from tests.ernie.released import checkpoint, config, minilm, model_of, same  # noqa: E402

TEXTS = ["the ernie", "a b c d e f g h i j k l m n", "", "中 s", "z " * 50]
ONNX = pytest.param("onnx", marks=pytest.mark.skipif(paddle.__version__.startswith("2."), reason="paddle2onnx: 3.0"))


@pytest.fixture
def small(tmp_path):
    write(checkpoint(tmp_path, max_position_embeddings=16), tmp_path / "own", "own")
    return tmp_path / "own"


def test_vectors_do_not_depend_on_company(small):
    model = ernie.load(small, task_id=2)
    hidden = model.encode_tokens(TEXTS)
    assert [len(states) for states in hidden] == [4, 16, 2, 4, 16]  # [CLS] and [SEP] included, cut at 16 positions
    for pooling in ("mean", "cls", "first"):
        whole = model.encode(TEXTS, pooling)
        assert whole.shape == (5, 8) and whole.dtype == np.float32
        np.testing.assert_allclose(whole, model.encode(TEXTS, pooling, batch_tokens=1), atol=1e-5)
        for row, text in enumerate(TEXTS):
            np.testing.assert_allclose(whole[row], model.encode([text], pooling)[0], atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS), [states.mean(0) for states in hidden], atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS, "first"), [states[0] for states in hidden], atol=1e-6)
    assert model.encode([]).shape == (0, 8)
    assert np.abs(ernie.load(small, task_id=3).encode(TEXTS) - model.encode(TEXTS)).max() > 0.01


def test_encode_writes_what_the_api_gives(small, tmp_path, monkeypatch, capsys):
    import ernie.serving.vectors
    monkeypatch.setattr(ernie.serving.vectors, "CHUNK", 2)  # several chunks, as in a long file
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", "utf-8")
    arguments = ["encode", "--init", str(small), "--input", str(tmp_path / "texts.txt")]
    for pooling in ("mean", "cls"):
        assert main([*arguments, "--output", str(tmp_path / "v.npy"), "--pooling", pooling]) == 0
        np.testing.assert_allclose(np.load(tmp_path / "v.npy"), ernie.load(small).encode(TEXTS, pooling), atol=1e-5)
    assert main([*arguments, "--output", str(tmp_path / "t.npy"), "--pooling", "tokens"]) == 0
    tokens, offsets = np.load(tmp_path / "t.npy"), np.load(tmp_path / "t.offsets.npy")
    for row, states in enumerate(ernie.load(small).encode_tokens(TEXTS)):
        np.testing.assert_allclose(tokens[offsets[row]:offsets[row + 1]], states, atol=1e-5)
    assert "5 lines" in capsys.readouterr().out


@pytest.mark.parametrize("changes, message", [
    ({"--init": "nowhere"}, "nowhere: no such checkpoint"),
    ({"--input": "nothing.txt"}, "nothing.txt: no such text file"),
    ({"--input": "latin1.txt"}, "latin1.txt line 2: not valid UTF-8"), ({"--task-id": "99"}, "task id 99"),
    ({"--max-length": "2"}, "max_length 2"), ({"--output": "texts.txt/v.npy"}, "texts.txt/v.npy: cannot be written"),
    ({"--batch-tokens": "0"}, "batch-tokens")])
def test_mistakes_are_one_line(small, tmp_path, monkeypatch, capsys, changes, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("a\n")
    (tmp_path / "latin1.txt").write_bytes(b"a\ncaf\xe9\n")
    given = {"--init": str(small), "--input": "texts.txt", "--output": "v.npy", **changes}
    try:
        code = main(["encode", *(part for pair in given.items() for part in pair)])
    except SystemExit as error:
        code = error.code
    told = capsys.readouterr().err
    assert code == 2 and message in told and "Traceback" not in told
    assert not (tmp_path / "v.npy").exists() and not (tmp_path / "v.npy.partial").exists()


def test_convert(small, tmp_path, capsys):
    assert main(["convert", str(small), str(tmp_path / "static"), "--to", "static"]) == 0
    assert main(["convert", str(tmp_path / "static"), str(tmp_path / "dygraph"), "--to", "dygraph"]) == 0
    assert "task_type_embeddings.weight has no place in the dygraph family" in capsys.readouterr().out
    np.testing.assert_array_equal(read(small).arrays["cls.predictions.decoder_bias"],
                                  read(tmp_path / "dygraph").arrays["cls.predictions.decoder_bias"])
    assert main(["convert", str(small), str(tmp_path / "static"), "--to", "own"]) == 2
    assert "not an empty directory" in capsys.readouterr().err


def test_outputs_behind_links_lie_where_these_lead(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("a\n")
    for name in ("converted", "served"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    for name in ("converted", "served", "v.npy"):  # the last one does not exist yet
        (tmp_path / name).symlink_to(f"disk/{name}")
    assert main(["convert", str(small), "converted/", "--to", "huggingface"]) == 0
    assert main(["export", str(small), "--to", "inference", "--output", "served"]) == 0
    assert main(["encode", "--init", str(small), "--input", "texts.txt", "--output", "v.npy"]) == 0
    assert all((tmp_path / name).is_symlink() for name in ("converted", "served", "v.npy"))
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["converted", "served", "v.npy"]
    assert (tmp_path / "disk/converted/config.json").is_file() and np.load(tmp_path / "disk/v.npy").shape == (1, 8)
    assert ernie.load(tmp_path / "served").encode(["a"]).shape == (1, 8)


def test_a_run_stands_for_its_newest_checkpoint(tmp_path):
    from ernie.checkpoints import checkpoint as ours
    for step, seed in ((10, 0), (20, 1)):
        found = checkpoint(tmp_path, seed)
        texts = {"vocab.txt": found.vocab.read_text("utf-8"), "ernie_config.json": json.dumps(found.config.to_dict())}
        ours.write(tmp_path / f"run/stage-1/step-{step:08d}", {"model.safetensors": found.arrays}, texts)
    for path in (tmp_path / "run", tmp_path / "run/stage-1"):
        same(found.arrays, read_pretrained(path).arrays)


def test_importing_ernie_or_asking_for_help_imports_no_paddle():
    program = "import sys, ernie.cli; ernie.cli.main(['encode', '--help'])"
    check = f"try:\n    {program}\nexcept SystemExit:\n    assert 'paddle' not in sys.modules"
    program = f"import sys, ernie, ernie.cli\nassert 'paddle' not in sys.modules\n{check}"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


# ---- export

@pytest.mark.parametrize("to", ["inference", ONNX])
@pytest.mark.parametrize("task", [True, False])
def test_an_exported_encoder_encodes_the_same(tmp_path, capsys, to, task):
    if to == "onnx":
        pytest.importorskip("paddle2onnx"), pytest.importorskip("onnxruntime")
    changes = {} if task else {"use_task_id": False, "task_type_vocab_size": 0}
    write(checkpoint(tmp_path, **changes), tmp_path / "own", "own")
    assert main(["export", str(tmp_path / "own"), "--to", to, "--output", str(tmp_path / "served")]) == 0
    assert "hidden: largest difference" in capsys.readouterr().out
    model, exported = (ernie.load(tmp_path / name, task_id=3 * task) for name in ("own", "served"))
    for pooling in ("mean", "cls"):
        ours = model.encode(TEXTS, pooling)
        assert np.abs(exported.encode(TEXTS, pooling) - ours).max() <= 1e-5 * np.abs(ours).max()
    for name in "own", "served":  # with task embeddings the number is used, without them it is not, and that is said
        said = "no task embedding: task id 3 changes nothing" in ernie.load(tmp_path / name, task_id=3).report
        assert said is not task
    weights = tmp_path / "served" / ("model.onnx" if to == "onnx" else "inference.pdiparams")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be run .*; `ernie verify` tells whether it is whole"):
        ernie.load(tmp_path / "served")


@pytest.mark.parametrize("change, message", [
    ("[]", "is a list, not a mapping"), ("{}", "to is None, expected inference or onnx"),
    ({"to": "tensorrt"}, "to is 'tensorrt'"), ({"to": ["onnx"]}, "to is"),
    ({"precision": "int8"}, "precision is 'int8', expected fp32 or bf16"), ({"inputs": ["x"]}, "inputs are"),
    ({"outputs": 3}, "outputs are 3"), ({}, "inference.json nor inference.pdmodel")])
def test_an_export_whose_description_is_damaged_is_refused(tmp_path, change, message):
    whole = {"to": "inference", "precision": "fp32", "inputs": list(INPUTS), "outputs": ["scores"]}
    (tmp_path / "export.json").write_text(change if isinstance(change, str) else json.dumps({**whole, **change}))
    with pytest.raises(InputError, match=message):
        Exported(tmp_path)


def test_an_onnx_export_without_its_engine_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "export.json").write_text(json.dumps({"to": "onnx", "precision": "fp32", "inputs": list(INPUTS),
                                                      "outputs": ["scores"]}))
    with pytest.raises(InputError, match="pip install onnxruntime"):
        Exported(tmp_path)


@pytest.mark.parametrize("to", ["inference", ONNX])
@pytest.mark.parametrize("task", ["rte", "cmrc2018", *(
    pytest.param(task, marks=pytest.mark.slow) for task in ("msra-ner", "sts-b"))])
def test_predict_runs_on_the_exported_model(tmp_path, model_files, capsys, to, task):
    if to == "onnx":
        pytest.importorskip("paddle2onnx"), pytest.importorskip("onnxruntime")
    data = make_data(task, tmp_path / "data")
    assert finetune(task, data, tmp_path / "out", model_files) == 0
    assert main(["export", str(tmp_path / "out"), "--to", to, "--output", str(tmp_path / "served")]) == 0
    assert "scores: largest difference" in capsys.readouterr().out
    answers = []
    for model in ("out", "served"):
        answer = tmp_path / f"{model}.tsv"
        file = next(data.glob("test*"))
        assert main(["predict", "--model", str(tmp_path / model), "--input", str(file), "--output", str(answer)]) == 0
        answers.append([line.split("\t") for line in answer.read_text("utf-8").splitlines()])
    assert len(answers[0]) == len(answers[1]) == 9
    for ours, theirs in zip(*answers):
        for a, b in zip(ours, theirs):
            if a != b:
                assert float(a) == pytest.approx(float(b), abs=1e-4)
    assert main(["encode", "--init", str(tmp_path / "served"), "--input", str(file), "--output", "v.npy"]) == 2
    assert "use `ernie predict`" in capsys.readouterr().err


@pytest.mark.slow
def test_bfloat16_states_its_error(tmp_path, capsys):
    """oneDNN emulates bfloat16 where the processor has none: slow, but the same numbers."""
    code = main(["export", str(minilm()), "--to", "inference", "--precision", "bf16", "--output", str(tmp_path / "b")])
    told = capsys.readouterr()
    if paddle.__version__.startswith("2."):
        assert code == 2 and "cannot run this graph in bf16" in told.err
    else:
        assert code == 0 and "hidden: largest difference" in told.out
        texts = ["A man is playing a guitar.", "The stock market fell."]
        first, second = ernie.load(minilm()).encode(texts), ernie.load(tmp_path / "b").encode(texts)
        cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
        assert cosine.min() > 0.999


def test_recurrent_encoders_are_exported_too(tmp_path):
    from ernie.checkpoints.formats import Pretrained
    found = checkpoint(tmp_path)
    arrays = {name: value.numpy() for name, value in model_of(encoder="gru").state_dict().items()}
    write(Pretrained("own", tmp_path, config(encoder="gru"), arrays, found.vocab), tmp_path / "own", "own")
    assert main(["export", str(tmp_path / "own"), "--to", "inference", "--output", str(tmp_path / "served")]) == 0
    np.testing.assert_allclose(ernie.load(tmp_path / "served").encode(TEXTS),
                               ernie.load(tmp_path / "own").encode(TEXTS), atol=1e-5)
