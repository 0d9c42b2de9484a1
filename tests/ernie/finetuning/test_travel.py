"""Fine-tuned models in other families: the head and its labels go along, and the same answers come back."""
import json
import tarfile
import zlib  # noqa: F401  (before paddle)

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from safetensors.numpy import load_file, save_file  # noqa: E402

import ernie  # noqa: E402
from ernie.checkpoints.formats import read  # noqa: E402
from ernie.checkpoints.formats.finetuned import DESCRIPTION  # noqa: E402
from ernie.cli import main  # noqa: E402
from ernie.finetuning.predictor import Predictor, describe  # noqa: E402
from ernie.finetuning.recipe import from_dict, make_kind  # noqa: E402
from ernie.model.config import ErnieConfig  # noqa: E402
from ernie.model.finetuning_model import FinetuningModel  # noqa: E402
from reader.finetune.rows import ChoiceRow, QuestionRow, TagRow, TextRow  # noqa: E402
from reader.text.tokenizer import SPECIAL_TOKENS  # noqa: E402
from reader.utils.errors import InputError  # noqa: E402

LETTERS = "abcdefgh"
VOCAB = [*SPECIAL_TOKENS, *LETTERS]
SIZES = {"vocab_size": len(VOCAB), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_dropout_prob": 0.0,
         "attention_probs_dropout_prob": 0.0, "initializer_range": 0.3}
TABLE = {"columns": [{"text": ["text_a", "text_b"]}]}
READERS = {"classification": {**TABLE, "classes": ["bad", "fair", "good"]}, "regression": TABLE,
           "multi_label": {**TABLE, "classes": ["x", "y", "z"], "label_separator": ","},
           "multiple_choice": {"columns": [{"text": "question", "choices": "choices"}], "classes": ["A", "B"]},
           "sequence_labelling": {"layout": "tagged", "classes": ["B-P", "I-P", "O"]},
           "reading_comprehension": {"layout": "questions"}}
METRICS = {"classification": "accuracy", "regression": "pearson", "multi_label": "exact", "multiple_choice": "accuracy",
           "sequence_labelling": "entity_f1", "reading_comprehension": "em"}
ARCHITECTURES = {"classification": "SequenceClassification", "regression": "SequenceClassification",
                 "multi_label": "SequenceClassification", "multiple_choice": "MultipleChoice",
                 "sequence_labelling": "TokenClassification", "reading_comprehension": "QuestionAnswering"}


def own_model(folder, kind_name, task_id=False, trained_with=0):
    """A model with random weights as fine-tuning leaves it."""
    recipe = from_dict({"task": "t", "suite": "glue", "kind": kind_name, "reader": READERS[kind_name],
                        "metrics": [METRICS[kind_name]], "max_length": 16, "schedule": "linear",
                        "warmup_proportion": 0.1, "weight_decay": 0.0, "over_runs": "median",
                        "task_id": trained_with}, "test")
    classes = recipe.reader.labels(folder)
    config = ErnieConfig(**SIZES, use_task_id=task_id, task_type_vocab_size=3)
    paddle.seed(7)
    model = FinetuningModel(config, make_kind(recipe, classes))
    folder.mkdir()
    rng = np.random.default_rng(3)
    arrays = {name: np.asarray(rng.normal(0, 0.3, value.shape), np.float32)
              for name, value in model.state_dict().items()}
    save_file(arrays, folder / "model.safetensors")
    (folder / "ernie_config.json").write_text(json.dumps(config.to_dict()))
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    (folder / DESCRIPTION).write_text(describe(recipe, classes))
    return folder


def rows(kind_name):
    if kind_name == "sequence_labelling":
        return [TagRow(list("abcd"), None, 1), TagRow(list("hg"), None, 2)]
    if kind_name == "reading_comprehension":
        return [QuestionRow("1", "a b", "c d e f", "c d e f", [], []), QuestionRow("2", "g", "h a", "h a", [], [])]
    if kind_name == "multiple_choice":
        return [ChoiceRow(("a b",), ("c", "d e"), None, "0", 1), ChoiceRow(("g",), ("h", "f"), None, "1", 2)]
    return [TextRow(("a b c", "d"), None, "0", "", 1), TextRow(("e f", "g h a"), None, "1", "", 2)]


def numbers(model, kind_name):
    """The cells of the answers, numbers to five places."""
    found = rows(kind_name)
    return [[f"{float(cell):.4f}" if "." in cell else cell for cell in model.kind.cells(row, prediction)]
            for row, prediction in zip(found, model.predict(found))]


def scores(model):
    """Scores of our model for a batch without padding, and its token and sentence ids."""
    rng = np.random.default_rng(0)
    tokens, kinds = rng.integers(5, len(VOCAB), (3, 7)), np.array([[0, 0, 0, 1, 1, 1, 1]] * 3)
    arguments = [paddle.to_tensor(np.asarray(array, "int64")) for array in
                 (tokens, kinds, np.tile(np.arange(7), (3, 1)), np.full(3, 7), np.full((3, 1), model.recipe.task_id))]
    with paddle.no_grad():
        return model.model.outputs(*arguments).numpy(), tokens, kinds


@pytest.mark.parametrize("kind_name", READERS)
@pytest.mark.parametrize("family", ["static", "dygraph", "paddlenlp", "huggingface"])
def test_there_and_back(tmp_path, kind_name, family):
    source = own_model(tmp_path / "own", kind_name)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", family]) == 0
    found = Predictor(tmp_path / "out")
    assert found.kind.name == kind_name
    assert found.recipe.max_length == 16
    assert found.classes.names == Predictor(source).classes.names
    assert numbers(found, kind_name) == numbers(Predictor(source), kind_name)
    assert main(["convert", str(tmp_path / "out"), str(tmp_path / "back"), "--to", "own"]) == 0
    back = Predictor(tmp_path / "back")
    assert back.classes.names == found.classes.names and back.recipe.max_length == 16
    assert numbers(back, kind_name) == numbers(found, kind_name)


@pytest.mark.parametrize("family", ["static", "dygraph", "paddlenlp", "huggingface"])
def test_the_task_embedding_it_was_trained_with_goes_along(tmp_path, family, capsys):
    source = own_model(tmp_path / "own", "classification", task_id=True, trained_with=2)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", family]) == 0
    said = capsys.readouterr().out
    assert ("task embeddings 0 and 2 have changed places" in said) == (family == "huggingface")
    assert ("number 2, which this model was trained with, is part of" in said) == (family == "dygraph")
    found = Predictor(tmp_path / "out")
    assert found.recipe.task_id == (0 if family in ("dygraph", "huggingface") else 2)
    assert numbers(found, "classification") == numbers(Predictor(source), "classification") \
        != numbers(Predictor(source, ["task_id=0"]), "classification")
    vectors = [ernie.load(tmp_path / name).encode(["a b c"]) for name in ("own", "out")]
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-6
    assert np.abs(vectors[0] - ernie.load(source, task_id=0).encode(["a b c"])).max() > 1e-3
    assert main(["convert", str(tmp_path / "out"), str(tmp_path / "back"), "--to", "own"]) == 0
    assert numbers(Predictor(tmp_path / "back"), "classification") == numbers(found, "classification")


@pytest.mark.parametrize("value", [3, -1, "x", None, True, 1e9])
def test_a_task_embedding_that_is_not_there_is_refused(tmp_path, value, capsys):
    source = own_model(tmp_path / "own", "classification", task_id=True)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "paddlenlp"]) == 0
    file = tmp_path / "out" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task_id": value}))
    with pytest.raises(InputError, match="task_id of its configuration is not one of the model's 3 task embeddings"):
        Predictor(tmp_path / "out")
    capsys.readouterr()
    assert main(["convert", str(tmp_path / "out"), str(tmp_path / "back"), "--to", "own"]) == 0
    assert "no finetuned.json was written" in capsys.readouterr().out


FOREIGN = ["static", "dygraph", "paddlenlp", "huggingface"]


@pytest.mark.parametrize("first", FOREIGN)
def test_what_is_known_of_a_head_goes_from_family_to_family(tmp_path, first):
    """Its labels and its length, of a model whose configuration does not name the labels as well, too."""
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "first"), "--to", first]) == 0
    file = next(tmp_path.glob("first/*config.json")) if first in ("static", "dygraph") else None
    if file:
        values = json.loads(file.read_text())
        file.write_text(json.dumps({key: values[key] for key in values.keys() - {"id2label", "label2id"}}))
    with tarfile.open(tmp_path / "first.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "first", "inside")
    places = [tmp_path / "first", tmp_path / "first.tar.gz", *tmp_path.glob("first/params")]
    for second in FOREIGN:
        assert main(["convert", str(tmp_path / "first"), str(tmp_path / second), "--to", second]) == 0
        places.append(tmp_path / second)
    for place in places:
        found = Predictor(place)
        assert (place, found.recipe.max_length, found.classes.names) == (place, 16, ("bad", "fair", "good"))
        assert numbers(found, "classification") == numbers(Predictor(source), "classification")


def test_a_map_of_labels_that_is_not_the_heads(tmp_path):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "static"]) == 0
    (tmp_path / "out" / "label_map.json").write_text('{"a": 0, "b": 1}')
    with pytest.raises(InputError, match="names 2 classes, the head of the weights beside it has 3"):
        Predictor(tmp_path / "out")


@pytest.mark.parametrize("family", FOREIGN)
def test_ernie_load_takes_what_predict_takes(tmp_path, family):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", family]) == 0
    model, expected = ernie.load(tmp_path / "out"), ernie.load(source)
    assert model.classes == expected.classes == ("bad", "fair", "good")
    assert model.predict([("a b", "c")])[0].probability == pytest.approx(
        expected.predict([("a b", "c")])[0].probability, abs=1e-6)
    assert np.abs(model.encode(["a b"]) - expected.encode(["a b"])).max() < 1e-6

@pytest.mark.slow
def test_the_head_of_another_family_is_exported(tmp_path):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "huggingface"]) == 0
    assert main(["export", str(tmp_path / "out"), "--to", "inference", "--output", str(tmp_path / "graph")]) == 0
    assert numbers(Predictor(tmp_path / "graph"), "classification") == numbers(Predictor(source), "classification")


def test_a_head_that_cannot_answer_leaves_the_encoder(tmp_path):
    source = own_model(tmp_path / "own", "classification", task_id=True)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "paddlenlp"]) == 0
    file = tmp_path / "out" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task_id": 9}))
    model = ernie.load(tmp_path / "out")
    assert model.task is None and model.encode(["a b"]).shape == (1, 16)
    with pytest.raises(InputError, match="is not one of the model's 3 task embeddings"):
        model.predict(["a"])


def test_of_several_seeds_every_command_takes_the_best(tmp_path):
    for seed in (1, 2):
        (tmp_path / "out" / f"seed-{seed}").mkdir(parents=True)
        own_model(tmp_path / "out" / f"seed-{seed}" / "best", "classification")
    file = tmp_path / "out" / "seed-2" / "best" / "model.safetensors"
    save_file({name: array * 2 for name, array in load_file(file).items()}, file)
    (tmp_path / "out" / "result.json").write_text(json.dumps({"best_seed": 2}))
    expected = ernie.load(file.parent).encode(["a b c"])
    assert main(["convert", str(tmp_path / "out"), str(tmp_path / "converted"), "--to", "own"]) == 0
    (tmp_path / "texts.txt").write_text("a b c\n")
    assert main(["encode", "--init", str(tmp_path / "out"), "--input", str(tmp_path / "texts.txt"), "--output",
                 str(tmp_path / "vectors.npy")]) == 0
    for found in ernie.load(tmp_path / "converted").encode(["a b c"]), np.load(tmp_path / "vectors.npy"):
        assert np.abs(found - expected).max() < 1e-6


def test_own_to_own_is_the_same_model(tmp_path):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "own"]) == 0
    assert (tmp_path / "out" / DESCRIPTION).read_text() == (source / DESCRIPTION).read_text()
    assert numbers(Predictor(tmp_path / "out"), "classification") == numbers(Predictor(source), "classification")


def test_the_labels_of_2019_lie_beside_the_weights(tmp_path):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "static"]) == 0
    assert json.loads((tmp_path / "out" / "label_map.json").read_text()) == {"bad": 0, "fair": 1, "good": 2}


def test_what_has_no_head_is_no_fine_tuned_model(tmp_path):
    source = own_model(tmp_path / "own", "classification")
    (source / DESCRIPTION).unlink()
    with pytest.raises(InputError, match="no fine-tuned model here"):
        Predictor(source)


def test_predict_and_evaluate_with_a_converted_model(tmp_path, capsys):
    source = own_model(tmp_path / "own", "classification")
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "huggingface"]) == 0
    assert read(tmp_path / "out").top.labels == ["bad", "fair", "good"]
    (tmp_path / "in.tsv").write_text("sentence1\tsentence2\tlabel\na b\tc\tgood\nd\te f\tbad\n")
    for command in "predict", "evaluate":
        assert main([command, "--model", str(tmp_path / "out"), "--input", str(tmp_path / "in.tsv"), "--output",
                     str(tmp_path / command)]) == 0
    assert "metrics: accuracy" in capsys.readouterr().out


# ---- peers

@pytest.mark.peer
@pytest.mark.parametrize("kind_name", READERS)
@pytest.mark.parametrize("task_id", [None, 0, 2])
def test_the_same_logits_in_transformers(peer, tmp_path, kind_name, task_id):
    transformers, torch = peer("transformers"), peer("torch")
    source = own_model(tmp_path / "own", kind_name, task_id is not None, task_id or 0)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "huggingface"]) == 0
    theirs, report = getattr(transformers, f"AutoModelFor{ARCHITECTURES[kind_name]}").from_pretrained(
        tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"], report
    theirs.eval()
    expected, tokens, kinds = scores(Predictor(source))
    shape = (lambda array: torch.tensor(array)[None]) if kind_name == "multiple_choice" else torch.tensor
    with torch.no_grad():
        out = theirs(input_ids=shape(tokens), token_type_ids=shape(kinds))
    found = torch.stack((out.start_logits, out.end_logits), -1) if kind_name == "reading_comprehension" else out.logits
    assert np.abs(found.numpy().reshape(expected.shape) - expected).max() < 2e-5
    names = READERS[kind_name].get("classes", [])
    if names:
        assert [theirs.config.id2label[at] for at in range(len(names))] == names
    if kind_name == "classification":
        pipeline = transformers.pipeline("text-classification", model=theirs,
                                         tokenizer=transformers.AutoTokenizer.from_pretrained(tmp_path / "out"))
        (answer,) = pipeline([{"text": "a b c", "text_pair": "d"}])
        (ours,) = Predictor(source).predict(rows(kind_name)[:1])
        assert answer["label"] == names[ours.label]
        assert answer["score"] == pytest.approx(ours.probabilities.max(), abs=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("kind_name", ["classification", "regression", "multi_label", "sequence_labelling",
                                       "reading_comprehension"])
def test_what_transformers_fine_tuned_predicts_here(peer, tmp_path, kind_name):
    transformers, torch = peer("transformers"), peer("torch")
    torch.manual_seed(2)
    names = READERS[kind_name].get("classes", ["start", "end"] if kind_name == "reading_comprehension" else ["score"])
    problems = {"regression": "regression", "multi_label": "multi_label_classification"}
    config = transformers.BertConfig(**SIZES, id2label=dict(enumerate(names)), num_labels=len(names),
                                     label2id={name: at for at, name in enumerate(names)},
                                     problem_type=problems.get(kind_name))
    theirs = getattr(transformers, f"BertFor{ARCHITECTURES[kind_name]}")(config).eval()
    theirs.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    model = Predictor(tmp_path / "model")
    assert model.kind.name == kind_name
    found, tokens, kinds = scores(model)
    with torch.no_grad():
        out = theirs(input_ids=torch.tensor(tokens), token_type_ids=torch.tensor(kinds))
    expected = torch.stack((out.start_logits, out.end_logits), -1) if kind_name == "reading_comprehension" \
        else out.logits
    assert np.abs(expected.numpy() - found).max() < 2e-5
    if kind_name in ("classification", "multi_label", "sequence_labelling"):
        assert list(model.classes.names) == names


@pytest.mark.peer
@pytest.mark.parametrize("kind_name", READERS)
def test_the_same_logits_in_paddlenlp_and_back(peer, tmp_path, kind_name):
    transformers = peer("paddlenlp").transformers
    source = own_model(tmp_path / "own", kind_name, task_id=True, trained_with=2)
    assert main(["convert", str(source), str(tmp_path / "out"), "--to", "paddlenlp"]) == 0
    theirs = getattr(transformers, f"ErnieFor{ARCHITECTURES[kind_name]}").from_pretrained(str(tmp_path / "out"))
    theirs.eval()
    expected, tokens, kinds = scores(Predictor(source))
    shape, used = paddle.to_tensor, 3
    if kind_name == "multiple_choice":
        shape, used = (lambda array: paddle.to_tensor(array)[None]), 2  # the number of choices is fixed there
    tokens, kinds, expected = tokens[:used], kinds[:used], expected[:used]
    with paddle.no_grad():
        out = theirs(input_ids=shape(np.asarray(tokens, "int64")), token_type_ids=shape(np.asarray(kinds, "int64")))
    found = paddle.stack(list(out), -1) if kind_name == "reading_comprehension" else out
    assert np.abs(found.numpy().reshape(expected.shape) - expected).max() < 2e-5
    theirs.save_pretrained(str(tmp_path / "saved"))
    (tmp_path / "saved" / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    assert numbers(Predictor(tmp_path / "saved"), kind_name) == numbers(Predictor(source), kind_name)
