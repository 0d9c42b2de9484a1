"""The model: shapes, one pass against separate passes, empty targets, padding, every kind of encoder."""
import math
from types import SimpleNamespace

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from ernie.model import cpu_kernels  # noqa: E402
from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.encoder import ACTIVATIONS, SelfAttention, TransformerLayer, padding_bias  # noqa: E402
from ernie.model.finetuning_model import FinetuningModel  # noqa: E402
from ernie.model.pretraining_model import PretrainingModel, to_tensors  # noqa: E402
from reader.batches.examples import Batch, Targets  # noqa: E402
from reader.utils.labels import IGNORE  # noqa: E402

TASKS = {"masking": SimpleNamespace(level="token", head="vocabulary", classes=()),
         "capital": SimpleNamespace(level="token", head="classes", classes=("no", "yes")),
         "order": SimpleNamespace(level="sequence", head="classes", classes=("a", "b", "c"))}


def small(**changes) -> ErnieConfig:
    return ErnieConfig(**{"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
                          "max_position_embeddings": 32, "hidden_dropout_prob": 0.0,
                          "attention_probs_dropout_prob": 0.0, **changes}).check()


def batch(rows=3, width=8, seed=0, **targets) -> Batch:
    rng = np.random.default_rng(seed)
    targets = targets or {"masking": ([1, 9], [4, 7]), "capital": ([1, 2, 17], [0, 1, 1]), "order": ([0, 2], [2, 0])}
    return Batch("order", 2, rng.integers(5, 50, (rows, width)), np.zeros((rows, width), np.int64),
                 np.tile(np.arange(width), (rows, 1)), np.array([width, width - 3, width - 1][:rows]),
                 {name: Targets(np.array(p, np.int64), np.array(y, np.int64)) for name, (p, y) in targets.items()})


def values(result) -> dict:
    return {name: [part.item() for part in parts] for name, parts in result.items()}


@pytest.mark.parametrize("encoder", ["transformer", "lstm", "gru"])
def test_shapes_and_counts(encoder):
    model = PretrainingModel(small(encoder=encoder), TASKS)
    inputs = to_tensors(batch())
    assert {k: list(v.shape) for k, v in model.logits(**inputs).items()} == {
        "masking": [2, 50], "capital": [3, 2], "order": [2, 3]}
    inputs.pop("targets")
    hidden, pooled = model.ernie(**inputs)
    assert list(hidden.shape) == [3, 8, 16] and list(pooled.shape) == [3, 16]
    assert [v[2] for v in values(model(**to_tensors(batch()))).values()] == [2, 3, 2]


def test_names_are_those_of_released_checkpoints():
    names = set(PretrainingModel(small(), TASKS).state_dict())
    assert {"ernie.embeddings.word_embeddings.weight", "ernie.embeddings.task_type_embeddings.weight",
            "ernie.embeddings.layer_norm.bias", "ernie.encoder.layers.1.self_attn.out_proj.weight",
            "ernie.encoder.layers.0.linear1.bias", "ernie.encoder.layers.0.norm2.weight", "ernie.pooler.dense.weight",
            "cls.predictions.transform.weight", "cls.predictions.layer_norm.bias", "cls.predictions.decoder_bias",
            "heads.capital.weight", "heads.order.bias"} <= names
    assert len(names) == 5 + 1 + 2 * 16 + 2 + 5 + 4 and not any("dropout" in name for name in names)


@pytest.mark.parametrize("names", [("masking",), ("capital",), ("order",), ("masking", "order"),
                                   ("capital", "masking")])
def test_unused_parameters_are_those_without_a_gradient(names):
    model, inputs = PretrainingModel(small(), TASKS), to_tensors(batch())
    inputs["targets"] = {name: inputs["targets"][name] for name in names}
    paddle.add_n([losses[0] for losses in model(**inputs).values()]).backward()
    without = {parameter.name for parameter in model.parameters() if parameter.grad is None}
    assert {parameter.name for parameter in model.unused(names)} == without


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_unused_parameters_of_a_model_that_is_fine_tuned(level):
    kind = SimpleNamespace(name="kind", level=level, loss="cross_entropy", outputs=3)
    model, inputs = FinetuningModel(small(), kind), to_tensors(batch(kind=([0, 2], [2, 0])))
    model(**inputs)["kind"][0].backward()
    without = {parameter.name for parameter in model.parameters() if parameter.grad is None}
    assert {parameter.name for parameter in model.unused(["kind"])} == without


def test_joint_losses_equal_the_losses_one_by_one():
    model = PretrainingModel(small(), TASKS)
    joint, whole = values(model(**to_tensors(batch()))), batch()
    for name in TASKS:
        alone = Batch(**{**whole.__dict__, "targets": {name: whole.targets[name]}})
        np.testing.assert_allclose(values(model(**to_tensors(alone)))[name], joint[name], rtol=1e-6)


def test_loss_of_uniform_scores_is_the_logarithm_of_the_classes():
    model = PretrainingModel(small(), TASKS)
    for head in (model.heads["order"].weight, model.ernie.embeddings.word_embeddings.weight):
        head.set_value(paddle.zeros_like(head))
    result = values(model(**to_tensors(batch())))
    assert result["order"][0] == pytest.approx(2 * np.log(3), rel=1e-6)
    assert result["masking"][0] == pytest.approx(2 * np.log(50), rel=1e-6)


def test_no_target_is_a_zero_loss_inside_the_graph():
    model = PretrainingModel(small(), TASKS)
    result = model(**to_tensors(batch(masking=([], []), capital=([0, 1], [IGNORE, IGNORE]), order=([1], [2]))))
    assert values(result)["masking"] == [0, 0, 0] and values(result)["capital"] == [0, 0, 0]
    sum(loss for loss, _, _ in result.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and np.isfinite(parameter.grad.numpy()).all(), name
        if "heads.capital" in name or "cls" in name:
            assert not parameter.grad.numpy().any()


@pytest.mark.parametrize("encoder", ["transformer", "lstm"])
def test_padding_does_not_change_what_is_read(encoder):
    model = PretrainingModel(small(encoder=encoder), TASKS)
    model.eval()
    inputs = to_tensors(batch())
    inputs.pop("targets")
    whole, pooled = model.ernie(**inputs)
    for row, length in enumerate((8, 5, 7)):
        alone = {k: v[row:row + 1] if k in ("lengths", "task_ids") else v[row:row + 1, :length]
                 for k, v in inputs.items()}
        hidden, first = model.ernie(**alone)
        np.testing.assert_allclose(hidden.numpy()[0], whole.numpy()[row, :length], atol=1e-5)
        np.testing.assert_allclose(first.numpy()[0], pooled.numpy()[row], atol=1e-5)


def test_what_stands_in_the_padding_is_not_read_at_all():
    """Not less than a little: the hidden states of the text keep every bit, whatever the padding holds."""
    model = PretrainingModel(small(), TASKS)
    for parameter in model.parameters():
        parameter.set_value(parameter * 20 if parameter.ndim == 2 else parameter)  # sharp attention
    model.eval()
    inputs = to_tensors(batch())
    inputs.pop("targets")
    lengths = inputs["lengths"].numpy()
    before = model.ernie(**inputs)[0].numpy()
    padding = np.arange(8) >= lengths[:, None]
    inputs["token_ids"] = paddle.to_tensor(np.where(padding, 7, inputs["token_ids"].numpy()))
    after = model.ernie(**inputs)[0].numpy()
    assert np.array_equal(before[~padding], after[~padding])


def test_activations_are_those_of_their_names():
    x = np.linspace(-4, 4, 81)
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]
    new = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))  # Hendrycks and Gimpel 2016
    assert np.abs(new - exact).max() > 3e-4
    for name, expected in {"gelu": exact, "gelu_new": new, "relu": np.maximum(x, 0), "tanh": np.tanh(x)}.items():
        np.testing.assert_allclose(ACTIVATIONS[name](paddle.to_tensor(x)).numpy(), expected, atol=1e-6, err_msg=name)


def test_the_task_embedding_is_added_to_every_token():
    model = PretrainingModel(small(), TASKS)
    inputs = to_tensors(batch())
    inputs.pop("targets")
    tables = model.ernie.embeddings
    tables.position_embeddings.weight.set_value(paddle.zeros_like(tables.position_embeddings.weight))
    before = tables(*(inputs[k] for k in ("token_ids", "token_type_ids", "position_ids", "task_ids")))
    again = tables(inputs["token_ids"], inputs["token_type_ids"], inputs["position_ids"],
                   paddle.expand(inputs["task_ids"], [3, 8]))
    other = tables(inputs["token_ids"], inputs["token_type_ids"], inputs["position_ids"], inputs["task_ids"] + 1)
    np.testing.assert_allclose(before.numpy(), again.numpy(), atol=1e-6)
    assert (np.abs(before.numpy() - other.numpy()).max(-1) > 1e-3).all()


@pytest.mark.parametrize("encoder", ["transformer", "lstm", "gru"])
def test_it_learns(encoder):
    paddle.seed(1)
    model = PretrainingModel(small(encoder=encoder, hidden_size=32), TASKS)
    optimizer = paddle.optimizer.Adam(0.01, parameters=model.parameters())
    inputs, history = to_tensors(batch()), []
    for _ in range(40):
        result = model(**inputs)
        total = sum(loss for loss, _, _ in result.values())
        total.backward()
        optimizer.step()
        optimizer.clear_grad()
        history.append(total.item())
    assert history[-1] < history[0] / 4


@pytest.mark.parametrize("choice, layers, attentions", [(True, 2, 0), (2, 1, 0), (3, 0, 0), ("attention", 0, 2)])
@pytest.mark.parametrize("plain", [False, True])
def test_recompute_gives_the_same_gradients(choice, layers, attentions, plain, monkeypatch):
    """With dropout, and ``plain`` as on a GPU; and what is said to be computed again is, nothing else."""
    if plain:
        monkeypatch.setattr(cpu_kernels, "eager_on_cpu", lambda: False)
    model = PretrainingModel(small(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1), TASKS)
    passes = {"layer": 0, "attention": 0}
    real_layer, real_attention = TransformerLayer.forward, SelfAttention._plain

    def layer(self, *inputs):
        passes["layer"] += 1
        return real_layer(self, *inputs)

    def attention(self, *inputs):
        passes["attention"] += 1
        return real_attention(self, *inputs)

    monkeypatch.setattr(TransformerLayer, "forward", layer)
    monkeypatch.setattr(SelfAttention, "_plain", attention)
    grads, counts = [], []
    for recompute in (False, choice):
        passes.update(layer=0, attention=0)
        model.ernie.recompute(recompute)
        paddle.seed(5)
        sum(loss for loss, _, _ in model(**to_tensors(batch())).values()).backward()
        grads.append({name: p.grad.numpy() for name, p in model.named_parameters()})
        counts.append(dict(passes))
        model.clear_gradients()
    assert counts == [{"layer": 2, "attention": 2},
                      {"layer": 2 + layers, "attention": 2 + layers + attentions}]
    for name, grad in grads[0].items():
        # not to the bit: the gradients of query, key and value are added in another order
        np.testing.assert_allclose(grads[1][name], grad, atol=1e-6, err_msg=name)


def test_score_agrees_with_forward():
    model = PretrainingModel(small(), TASKS)
    inputs = to_tensors(batch())
    sums = values(model(**inputs))
    for name, (losses, right) in model.score(**inputs).items():
        assert [losses.sum(), right.sum(), len(right)] == pytest.approx(sums[name], rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_mask_of_padding_is_right_in_every_format(dtype):
    """bfloat16 cannot tell 257 from 256."""
    hidden, lengths = paddle.zeros([2, 512, 4]).astype(dtype), np.array([300, 257])
    bias = padding_bias(hidden, paddle.to_tensor(lengths))
    assert bias.dtype == hidden.dtype
    assert np.array_equal(bias.astype("float32").numpy()[:, 0, 0] < -9000, np.arange(512) >= lengths[:, None])
