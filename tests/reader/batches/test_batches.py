"""A batch is a function of its number; slices only cut it; the layout is BERT's."""
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from reader.batches.batches import Batches, cut
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


def content(batches) -> set:
    """What a global batch teaches, however it is cut and padded: a set of (row, targets) as bytes."""
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
    assert len(found) == len(set(found))
    return set(found)


def test_layout_by_hand(tmp_path):
    store = pair_store(tmp_path / "p", [("a b c", "d", 1), ("b", "c d", 0)], ["x", "y"])
    batches = Batches(tasks.load("discourse_relation"), [tasks.load("capitalization"), tasks.load("token_document")],
                      Corpus([store], max_length=8), seed=1, task_id=4, batch_tokens=8, window=1)
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


@pytest.mark.parametrize("name", DRAWN)
def test_slices_hold_the_same_examples_and_labels(store, name):
    for n in range(0, 16, 3):
        whole = content(make(store, name).at(n))
        for slices in (2, 4, 8):
            cut_up = make(store, name, slices=slices)
            parts = cut_up.at(n)
            assert len(parts) == slices
            assert content(parts) == whole
            assert same([cut_up.at(n, [k])[0] for k in range(slices)], parts)
            shares = [part.tokens for part in parts]
            assert max(shares) - min(shares) <= 2 * 64


@pytest.mark.parametrize("name", DRAWN)
def test_shapes_and_budget(store, name):
    batches = make(store, name, batch_tokens=2048, slices=2)
    for n in range(16):
        made = batches.at(n)
        assert abs(sum(batch.tokens for batch in made) - 2048) <= 64
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


def test_padding_is_small_without_being_asked(store):
    for name in DRAWN:
        batches = make(store, name, window=None)
        assert batches.window == 128
        made = [batch for n in range(0, 128, 2) for batch in batches.at(n)]
        assert 1 - sum(batch.tokens for batch in made) / sum(batch.token_ids.size for batch in made) < 0.05


def test_a_window_holds_each_example_once(store):
    batches = make(store, "sentence_distance")
    window = batches._window(3)
    assert sorted(np.concatenate(window.batches).tolist()) == list(range(len(window.lengths)))
    tokens = window.lengths.sum()
    assert 0 <= tokens - 8 * 512 <= 64


def test_windows_walk_the_corpus_without_repeating(store):
    """Nearly all examples of one pass start from different blocks, and nearly all blocks are used."""
    batches = make(store, "knowledge_masking")
    seen, units = [], batches.corpus.units(0)
    walk = [anchor for start in range(0, units, batches.stride)
            for anchor in batches.corpus.anchors(np.arange(start, min(units, start + batches.stride)), 1)]
    seen = {anchor.token for anchor in walk}
    assert len(seen) == len(walk) == units
    used = np.mean([len(batches.examples(number)) / batches.stride for number in range(10)])
    assert 0.98 < used < 1.1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 12))
def test_cut_is_even_and_never_empty(lengths, parts):
    bounds = cut(np.array(lengths), parts)
    assert bounds[0] == 0 and bounds[-1] == len(lengths) and len(bounds) == parts + 1
    assert (np.diff(bounds) >= (len(lengths) >= parts)).all()
    if len(lengths) >= parts and sum(lengths) >= parts * max(lengths):
        shares = np.add.reduceat(lengths, bounds[:-1])
        assert np.abs(shares - sum(lengths) / parts).max() <= max(lengths)


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
    (Mistaken("sequence", Example(0, ((0, 64),), 0)), "mistaken made an example of 66 tokens in 1 segments"),
    (Mistaken("token", label=lambda tokens: tokens.offset[1:]), r"labels of shape \(\d+,\) for \d+ tokens"),
    (Mistaken("token", label=lambda tokens: tokens.offset), r"mistaken gave the label \d+, it has 2 classes"),
])
def test_mistakes_of_a_users_task_are_named(store, task, message):
    with pytest.raises(InputError, match=message):
        Batches(task, [task] if task.level == "token" else [], Corpus([store], max_length=64), seed=1, task_id=0,
                batch_tokens=2048).at(0)


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
