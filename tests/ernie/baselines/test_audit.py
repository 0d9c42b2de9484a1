"""ernie audit: what it says of a task whose label leaks, and of the shipped ones."""
import json

import numpy as np
import pytest

from ernie.baselines.audit import audit, draw, edge_marks, place_in_document
from ernie.baselines.samples import sequence_sample
from ernie.cli import main
from reader.batches.corpus import Corpus
from reader.text.flags import CAPITAL
from tasks import load
from tests.builders import build_store, pair_store, random_documents

LEAKY = '''
from tasks.base import SequenceTask

class Leaky(SequenceTask):
    """The second segment ends where a sentence ends exactly when the label is 1."""
    name, classes, sources = "leaky", ("inside", "end"), ("documents",)

    def example(self, corpus, anchor, rng):
        label = int(rng.integers(2))
        sentences = corpus.stores[anchor.store].sentences
        stop = int(sentences[1 + rng.integers(len(sentences) - 1)]) - (1 - label)
        first = int(rng.integers(len(corpus.stores[anchor.store]) - 12))
        return corpus.pair(anchor.store, (first, first + 10), (stop - 2, stop), label)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_store(tmp_path / "c" / "train", random_documents(120))
    build_store(tmp_path / "c" / "dev", random_documents(60, seed=1))
    (tmp_path / "leaky.py").write_text(LEAKY)
    return tmp_path


def lines_of(capsys, arguments: str) -> list[dict]:
    assert main(["audit", *arguments.split(), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_users_task_that_leaks_is_found_out(folder, capsys):
    line, = lines_of(capsys, "--corpus c --task leaky --tasks-from leaky.py --examples 2000 --max-length 32")
    assert line["task"] == "leaky" and line["classes"] == 2 and line["majority"] < 0.56
    assert 2000 <= line["train_targets"] < 2700 and 1000 <= line["dev_targets"] < 1800
    accuracy = {entry["name"]: entry["accuracy"] for entry in line["baselines"]}
    assert accuracy["first and last token of each segment"] > 0.95  # every sentence of the store ends with a full stop
    assert accuracy["punctuation and capitals at the edges"] > 0.95
    assert accuracy["lengths"] < 0.6 and accuracy["place in the document"] < 0.6


def test_without_a_task_all_that_can_draw_from_the_stores_are_audited(folder, capsys):
    pair_store(folder / "c" / "pairs" / "discourse_relation" / "train",
               [(f"a{k % 7} b", f"c{k % 2} d", k % 2) for k in range(200)], ["but", "so"])
    found = {line["task"]: line for line in lines_of(capsys, "--corpus c --examples 300 --max-length 64")}
    assert set(found) == {"knowledge_masking", "capitalization", "token_document", "sentence_reordering",
                          "sentence_distance", "next_sentence", "dialogue", "discourse_relation"}
    best = found["discourse_relation"]["baselines"][0]
    assert best["accuracy"] == 1.0  # its second segment gives the label away, and dev examples are of the same texts
    assert found["knowledge_masking"]["baselines"][0]["by_loss"] is True
    assert main(["audit", "--corpus", "c", "--task", "sentence_distance", "--examples", "300"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("sentence_distance: 3 classes, ") and "majority class" in out and "lengths" in out


def test_marks_and_places_are_those_of_the_raw_text(folder):
    corpus = Corpus([folder / "c" / "train"], max_length=64)
    drawn = draw(load("sentence_distance"), corpus, 200, seed=1)
    sample = sequence_sample(drawn.batches, "sentence_distance", drawn.separator)
    assert [spans[0][0] for spans in drawn.segments] == sample.first.tolist()
    store, marks = corpus.stores[0], edge_marks(sample, drawn, 2, corpus.vocabulary)
    for row, spans in enumerate(drawn.segments):
        for number, (start, stop) in enumerate(spans):
            assert marks[row, 4 * number] == (store.flags[start] & CAPITAL > 0)
            assert marks[row, 4 * number + 3] == (corpus.vocabulary[store.ids[stop - 1]] == ".")
    places = place_in_document(corpus, sample.store, sample.document, sample.first)
    assert ((places[:, 2] >= 0) & (places[:, 2] < 1)).all() and np.ptp(places[:, 1]) > 0.5


def test_one_store_is_audited_on_other_examples(folder):
    corpus = Corpus([folder / "c" / "train"], max_length=64)
    found = audit(load("capitalization"), corpus, corpus, 500, 250)
    assert found.of("most frequent label of the token") >= found.majority
    assert 0 < found.noise < 0.1


@pytest.mark.parametrize("arguments, message", [
    ("", "give --corpus, --pairs or both"),
    ("--corpus nowhere", "nowhere: not a corpus store"),
    ("--corpus c --task capitals", "did you mean 'capitalization'?"),
    ("--corpus c --task ir_relevance", "ir_relevance draws from pairs"),
    ("--corpus c --examples 3", "--examples 3: at least 100"),
    ("--corpus c --option m=3", "--option belongs to exactly one --task"),
])
def test_mistakes_are_one_line(folder, capsys, arguments, message):
    assert main(["audit", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
