"""Training controls: each does what it is called for, beside its formula or a run without it."""
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

paddle = pytest.importorskip("paddle")

from ernie.cli import main  # noqa: E402
from ernie.finetuning import average, controls  # noqa: E402
from ernie.finetuning.recipe import load, make_kind  # noqa: E402
from ernie.finetuning.run import folds  # noqa: E402
from ernie.finetuning.seed import settings_of  # noqa: E402
from ernie.finetuning.sweep import combinations, table  # noqa: E402
from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.finetuning_model import DIVERGENCES, LOSSES, FinetuningModel, LossShaping, cross_entropy  # noqa: E402
from ernie.model.pretraining_model import to_tensors  # noqa: E402
from ernie.training.amp import Precision  # noqa: E402
from ernie.training.distributed import World  # noqa: E402
from ernie.training.optimizer import Updater  # noqa: E402
from ernie.training.settings import LossScaling, OptimizerSettings  # noqa: E402
from ernie.training.trainer import Trainer, TrainState  # noqa: E402
from reader.finetune.labels import Classes  # noqa: E402
from reader.finetune.rows import TextRow  # noqa: E402
from reader.text.tokenizer import Tokenizer  # noqa: E402
from reader.utils.errors import InputError  # noqa: E402
from reader.utils.labels import IGNORE  # noqa: E402
from tasks import finetune as kinds  # noqa: E402
from tasks.finetune.batches import EpochBatches  # noqa: E402
from tests.ernie.finetuning.tiny import TINY, finetune, make_data, result  # noqa: E402

DRY = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_hidden_layers": 3}
KIND = kinds.load("classification", Classes(["x", "y", "z"]))


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_every_setting_is_the_recipes():
    given = {"learning_rate": 1e-3, "beta1": 0.7, "beta2": 0.8, "epsilon": 1e-5, "weight_decay": 0.02, "clip_norm": 3.0,
             "precision": "bf16", "amp_level": "O2", "recompute": True, "workers": 3, "log_every": 7,
             "checkpoint_every": 11, "check_ranks_every": 13, "max_bad_steps": 5, "deterministic": True,
             "kernels": "plain", "health_every": 5.0, "width_multiple": 64}
    recipe = load("rte", assignments=[f"{key}={value}" for key, value in given.items()])
    settings = settings_of(recipe, 2, 20)
    found = {**vars(settings), **vars(settings.optimizer)}
    assert {key: found[key] for key in given} == {key: getattr(recipe, key) for key in given}
    assert settings.optimizer.head_rate == 1.0 and settings.schedule(2) == 1e-3


def test_label_smoothing_and_class_weights_by_their_formula():
    scores, labels = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 2, IGNORE, 1])
    chances = np.log(softmax(scores))
    weights, known = np.array([0.5, 1.0, 2.0]), [0, 1, 3]
    expected = sum(weights[labels[at]] * (-0.9 * chances[at, labels[at]] - 0.1 * chances[at].mean()) for at in known)
    loss, right, count = cross_entropy(paddle.to_tensor(scores, "float32"), None, paddle.arange(4),
                                       paddle.to_tensor(labels), LossShaping(0.1, tuple(weights)))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert int(count) == 3
    plain = cross_entropy(paddle.to_tensor(scores, "float32"), None, paddle.arange(4), paddle.to_tensor(labels))
    assert float(plain[0]) == pytest.approx(-sum(chances[at, labels[at]] for at in known), rel=1e-5)
    assert int(plain[1]) == int(right)


def labelled(labels):
    return [TextRow((f"{'abcdefgh'[n % 8]} {'hgfedcba'[n % 7]}",), label, "", "", n) for n, label in enumerate(labels)]


def test_class_weights_are_one_on_average(model_files):
    features = KIND.features(labelled([0] * 6 + [1] * 3 + [2]), Tokenizer.load(model_files[1]), 16)
    weights = np.array(controls.class_weights("balanced", KIND, features))
    assert weights[1] == pytest.approx(2 * weights[0])
    assert weights[2] == pytest.approx(6 * weights[0])
    assert weights @ [6, 3, 1] == pytest.approx(10)
    weights = np.array(controls.class_weights("1, 1, 4", KIND, features))
    assert weights[2] == pytest.approx(4 * weights[0])
    for bad in "1,2", "1,x,2", "0,0,0", "1,-1,1":
        with pytest.raises(InputError, match="expected balanced, or 3 numbers separated by commas for x, y, z"):
            controls.class_weights(bad, KIND, features)


@pytest.mark.parametrize("loss", LOSSES)
def test_two_equal_passes_are_not_apart_and_two_others_are(loss):
    rng = np.random.default_rng(1)
    shape, positions, labels = {
        "cross_entropy": ((4, 3), np.arange(4), np.array([0, 1, 2, 0])), "squared": ((4, 1), np.arange(4), np.ones(4)),
        "binary": ((4, 3), np.arange(4), np.ones((4, 3))), "choice": ((4, 1), np.array([[0, 1, 2], [3, -1, -1]]),
                                                                    np.array([0, 0])),
        "span": ((2, 5, 2), np.arange(2), np.array([[1, 2], [0, 3]]))}[loss]
    first, second = (paddle.to_tensor(rng.normal(size=shape), "float32") for _ in range(2))
    rest = (paddle.to_tensor([5, 4]), paddle.to_tensor(positions),
            paddle.to_tensor(labels, "float32" if loss in ("squared", "binary") else "int64"))
    assert float(DIVERGENCES[loss](first, first, *rest)) == 0
    assert float(DIVERGENCES[loss](first, second, *rest)) > 0.01
    if loss == "cross_entropy":
        p, q = softmax(first.numpy()), softmax(second.numpy())
        expected = ((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()) / 2
        assert float(DIVERGENCES[loss](first, second, *rest)) == pytest.approx(expected, rel=1e-4)


def trainer(model_files, **settings):
    """A trainer over a few rows, without dropout."""
    tokenizer = Tokenizer.load(model_files[1])
    config = ErnieConfig.from_dict({**DRY, "vocab_size": tokenizer.size})
    paddle.seed(3)
    model = FinetuningModel(config, KIND)
    recipe = load("sst-2", assignments=[f"{key}={value}" for key, value in settings.items()])
    controls.apply_controls(model, recipe, config.num_hidden_layers)
    batches = EpochBatches(KIND.features(labelled([0, 1, 2] * 3), tokenizer, 16), KIND, seed=1, epochs=1, batch_size=9,
                           batch_unit="examples", task_id=0, pad_id=tokenizer.pad_id, micro_tokens=24)
    updater = Updater(model, OptimizerSettings(1e-2, epsilon=1e-12, weight_decay=0.0, clip_norm=0.0),
                      lambda update: 1e-2, Precision("fp32", "O1", LossScaling()), World())
    return Trainer(updater, batches, {KIND.name: 1.0}, 1, state=TrainState(), world=World(), seed=1), batches


def moved(before, after):
    return {name: float(np.abs(after[name] - before[name]).max()) for name in before}


def step(made):
    """Weights before and after one step."""
    made, batches = made
    before = made.updater.weights()
    micro = batches.at(0)
    made.updater.model.train()
    made.train_step(micro, made.agree(made.ask(iter([micro]))), 0.0)
    return before, made.updater.weights()


def test_every_layer_learns_at_its_own_rate(model_files):
    far = moved(*step(trainer(model_files, layer_decay=0.5)))
    # Adam's first step is the learning rate wherever there is a gradient
    for name, expected in (("heads.classification.weight", 1.0), ("ernie.pooler.dense.weight", 1.0),
                           ("ernie.encoder.layers.2.linear1.weight", 0.5),
                           ("ernie.encoder.layers.0.linear1.weight", 0.125),
                           ("ernie.embeddings.word_embeddings.weight", 0.0625)):
        assert far[name] == pytest.approx(1e-2 * expected, rel=1e-2), name


def test_frozen_layers_stay_as_they_are(model_files):
    far = moved(*step(trainer(model_files, frozen_layers=2)))
    still = {name for name, distance in far.items() if distance == 0}
    assert {name for name in far if name.startswith(("ernie.embeddings", "ernie.encoder.layers.0",
                                                     "ernie.encoder.layers.1"))} <= still
    assert far["ernie.encoder.layers.2.linear1.weight"] > 0


def test_fgm_adds_the_gradient_at_moved_embeddings(model_files):
    made, batches = trainer(model_files)
    micro = batches.at(0)
    assert len(micro) > 1
    counts = made.agree(made.ask(iter([micro])))
    layer, table = made.updater.layer, made.updater.layer.ernie.embeddings.word_embeddings.weight

    def gradient():
        for batch in micro:
            made.updater.backward(made.total_loss(layer(**to_tensors(batch)), counts))
        found = {name: value.grad.numpy().copy() for name, value in layer.named_parameters() if value.grad is not None}
        made.updater.discard()
        return found

    layer.train()
    plain, kept = gradient(), table.numpy().copy()
    direction = plain["ernie.embeddings.word_embeddings.weight"]
    table.set_value(paddle.to_tensor(kept + 0.5 * direction / np.linalg.norm(direction)))
    there = gradient()
    table.set_value(paddle.to_tensor(kept))
    for batch in micro:
        made.updater.backward(made.total_loss(layer(**to_tensors(batch)), counts))
    controls.Fgm(0.5)(made, micro, counts)
    assert np.array_equal(table.numpy(), kept)
    for name, value in layer.named_parameters():
        if name in plain:
            np.testing.assert_allclose(value.grad.numpy(), plain[name] + there[name], rtol=1e-4, atol=1e-6)
    assert np.abs(there["heads.classification.weight"] - plain["heads.classification.weight"]).max() > 1e-4


def weights(output):
    return load_file(output / "seed-1" / "best" / "model.safetensors")


@pytest.mark.parametrize("setting", ["fgm=1.0", "r_drop=1.0", "label_smoothing=0.2", "class_weights=balanced",
                                     "layer_decay=0.8", "frozen_layers=1"])
@pytest.mark.parametrize("task", ["sst-2", "msra-ner"])
def test_a_run_with_each_control(tmp_path, model_files, setting, task):
    data = make_data(task, tmp_path / "data")
    if setting == "class_weights=balanced" and task == "sst-2":
        file = data / "train.tsv"  # uneven classes
        file.write_text(file.read_text() + "c d\t0\n" * 4)
    for name, more in ("plain", []), ("with", [setting]):
        assert finetune(task, data, tmp_path / name, model_files, "batch_size=4", "epochs=2", "learning_rate=0.01",
                        *more) == 0
    first, second = weights(tmp_path / "plain"), weights(tmp_path / "with")
    assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_similar_lengths_pad_less(tmp_path, model_files):
    data = make_data("sst-2", tmp_path / "data")
    rows = "".join(f"{' '.join('abcdefgh'[:1 + n % 8])}\t{n % 2}\n" for n in range(64))
    (data / "train.tsv").write_text("sentence\tlabel\n" + rows)
    padding = {}
    for many in "0", "8":
        assert finetune("sst-2", data, tmp_path / many, model_files, "batch_size=8", f"similar_lengths={many}",
                        "log_every=8") == 0
        last = (tmp_path / many / "seed-1" / "log.jsonl").read_text().splitlines()[-1]
        padding[many] = json.loads(last)["padding"]
    assert padding["8"] == 0
    assert padding["0"] > 0.2


def test_controls_that_a_kind_cannot_have(tmp_path, model_files, capsys):
    data = make_data("sts-b", tmp_path / "data")
    assert finetune("sts-b", data, tmp_path / "out", model_files, "label_smoothing=0.1") == 2
    assert "label_smoothing and class_weights are for one class a row or token, not regression" \
        in capsys.readouterr().err
    assert finetune("sts-b", data, tmp_path / "other", model_files, "r_drop=0.5") == 0


@pytest.mark.parametrize(("settings", "extra", "message"), [
    (["class_weights=1,2,3"], [], "class_weights '1,2,3': expected balanced, or 2 numbers"),
    (["frozen_layers=4"], [], "frozen_layers 4: the encoder has 1 layer"),
    (["fgm=1.0", "frozen_layers=1"], [], "fgm steps in the word embeddings, which frozen_layers 1 keeps as they are"),
    ([], ["--folds", "50"], "--folds 50: ")])
def test_what_cannot_begin_is_not_written_down(tmp_path, model_files, capsys, settings, extra, message):
    data, output = make_data("sst-2", tmp_path / "data"), tmp_path / "out"
    assert finetune("sst-2", data, output, model_files, *settings, extra=extra) == 2
    assert message in capsys.readouterr().err
    assert not (output / "finetune.json").exists()  # it would refuse the run with the mistake mended


def test_training_ends_when_dev_data_gains_no_more(tmp_path, model_files, capsys):
    data = make_data("sst-2", tmp_path / "data")
    assert finetune("sst-2", data, tmp_path / "out", model_files, "batch_size=4", "epochs=20", "learning_rate=1e-9",
                    "early_stopping=3") == 0
    found = json.loads((tmp_path / "out" / "seed-1" / "result.json").read_text())
    assert (found["steps"], found["best_step"], len(found["dev_points"])) == (8, 2, 4)
    assert "seed 1: dev data gained no more: ends after step 8 of 40" in capsys.readouterr().out


def test_averaged_probabilities_by_hand(tmp_path):
    scores = [np.log([[0.9, 0.1], [0.4, 0.6]]), np.log([[0.2, 0.8], [0.1, 0.9]])]
    kind = kinds.load("classification", Classes(["x", "y"]))
    for number, each in enumerate(scores):
        average.save_outputs(tmp_path / f"{number}.npz", list(each))
    found = average.averaged(kind, [average.load_outputs(tmp_path / f"{number}.npz") for number in range(2)])
    np.testing.assert_allclose(softmax(np.array(found)), [[0.55, 0.45], [0.25, 0.75]], rtol=1e-5)
    tokens = [np.ones((3, 2)), np.zeros((1, 2)), np.zeros((2, 2))]
    average.save_outputs(tmp_path / "t.npz", tokens)
    assert [part.shape for part in average.load_outputs(tmp_path / "t.npz")] == [(3, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("task", ["sst-2", "msra-ner", "cmrc2018", "sts-b"])
def test_answers_of_several_runs_are_averaged(tmp_path, model_files, capsys, task):
    assert finetune(task, make_data(task, tmp_path / "data"), tmp_path / "out", model_files, extra=["--runs", "2"]) == 0
    assert set(result(tmp_path / "out")["averaged"]["dev"]) >= set(load(task).metrics)
    assert len((tmp_path / "out" / "average" / "test.tsv").read_text().splitlines()) == 9
    assert "answers averaged over 2 trainings, dev: " in capsys.readouterr().out


def test_folds_hold_every_row_once_and_keep_classes_even():
    rows = labelled([0] * 30 + [1] * 15)
    parts = folds(make_kind(load("sst-2"), load("sst-2").reader.labels()), rows, 5, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(45))
    assert [sum(rows[at].label for at in part) for part in parts] == [3] * 5
    questions = [TextRow(("a",), n % 2, "", f"q{n // 6}", n) for n in range(36)]
    ranking = make_kind(load("nlpcc-dbqa"), load("nlpcc-dbqa").reader.labels())
    for part in folds(ranking, questions, 3, 1):
        inside = {questions[at].group for at in part}
        assert not inside & {row.group for at, row in enumerate(questions) if at not in part}
    with pytest.raises(InputError, match="--folds 50: "):
        folds(ranking, questions, 50, 1)


@pytest.mark.parametrize("task", ["sst-2", "cmrc2018"])
def test_cross_validation(tmp_path, model_files, capsys, task):
    data, output = make_data(task, tmp_path / "data"), tmp_path / "out"
    assert finetune(task, data, output, model_files, extra=["--folds", "3"]) == 0
    found = result(output)
    assert len(found["figures"]["dev"][load(task).metrics[0]]["values"]) == 3
    answered = [len((output / f"fold-{n}" / "dev.tsv").read_text().splitlines()) - 1 for n in (1, 2, 3)]
    assert sorted(answered) == [2, 3, 3]
    assert (output / "average" / "test.tsv").is_file()
    assert main(["predict", "--model", str(output), "--input", str(next(data.glob("test*"))), "--output",
                 str(tmp_path / "p.tsv")]) == 0
    capsys.readouterr()
    assert finetune(task, data, output, model_files, extra=["--runs", "1"]) == 2
    assert "folds: was 3, is now 0" in capsys.readouterr().err
    assert finetune(task, data, output, model_files, "seed=2", extra=["--folds", "3"]) == 2  # it draws the folds
    assert "seed: was 1, is now 2" in capsys.readouterr().err


def test_a_sweep(tmp_path, model_files, capsys):
    data, output = make_data("sst-2", tmp_path / "data"), tmp_path / "out"
    assert finetune("sst-2", data, output, model_files, "log_every=100", extra=[
        "--sweep", "learning_rate=1e-9,0.01", "--sweep", "epochs=1,40", "--set", "batch_size=8"]) == 0
    said = capsys.readouterr().out
    assert "note: --set epochs=1 has no effect: --sweep epochs=1,40 takes its place" in said
    lines = said.rstrip().splitlines()[-5:]
    assert lines[0].split() == ["setting", "accuracy", "mean", "on", "dev"]
    assert lines[1].startswith("learning_rate=0.01 epochs=40  100.0")
    found = json.loads((output / "sweep.json").read_text())
    assert [each["settings"] for each in found] == combinations(["learning_rate=1e-9,0.01", "epochs=1,40"])
    assert (output / "learning_rate=0.01,epochs=40" / "seed-1" / "best").is_dir()
    for bad, message in (("epochs", "expected KEY=V1,V2"), ("epochs=1,x", "epochs: expected int, found 'x'")):
        assert finetune("sst-2", data, tmp_path / "bad", model_files, extra=["--sweep", bad]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


def test_a_sweep_is_sorted_by_the_figure_that_it_shows():
    """Medians over three seeds are 50 and 52, means 63 and 43; with two dev sets both count."""
    def summary(*splits):
        return {"metrics": ["accuracy"], "figures": {name: {"accuracy": {"value": sorted(values)[1], "values": values}}
                                                     for name, values in zip(("dev", "dev_mm"), splits)}}
    found = [(["a=1"], summary([0.4, 0.5, 1.0])), (["a=2"], summary([0.2, 0.52, 0.57]))]
    assert [line.split()[:3] for line in table(found).splitlines()[1:]] == [["a=2", "52.0", "52.0"],
                                                                           ["a=1", "50.0", "50.0"]]
    found[0][1]["figures"]["dev_mm"] = {"accuracy": {"value": 0.6, "values": [0.6, 0.6, 0.6]}}
    assert table(found).splitlines()[1].split() == ["a=1", "55.0", "55.0", "±", "16.1"]
