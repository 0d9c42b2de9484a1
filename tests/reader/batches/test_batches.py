"""A batch is a function of its number, however it is cut and by whomever; the layout is BERT's."""
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from reader.batches.batches import Batches, slices_of_lane, slices_of_rank
from reader.batches.corpus import Corpus
from reader.batches.examples import Example
from reader.batches.loader import prefetch
from reader.text.special_ids import SpecialIds
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tasks.base import SequenceTask, TokenTask
from tests.builders import build_store, doc, pair_store, random_documents

TOKEN_TASKS = ("knowledge_masking", "capitalization", "token_document")
DRAWN = (*TOKEN_TASKS, "sentence_reordering", "sentence_distance", "next_sentence")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("batches") / "store", random_documents(200))


def make(store, name="sentence_reordering", max_length=64, **changes) -> Batches:
    options = {"seed": 1, "task_id": 3, "batch_tokens": 512, "window": 8, **changes}
    corpus = Corpus([store], max_length=max_length)
    return Batches(tasks.load(name), [tasks.load(other) for other in TOKEN_TASKS], corpus, **options)


def same(first, second) -> bool:
    """Whether two lists of batches hold the same arrays."""
    return pickle.dumps(first) == pickle.dumps(second)


def content(batches) -> Counter:
    """What a global batch teaches, however it is cut and padded: (row, targets) as bytes, and how often."""
    found = []
    for batch in batches:
        rows, width = batch.token_ids.shape
        for row in range(rows):
            parts = [batch.token_ids[row, :batch.lengths[row]], batch.token_type_ids[row, :batch.lengths[row]]]
            for name in sorted(batch.targets):
                positions, labels, groups = batch.targets[name]
                at = positions if name == batch.task and labels.size <= rows and name not in TOKEN_TASKS else None
                mine = np.flatnonzero(at == row if at is not None else positions // width == row)
                columns = positions[mine] % width if at is None else np.zeros(len(mine), np.int64)
                parts += [columns, labels[mine], *([groups[mine]] if groups is not None else [])]
            found.append((batch.addresses[row], *[part.tobytes() for part in parts]))
    return Counter(found)


def test_layout_by_hand(tmp_path):
    store = pair_store(tmp_path / "p", [("a b c", "d", 1), ("b", "c d", 0)], ["x", "y"])
    batches = Batches(tasks.load("discourse_relation"), [tasks.load("capitalization"), tasks.load("token_document")],
                      Corpus([store], max_length=8), seed=1, task_id=4, batch_tokens=13, window=1)
    batch = next(b for n in range(20) for b in batches.at(n) if sorted(b.lengths.tolist()) == [6, 7])
    order = np.argsort(batch.lengths)
    pad, cls, sep, a, b, c, d = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"].index(t) for t in
                                 ("[PAD]", "[CLS]", "[SEP]", "a", "b", "c", "d"))
    assert batch.token_ids[order].tolist() == [[cls, b, sep, c, d, sep, pad], [cls, a, b, c, sep, d, sep]]
    assert batch.token_type_ids[order].tolist() == [[0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1]]
    assert batch.position_ids[order].tolist() == [[0, 1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 4, 5, 6]]
    assert batch.targets["discourse_relation"].labels[order].tolist() == [0, 1]
    assert batch.targets["discourse_relation"].positions.tolist() == [0, 1]
    places = batch.targets["capitalization"].positions
    assert sorted(batch.token_ids.reshape(-1)[places].tolist()) == sorted([a, b, c, d, b, c, d])
    assert len(batch.targets["token_document"].labels) == 0  # pairs have no document around them
    assert (batch.task, batch.task_id, batch.tokens) == ("discourse_relation", 4, 13)
    assert {address[:2] for address in batch.addresses} == {(0, 0), (0, 1)}


@pytest.mark.parametrize("name", DRAWN)
def test_batch_alone_equals_batch_in_sequence(store, name):
    sequence = make(store, name)
    batches = [sequence.at(n) for n in range(20)]
    for n in (19, 3, 8):
        assert same(make(store, name).at(n), batches[n])
    assert not same(batches[0], batches[1])
    assert not same(make(store, name, seed=2).at(0), batches[0])


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_make_the_same_batches(store, workers):
    batches = make(store)
    with prefetch(batches.at, range(20), workers) as stream:
        for n, made in enumerate(stream):
            assert same(made, batches.at(n))


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(DRAWN), batch_tokens=st.integers(64, 6000), cuts=st.lists(st.integers(1, 40), min_size=2,
                                                                                   max_size=2), n=st.integers(0, 40))
def test_any_cut_holds_the_same_examples_and_labels(store, name, batch_tokens, cuts, n):
    """Also where slices reach over lanes, or several lie in one."""
    slices, fewer = (max(1, min(count, batch_tokens // 64)) for count in cuts)
    try:
        whole = make(store, name, batch_tokens=batch_tokens)
        parts, others = (make(store, name, batch_tokens=batch_tokens, slices=count) for count in (slices, fewer))
    except InputError as error:
        assert "too few for examples" in str(error) and batch_tokens < 1.1 * 64 * max(slices, fewer)
        return
    made = parts.at(n)
    assert len(made) == slices and content(made) == content(whole.at(n)) == content(others.at(n))
    assert [batch.place for batch in made] == list(range(slices))
    assert max(batch.tokens for batch in made) <= batch_tokens / slices + 2.5 * 64


@settings(max_examples=25, deadline=None)
@given(ranks=st.integers(1, 9), per_rank=st.integers(1, 4), name=st.sampled_from(DRAWN), n=st.integers(0, 40))
def test_the_slices_of_all_ranks_are_the_global_batch(store, ranks, per_rank, name, n):
    """Each rank by itself; and none draws more lanes than its own and those that its slices share with others."""
    slices = ranks * per_rank
    found = []
    for rank in range(ranks):
        mine = make(store, name, batch_tokens=4096, slices=slices)
        found += mine.at(n, slices_of_rank(slices, rank, ranks))
        assert len(mine.windows._cached) <= -(-mine.windows.lanes // ranks) + 1
    assert same(found, make(store, name, batch_tokens=4096, slices=slices).at(n))
    assert content(found) == content(make(store, name, batch_tokens=4096).at(n))


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_every_slice_takes_an_example_of_the_lane_it_begins_in(lanes, slices, data):
    begun = []
    for lane in range(lanes):
        most = -(-slices // lanes)
        lengths = np.array(data.draw(st.lists(st.integers(3, 64), min_size=most, max_size=most + 4)))
        first, begins = slices_of_lane(lengths, lane, lanes, slices)
        begun += range(first, first + len(begins))
        bounds = [*begins.tolist(), len(lengths)]
        assert all(before < after for before, after in zip(bounds, bounds[1:]))
        assert not len(begins) or begins[0] >= 0
        assert first * lanes != lane * slices or begins[0] == 0
    assert begun == list(range(slices))


@pytest.mark.parametrize("name", DRAWN)
def test_shapes_and_budget(store, name):
    batches, totals = make(store, name, batch_tokens=2048, slices=2), []
    for n in range(64):
        made = batches.at(n)
        totals.append(sum(batch.tokens for batch in made))
        assert abs(totals[-1] - 2048) <= 256
        for batch in made:
            rows, width = batch.token_ids.shape
            assert width == batch.lengths.max() <= 64
            real = np.arange(width) < batch.lengths[:, None]
            assert (batch.token_ids[~real] == 0).all() and (batch.token_ids[real] > 0).all()
            assert (batch.token_type_ids < 4).all() and (batch.position_ids < batch.lengths[:, None]).all()
            assert (batch.token_ids == batches.specials.sep_id).sum() >= rows
            for positions, labels, _ in batch.targets.values():
                assert len(positions) == len(labels) and (labels != IGNORE).all()
                assert len(set(positions.tolist())) == len(positions)
    assert np.mean(totals) == pytest.approx(2048, rel=0.05)


class ThreeClasses(TokenTask):
    name = "three"
    classes = ("a", "b", "c")

    def labels(self, tokens):
        return np.where(tokens.offset % 2 == 0, tokens.offset % 3, IGNORE)


def test_a_users_token_task(store):
    batch, = Batches(ThreeClasses(), [ThreeClasses()], Corpus([store], max_length=64), seed=1, task_id=0,
                     batch_tokens=512).at(0)
    assert set(batch.targets["three"].labels.tolist()) == {0, 1, 2}
    assert ((batch.targets["three"].positions % batch.token_ids.shape[1] - 1) % 2 == 0).all()


class Mistaken(SequenceTask, TokenTask):
    """Makes one mistake that a user can make."""

    name = "mistaken"
    classes = ("x", "y")

    def __init__(self, level, example=None, label=None):
        self.level, self.made, self.label = level, example, label

    def example(self, corpus, anchor, rng):
        return self.made or corpus.running_text(anchor)

    def labels(self, tokens):
        return self.label(tokens)


@pytest.mark.parametrize("task, message", [
    (Mistaken("sequence", Example(0, ((0, 4),), 2)), "mistaken gave the label 2, it has 2 classes"),
    (Mistaken("sequence", Example(0, ((0, 4),), -1)), "mistaken gave the label -1"),
    (Mistaken("sequence", Example(0, ((4, 4),), 0)), "an example without text"),
    (Mistaken("sequence", Example(0, (), 0)), "an example without text"),
    (Mistaken("sequence", Example(0, ((0, 4),), 0, (0, 1))), r"gave 1 segments the sentence types \(0, 1\)"),
    (Mistaken("sequence", Example(0, ((0, 4), (8, 9)), 0, (0,))), r"gave 2 segments the sentence types \(0,\)"),
    (Mistaken("sequence", Example(0, ((0, 4),), 0, (-1,))), r"gave 1 segments the sentence types \(-1,\)"),
    (Mistaken("sequence", Example(0, ((-4, 4),), 0)), "an example of text that is not there"),
    (Mistaken("sequence", Example(0, ((10 ** 9, 10 ** 9 + 4),), 0)), "an example of text that is not there"),
    (Mistaken("sequence", (0, ((0, 4),), 0)), "mistaken made a tuple, not an Example"),
    (Mistaken("sequence", Example(0, ((0, 4),) * 6, 0)), "an example of sentence type 5, of which the model has 4"),
    (Mistaken("sequence", Example(0, ((0, 64),), 0)), "mistaken made an example of 66 tokens in 1 segments"),
    (Mistaken("token", label=lambda tokens: tokens.offset[1:]), r"labels of shape \(\d+,\) for \d+ tokens"),
    (Mistaken("token", label=lambda tokens: tokens.offset), r"mistaken gave the label \d+, it has 2 classes"),
])
def test_mistakes_of_a_users_task_are_named(store, task, message):
    with pytest.raises(InputError, match=message):
        Batches(task, [task] if task.level == "token" else [], Corpus([store], max_length=64), seed=1, task_id=0,
                batch_tokens=2048, sentence_types=4).at(0)


def test_vocabulary_of_another_object(store):
    class Tokenizer:
        cls_id, sep_id, mask_id, pad_id, regular_ids, size = 7, 8, 9, 0, [10, 11], 60

    batch, = make(store, vocabulary=Tokenizer()).at(0)
    assert (batch.token_ids[:, 0] == 7).all() and (batch.token_ids == 8).any() and (batch.token_ids == 9).any()


def test_bad_settings_are_said_clearly(store, tmp_path):
    with pytest.raises(InputError, match="batch_tokens 512 cut into 10 micro-batches"):
        make(store, slices=10)
    masking = tasks.load("knowledge_masking")
    with pytest.raises(InputError, match="all change the text"):
        Batches(masking, [masking, tasks.load("knowledge_masking", {"basic": 0.3})], Corpus([store], max_length=64),
                seed=1, task_id=0, batch_tokens=512)
    lacking = build_store(tmp_path / "lacking", [doc("a b")], ["[PAD]", "[UNK]", "a", "b"])
    with pytest.raises(InputError, match=r"lacks \[CLS\], \[SEP\], \[MASK\]"):
        SpecialIds.from_file(lacking.vocab_file)


def test_special_ids_of_both_vocabulary_formats(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused1]\nthe\n##s\n", "utf-8")
    assert SpecialIds.from_file(plain).regular_ids.tolist() == [6, 7]
    numbered = tmp_path / "numbered.txt"
    numbered.write_text("[PAD]\t0\n[CLS]\t1\n[SEP]\t2\n[MASK]\t3\n的\t4\n[UNK]\t5\n", "utf-8")
    specials = SpecialIds.from_file(numbered)
    assert (specials.cls_id, specials.sep_id, specials.mask_id, specials.pad_id) == (1, 2, 3, 0)
    assert specials.regular_ids.tolist() == [4]
    numbered.write_text("[PAD]\t0\nx\t2\n", "utf-8")
    with pytest.raises(InputError, match="numbered.txt line 2: id '2' of token 'x' is not 1"):
        SpecialIds.from_file(numbered)
