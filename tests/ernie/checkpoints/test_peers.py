"""Checkpoints against the libraries they come from and go to: the same numbers on both sides.

transformers on torch, and PaddleNLP, each in an environment of its own (docs/checkpoints.md).
"""
import json
import zlib  # noqa: F401  (before paddle)

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.checkpoints.formats import read, write  # noqa: E402
from ernie.checkpoints.warm_start import load_pretrained  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel  # noqa: E402
from reader.text.tokenizer import Tokenizer  # noqa: E402
from tests.ernie.released import TASKS, checkpoint, minilm  # noqa: E402

pytestmark = pytest.mark.peer
SIZES = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
         "max_position_embeddings": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
VARIANTS = [pytest.param({"hidden_act": act, "layer_norm_eps": eps, "use_task_id": task, "task_type_vocab_size": 5,
                          "type_vocab_size": types}, id=f"{act}-{eps}-{'task' if task else 'no task'}")
            for act, eps, task, types in (("gelu", 1e-12, True, 4), ("relu", 1e-5, True, 2), ("gelu", 1e-5, False, 4),
                                          ("relu", 1e-12, False, 2))]
TEXTS = ["the ernie of 中文, THE Café!", "a\u0301 \u200d b\x00c \ufeff ＡＢＣ", "x" * 150, "", "[MASK] the [SEP]",
         "🙂s 𠀀"]


def inputs(types: int):
    rng = np.random.default_rng(0)
    lengths = np.array([7, 3, 5])
    inside = np.arange(7) < lengths[:, None]
    tokens = np.where(inside, rng.integers(1, 40, (3, 7)), 0)
    return tokens, rng.integers(0, types, (3, 7)) * inside, np.tile(np.arange(7), (3, 1)), lengths, inside


def ours(found, task_id: int):
    """(hidden, pooled, masked-LM scores of every place) of a checkpoint in our model."""
    model = PretrainingModel(found.config, TASKS)
    report = load_pretrained(model, found)
    assert not [name for name in report.missing if not name.startswith("heads.")], report
    model.eval()
    tokens, types, positions, lengths, _ = inputs(found.config.type_vocab_size)
    arguments = [paddle.to_tensor(np.asarray(a, "int64"))
                 for a in (tokens, types, positions, lengths, np.full((3, 1), task_id))]
    with paddle.no_grad():
        hidden, pooled = model.ernie(*arguments)
        scores = model.cls.predictions(hidden, model.ernie.embeddings.word_embeddings.weight)
    return hidden.numpy(), pooled.numpy(), scores.numpy()


def agree(first, second, inside) -> None:
    for name, a, b in zip(("hidden", "pooled", "scores"), first, second):
        a, b = (a, b) if name == "pooled" else (a[inside], b[inside])
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), (name, np.abs(a - b).max())


# ---- transformers

def transformers_numbers(model, task_id, types):
    import torch
    tokens, kinds, _, _, inside = inputs(types)
    extra = {"task_type_ids": torch.full((3, 7), task_id)} if model.config.model_type == "ernie" else {}
    with torch.no_grad():
        out = model(torch.tensor(tokens), torch.tensor(inside.astype("int64")), torch.tensor(kinds),
                    output_hidden_states=True, **extra)
        base = getattr(model, model.base_model_prefix)
        pooled = base.pooler(out.hidden_states[-1])
    return (out.hidden_states[-1].numpy(), pooled.numpy(), out.prediction_logits.numpy()), inside


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("storage", ["safetensors", "bin", "old bin"])
def test_from_transformers(peer, tmp_path, variant, storage):
    transformers, torch = peer("transformers"), peer("torch")
    torch.manual_seed(1)
    kinds = [("Ernie", 3)] if variant["use_task_id"] else [("Ernie", 0), ("Bert", 0)]
    for kind, task_id in kinds:
        config = getattr(transformers, f"{kind}Config")(**SIZES, **variant, initializer_range=0.3)
        theirs = getattr(transformers, f"{kind}ForPreTraining")(config).eval()
        torch.nn.init.normal_(theirs.cls.predictions.bias)
        folder = tmp_path / kind
        theirs.save_pretrained(folder)
        if storage != "safetensors":
            (folder / "model.safetensors").unlink()
            torch.save(theirs.state_dict(), folder / "pytorch_model.bin",
                       _use_new_zipfile_serialization=storage == "bin")
        found = read(folder)
        assert found.unexpected == [] and found.config.layer_norm_eps == variant["layer_norm_eps"]
        numbers, inside = transformers_numbers(theirs, task_id, variant["type_vocab_size"])
        agree(ours(found, task_id), numbers, inside)


@pytest.mark.parametrize("variant", VARIANTS)
def test_to_transformers(peer, tmp_path, variant):
    transformers = peer("transformers")
    found = checkpoint(tmp_path, **variant)
    write(found, tmp_path / "out", "huggingface")
    theirs, told = transformers.ErnieForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not [key for key in told["missing_keys"] if "seq_relationship" not in key]
    assert sorted(told["unexpected_keys"]) == ["heads.order.bias", "heads.order.weight"]
    numbers, inside = transformers_numbers(theirs.eval(), 3 * variant["use_task_id"], variant["type_vocab_size"])
    agree(ours(found, 3 * variant["use_task_id"]), numbers, inside)
    assert transformers.ErnieModel.from_pretrained(tmp_path / "out").config.hidden_size == 8
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    mine = Tokenizer.load(found.vocab)
    for text in TEXTS:
        plain = text.replace("[", "(")  # their tokenizer reads special tokens from text, ours never does
        ids = tokenizer(plain)["input_ids"]
        assert ids == [mine.cls_id, *mine.encode(plain).ids.tolist(), mine.sep_id], text


def test_real_weights_against_transformers(peer):
    transformers, torch = peer("transformers"), peer("torch")
    import ernie
    texts = ["A man is playing a guitar.", "The stock market fell sharply on Monday, analysts said.", "Hello!",
             "¿Dónde está la biblioteca?", "word " * 300]
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    theirs = transformers.AutoModel.from_pretrained(minilm()).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = theirs(**batch).last_hidden_state.numpy()
    weights = batch["attention_mask"].numpy()[..., None]
    expected = (hidden * weights).sum(1) / weights.sum(1)
    np.testing.assert_allclose(ernie.load(minilm(), max_length=256).encode(texts), expected, atol=1e-5)


# ---- PaddleNLP

def paddlenlp_numbers(model, task_id, types):
    tokens, kinds, positions, _, inside = inputs(types)
    tensor = lambda array: paddle.to_tensor(np.asarray(array, "int64"))  # noqa: E731
    mask = paddle.to_tensor((inside.astype("float32") - 1)[:, None, None] * 1e4)
    model.eval()
    with paddle.no_grad():
        hidden, pooled = model.ernie(tensor(tokens), tensor(kinds), tensor(positions), mask,
                                     task_type_ids=paddle.full([3, 7], task_id, "int64"))[:2]
        scores = model.cls(hidden, pooled)[0]
    return (hidden.numpy(), pooled.numpy(), scores.numpy()), inside


NLP_VARIANTS = [v for v in VARIANTS if v.values[0]["layer_norm_eps"] == 1e-12]  # PaddleNLP knows no other


@pytest.mark.parametrize("variant", NLP_VARIANTS)
def test_from_paddlenlp(peer, tmp_path, variant):
    nlp = peer("paddlenlp").transformers
    paddle.seed(1)
    theirs = nlp.ErnieForPretraining(nlp.ErnieConfig(**SIZES, **variant, initializer_range=0.3))
    theirs.cls.predictions.decoder.bias.set_value(paddle.randn([40]))
    theirs.save_pretrained(str(tmp_path / "out"))
    found = read(tmp_path / "out")
    assert found.family == "paddlenlp" and found.unexpected == []
    numbers, inside = paddlenlp_numbers(theirs, 3, variant["type_vocab_size"])
    agree(ours(found, 3), numbers, inside)


@pytest.mark.parametrize("variant", NLP_VARIANTS)
def test_to_paddlenlp(peer, tmp_path, variant):
    nlp = peer("paddlenlp").transformers
    found = checkpoint(tmp_path, **variant)
    found.arrays["ernie.embeddings.word_embeddings.weight"][0] = 0  # PaddleNLP never reads the padding's row
    write(found, tmp_path / "out", "paddlenlp")
    theirs = nlp.ErnieForPretraining.from_pretrained(str(tmp_path / "out"))
    numbers, inside = paddlenlp_numbers(theirs, 3, variant["type_vocab_size"])
    agree(ours(found, 3), numbers, inside)
    alone = nlp.ErnieModel.from_pretrained(str(tmp_path / "out"))
    np.testing.assert_array_equal(alone.state_dict()["encoder.layers.1.linear1.weight"].numpy(),
                                  found.arrays["ernie.encoder.layers.1.linear1.weight"])
    tokenizer = nlp.ErnieTokenizer.from_pretrained(str(tmp_path / "out"))
    mine = Tokenizer.load(found.vocab)
    assert json.loads((tmp_path / "out/tokenizer_config.json").read_text())["do_lower_case"]
    for text in ("the ernie of 中文, THE", "abc s"):
        assert tokenizer(text)["input_ids"] == [mine.cls_id, *mine.encode(text).ids.tolist(), mine.sep_id], text
