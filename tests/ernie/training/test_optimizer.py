"""One optimiser step: clipping, skipping, loss scaling, and what a checkpoint keeps of them."""
import math
import zlib  # noqa: F401  (before paddle)

import numpy as np
import paddle
import pytest

from ernie.training import optimizer
from ernie.training.amp import LossScale, Precision
from ernie.training.distributed import World
from ernie.training.optimizer import MASTER, Updater, decays
from ernie.training.settings import LossScaling, OptimizerSettings, Schedule

SCALING = LossScaling(initial=1024.0, increase_every=3, increase_ratio=2.0, decrease_every=2, decrease_ratio=0.8)


class Two(paddle.nn.Layer):
    """Two layers, of which a step may use one."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = paddle.nn.Linear(3, 2), paddle.nn.LayerNorm(2), paddle.nn.Linear(2, 2)

    def forward(self, x, both=True):
        x = self.norm(self.first(x))
        return (self.second(x) if both else x).square().sum()


def updater(scaled=False, kernels="auto", rates=None, **settings) -> Updater:
    """Always the same weights; with ``scaled``, the loss is scaled as it is for float16."""
    paddle.seed(3)
    precision = Precision("fp32", "O1", SCALING)
    if scaled:
        precision.scale = LossScale(SCALING, SCALING.initial)
    options = OptimizerSettings(**{"learning_rate": 0.1, "clip_norm": 0.0, **settings})
    model = Two()
    for name, parameter in model.named_parameters():
        parameter.optimize_attr["learning_rate"] = (rates or {}).get(name, 1.0)
    return Updater(model, options, Schedule("noam", options.learning_rate, 4, 100), precision, World(), kernels)


X = paddle.to_tensor(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32))


def step(made: Updater, number: int, factor: float = 1.0, both: bool = True):
    made.backward(made.model(X, both) * factor)
    return made.step(number)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_biases_and_layer_norms_do_not_decay():
    assert [name for name, _ in Two().named_parameters() if decays(name)] == ["first.weight", "second.weight"]


@pytest.mark.parametrize("name, decayed", [
    ("ernie.encoder.layers.0.norm1.weight", False), ("ernie.embeddings.layer_norm.weight", False),
    ("ernie.encoder.layers.0.linear1.bias", False), ("ernie.encoder.rnn.bias_ih_l0", False),
    ("ernie.encoder.rnn.weight_ih_l0", True), ("heads.normal_order.weight", True)])
def test_what_decays_by_the_name_of_its_layer(name, decayed):
    assert decays(name) == decayed


@pytest.mark.parametrize("kind", [paddle.nn.LSTM, paddle.nn.GRU])
def test_a_recurrent_layer_resumes_with_its_moments(kind):
    """Paddle's state_dict names every weight of it twice."""
    class Recurrent(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.rnn = kind(3, 2)

        def forward(self, x, both=True):
            return self.rnn(x.unsqueeze(0))[0].square().sum()

    def fresh() -> Updater:
        paddle.seed(3)
        options = OptimizerSettings(learning_rate=0.1, clip_norm=0.0)
        return Updater(Recurrent(), options, Schedule("noam", 0.1, 4, 100), Precision("fp32", "O1", SCALING), World())

    straight, begun, resumed = fresh(), fresh(), fresh()
    for number in range(1, 5):
        step(straight, number)
    for number in range(1, 3):
        step(begun, number)
    resumed.restore(begun.weights(), begun.state())
    for number in range(3, 5):
        step(resumed, number)
    assert same(straight.weights(), resumed.weights()) and same(straight.state(), resumed.state())


def test_groups_give_the_bits_of_paddles_own_step():
    """With decay, shares of the learning rate, a part that some steps do not use, and a restart in between."""
    rates = {"first.weight": 0.25, "norm.bias": 0.25}
    plain, grouped = (updater(kernels=kernels, rates=rates, weight_decay=0.1) for kernels in ("plain", "auto"))
    assert grouped.optimizer.grouped and not grouped.note and not plain.optimizer.grouped
    calls = []
    for number in range(1, 9):
        def step_group(members, of=grouped):
            calls.append({of.names[p.name] for p in members})
            optimizer.GroupedAdamW._step_group(of.optimizer, members)

        grouped.optimizer._step_group = step_group
        for made in (plain, grouped):
            step(made, number, both=number % 3 != 0)
        assert same(plain.weights(), grouped.weights()) and same(plain.state(), grouped.state()), number
        if number == 5:
            weights, moments = grouped.weights(), grouped.state()
            grouped = updater(rates=rates, weight_decay=0.1)
            grouped.restore(weights, moments)
    assert {"first.weight"} in calls and {"norm.weight", "first.bias", "second.bias"} in calls
    assert all({"second.weight", "first.weight"} - members for members in calls)


def test_parameters_that_were_stepped_less_often_are_a_group_of_their_own():
    """On a GPU a call takes the powers of beta of its first parameter for all."""
    made = updater(weight_decay=0.1)
    for number in (1, 2, 3):
        step(made, number, both=number != 2)
    made.backward(made.model(X))
    groups = [{made.names[p.name] for p in members} for members in made.optimizer._groups(made.parameters)]
    assert sorted(map(sorted, groups)) == [["first.bias", "norm.bias", "norm.weight"], ["first.weight"],
                                           ["second.bias"], ["second.weight"]]
    powers = made.state()
    assert powers["beta2_pow_acc/second.bias"] > powers["beta2_pow_acc/first.bias"]


def test_a_grouped_step_that_fails_its_trial_leaves_paddles_own(monkeypatch):
    monkeypatch.setattr(optimizer, "fused_adamw", lambda *arguments: None)  # a kernel that does nothing
    made, plain = updater(), updater(kernels="plain")
    assert made.note.startswith("not used, differs from the plain form by 0.")
    for number in (1, 2):
        step(made, number), step(plain, number)
    assert same(made.weights(), plain.weights())


def test_moments_that_are_taken_back_in_the_middle_of_a_run_count():
    made, other = updater(), updater()
    for number in (1, 2, 3):
        step(made, number)
    step(other, 1)
    made.restore(other.weights(), other.state())
    step(made, 2), step(other, 2)
    assert same(made.weights(), other.weights()) and same(made.state(), other.state())


def test_the_norm_is_that_of_all_gradients_and_clipping_limits_it():
    made = updater()
    made.backward(made.model(X))
    expected = math.sqrt(sum(float((p.grad ** 2).sum()) for p in made.layer.parameters()))
    seen = []
    made._synchronised.step = lambda: seen.append(
        math.sqrt(sum(float((p.grad ** 2).sum()) for p in made.layer.parameters())))
    made.clip_norm = expected / 2
    assert made.step(1).norm == pytest.approx(expected, rel=1e-5)
    assert seen[0] == pytest.approx(expected / 2, rel=1e-4)


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_loss_scaling_changes_nothing_where_there_is_room_enough(clip):
    plain, scaled = updater(clip_norm=clip), updater(scaled=True, clip_norm=clip)
    for number in (1, 2, 3):
        a, b = step(plain, number), step(scaled, number)
        assert a.norm == pytest.approx(b.norm, rel=1e-5)
    for name, value in plain.weights().items():
        assert np.allclose(value, scaled.weights()[name], atol=1e-6), name


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_touches_nothing(factor):
    made = updater(scaled=True)
    step(made, 1)
    weights, moments = made.weights(), made.state()
    outcome = step(made, 2, factor)
    assert not outcome.stepped and not math.isfinite(outcome.norm)
    assert same(made.weights(), weights) and same(made.state(), moments)
    assert all(parameter.grad is None for parameter in made.layer.parameters())
    assert step(made, 2).stepped  # the update that was skipped is done, at its own learning rate
    assert made.optimizer.get_lr() == pytest.approx(made.schedule(2))


def test_the_factor_follows_the_rule_of_paddles_scaler():
    theirs = paddle.amp.GradScaler(enable=True, init_loss_scaling=1024.0, incr_every_n_steps=3, incr_ratio=2.0,
                                   decr_every_n_nan_or_inf=2, decr_ratio=0.8)
    theirs._enable, theirs._use_dynamic_loss_scaling = True, True  # which Paddle refuses on a CPU
    theirs._scale, theirs._init_loss_scaling = paddle.to_tensor(1024.0), 1024.0
    for name, value in (("_incr_ratio", 2.0), ("_decr_ratio", 0.8), ("_incr_every_n_steps", 3),
                        ("_decr_every_n_nan_or_inf", 2), ("_incr_count", 0), ("_decr_count", 0)):
        setattr(theirs, name, value)
    ours = LossScale(SCALING, 1024.0)
    for finite in np.random.default_rng(0).random(200) < 0.7:
        theirs._cache_found_inf = theirs._cache_founf_inf = not finite  # Paddle 2.6 spells it so
        theirs._update()
        ours.update(bool(finite))
        assert ours.factor == pytest.approx(float(theirs._scale.item()), rel=1e-5)


def test_the_state_of_the_loss_scale_comes_back():
    made, again = updater(scaled=True), updater(scaled=True)
    for number, factor in enumerate([1.0, float("nan"), float("inf"), 1.0], 1):
        step(made, number, factor)
    again.precision.restore(made.precision.state())
    assert again.precision.loss_scale == 1024 * 0.8 and again.precision.state() == made.precision.state()
    assert Precision("fp32", "O1", SCALING).state() == {}


def test_resuming_gives_the_same_bits_with_a_part_that_has_not_been_used_yet():
    whole, part = updater(), updater()
    for made in (whole, part):
        step(made, 1, both=False)
    again = updater()
    again.restore(part.weights(), part.state())
    for number in (2, 3):
        step(whole, number, both=number == 3)
        step(again, number, both=number == 3)
    assert same(whole.weights(), again.weights()) and same(whole.state(), again.state())


def test_moments_survive_a_restart_in_which_they_were_not_used():
    made = updater()
    step(made, 1)
    first = updater()
    first.restore(made.weights(), made.state())
    assert same(first.state(), made.state())
    step(first, 2, both=False)
    second = updater()
    second.restore(first.weights(), first.state())
    assert same(second.state(), first.state())
    for again in (made, second):
        if again is made:
            step(again, 2, both=False)
        step(again, 3)
    assert same(made.weights(), second.weights())


def half(made: Updater) -> Updater:
    """As ``paddle.amp.decorate`` leaves it on a GPU: float16 weights, an optimiser that keeps masters."""
    for layer in (made.layer.first, made.layer.second):
        layer.to(dtype="float16")
    made.optimizer._multi_precision = True
    return made


def test_master_weights_and_their_moments_are_kept_and_found_again():
    made, names = half(updater()), ["first.weight", "first.bias", "second.weight", "second.bias"]
    weights = {name: np.random.default_rng(7).normal(size=value.shape).astype(np.float32)
               for name, value in made.layer.state_dict().items()}
    moments = {f"moment1/{name}": array * 2 for name, array in weights.items()}
    made.restore(weights, moments)
    assert same(made.weights(), weights)  # the masters, not what float16 leaves of them
    assert same(made.state(), moments)
    inner = dict(zip([made.layer.state_dict()[name].name for name in names], names))
    held = made.optimizer._accumulators_holder  # where Paddle looks when it makes the moments of a parameter
    for key, name in inner.items():
        assert np.array_equal(held[f"{key}{MASTER}_moment1_0"].numpy(), weights[name] * 2)
        assert made.optimizer._master_weights[key].name == key + MASTER
        assert np.array_equal(made.layer.state_dict()[name].numpy(), weights[name].astype(np.float16))


def test_a_snapshot_does_not_change_with_the_weights():
    made = updater()
    step(made, 1)
    weights, moments = made.weights(), made.state()
    before = {**{name: array.copy() for name, array in weights.items()},
              **{name: array.copy() for name, array in moments.items()}}
    step(made, 2)
    assert same({**weights, **moments}, before)


def test_heads_learn_at_a_multiple_of_the_encoders_rate():
    """Adam's first step is the learning rate in every weight with a gradient, whatever the gradient."""
    class Headed(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.ernie = paddle.nn.LayerDict({"encoder": paddle.nn.Linear(3, 3), "pooler": paddle.nn.Linear(3, 3)})
            self.heads = paddle.nn.LayerDict({"task": paddle.nn.Linear(3, 2)})

        def forward(self, x, both=True):
            return self.heads["task"](self.ernie["pooler"](self.ernie["encoder"](x))).square().sum()

    paddle.seed(3)
    model = Headed()
    options = OptimizerSettings(learning_rate=0.001, head_rate=20, weight_decay=0.0, clip_norm=0.0)
    made = Updater(model, options, Schedule("constant", 0.001, 1, 10), Precision("fp32", "O1", SCALING), World())
    before = made.weights()
    step(made, 1)
    moved = {name: float(np.abs(made.weights()[name] - before[name]).max()) for name in before}
    assert moved == pytest.approx({name: 0.001 if name.startswith("ernie.encoder.") else 0.02 for name in before},
                                  rel=1e-3)
