"""Labels of the token-level tasks, stated by hand and proved on real text."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from reader.batches.corpus import Corpus
from reader.batches.examples import Example
from reader.text.flags import KIND, KIND_SHIFT, UNIT_START
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tests.builders import build_store, doc, pair_store
from tests.tasks.conftest import flat, many


def by_word(corpus, tokens, values) -> list:
    return list(zip([corpus.vocabulary[index] for index in tokens.ids], values.tolist()))


# -- capitalization --------------------------------------------------------------------------------------------


def test_capitalization_of_a_sentence(tmp_path):
    store = build_store(tmp_path / "s", [doc("The ca ##t saw {New York} .", "It Pad ##dle ##s ! iPod")])
    corpus = Corpus([store])
    tokens = flat(corpus, [Example(0, ((0, 7), (7, 13)))])
    assert by_word(corpus, tokens, tasks.load("capitalization").labels(tokens)) == [
        ("the", 1), ("ca", 0), ("##t", 0), ("saw", 0), ("new", 1), ("york", 1), (".", 0),
        ("it", 1), ("pad", 1), ("##dle", 1), ("##s", 1), ("!", 0), ("ipod", 0)]


def test_capitalization_agrees_with_the_raw_text(real_store, real_files):
    """Every token of a real article, against the cased text at its offset."""
    from reader.text.tokenizer import Tokenizer
    corpus = Corpus([real_store])
    raw = real_files[0].read_text("utf-8")
    encoding = Tokenizer.load(real_store.vocab_file).encode(raw)
    start, stop = real_store.document_span(0)
    tokens = flat(corpus, [Example(0, ((start, stop),))])
    assert tokens.ids.tolist() == encoding.ids.tolist()
    pieces = [corpus.vocabulary[index] for index in encoding.ids]
    words = []  # first offset of the word of each token
    for piece, (begin, _) in zip(pieces, encoding.offsets.tolist()):
        words.append(words[-1] if piece.startswith("##") else begin)
    expected = [raw[begin].isupper() for begin in words]
    assert tasks.load("capitalization").labels(tokens).tolist() == [int(e) for e in expected]
    assert 0.05 < np.mean(expected) < 0.5


# -- token-document relation -----------------------------------------------------------------------------------


def test_token_of_another_segment_is_positive(tmp_path):
    store = build_store(tmp_path / "s", [doc("the cat sat .", "a cat ran .", "the end"), doc("cat the . sat")])
    corpus, task = Corpus([store]), tasks.load("token_document")
    first = flat(corpus, [Example(0, ((0, 4),))])
    assert by_word(corpus, first, task.labels(first)) == [("the", 1), ("cat", 1), ("sat", 0), (".", 1)]
    middle = flat(corpus, [Example(0, ((4, 8),))])
    assert by_word(corpus, middle, task.labels(middle)) == [("a", 0), ("cat", 1), ("ran", 0), (".", 1)]
    whole = flat(corpus, [Example(0, ((0, 10),))])
    assert not task.labels(whole).any()  # no other segment
    shuffled = flat(corpus, [Example(0, ((4, 8), (0, 4)))])  # each segment has the other one outside itself
    assert task.labels(shuffled).tolist() == [0, 1, 0, 1, 1, 1, 0, 1]


def test_the_tokens_right_before_and_right_behind_a_segment_are_outside_of_it(tmp_path):
    store = build_store(tmp_path / "s", [doc("a x", "a b", "b y")])
    corpus, task = Corpus([store]), tasks.load("token_document")
    for segment, expected in ((2, 4), [1, 1]), ((1, 3), [0, 1]), ((0, 2), [1, 0]), ((3, 5), [0, 0]):
        assert task.labels(flat(corpus, [Example(0, (segment,))])).tolist() == expected, segment


def test_pairs_have_no_token_document_relation(tmp_path):
    store = pair_store(tmp_path / "p", [("a b", "a c", 0)], ["x"])
    labels = tasks.load("token_document").labels(flat(Corpus([store]), [Example(0, ((0, 2), (2, 4)))]))
    assert (labels == IGNORE).all()


def literal_token_document(store, start, stop) -> list[int]:
    """The definition, word for word."""
    document = store.document_at(store.paragraph_at(store.sentence_at(start)))
    first, last = store.document_span(document)
    outside = store.ids[first:start].tolist() + store.ids[stop:last].tolist()
    return [int(token in outside) for token in store.ids[start:stop].tolist()]


def test_token_document_agrees_with_the_definition_on_real_text(real_store):
    corpus, task = Corpus([real_store], max_length=64), tasks.load("token_document")
    for example in many(task, corpus, 40):
        (start, stop), = example.segments
        assert task.labels(flat(corpus, [example])).tolist() == literal_token_document(real_store, start, stop)


def test_token_document_leaves_half_of_the_document_outside(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b", "c d", "e f", "g h"), doc("x y z w")])
    corpus, task = Corpus([store]), tasks.load("token_document")
    found = {example.segments for example in many(task, corpus, 200)}
    assert found == {((0, 4),), ((4, 8),), ((8, 10),), ((10, 12),)}  # a document of one sentence is cut inside it


# -- knowledge masking -----------------------------------------------------------------------------------------


def corrupt(corpus, example, seed=0, **options):
    task = tasks.load("knowledge_masking", options)
    tokens = flat(corpus, example if isinstance(example, list) else [example], seed)
    return tokens, *task.corrupt(tokens, corpus.specials)


def test_units_of_a_sentence(tmp_path):
    store = build_store(tmp_path / "s", [doc("she walk ##ed <a long way> to {New York ##er} .")])
    corpus = Corpus([store])
    tokens = flat(corpus, [Example(0, ((0, 11),))])
    assert tasks.load("knowledge_masking").unit_starts(tokens).tolist() == [0, 1, 2, 3, 3, 3, 6, 7, 7, 7, 10]
    whole = tasks.load("knowledge_masking", {"whole_words": True})
    assert whole.unit_starts(tokens).tolist() == [0, 1, 1, 3, 3, 3, 6, 7, 7, 7, 10]
    cut = flat(corpus, [Example(0, ((4, 9),)), Example(0, ((9, 11),))])  # a unit ends where its segment ends
    assert whole.unit_starts(cut).tolist() == [0, 0, 2, 3, 3, 5, 6]


def test_without_units_every_piece_is_chosen_for_itself(tmp_path):
    """As BERT masks: no granularity but the piece."""
    store = build_store(tmp_path / "s", [doc("The ca ##t saw {New York} .")])
    tokens = flat(Corpus([store]), [Example(0, ((0, 7),))])
    assert tasks.load("knowledge_masking").unit_starts(tokens).tolist() == [0, 1, 2, 3, 4, 4, 6]
    assert tasks.load("knowledge_masking", {"units": False}).unit_starts(tokens).tolist() == list(range(7))


def test_each_granularity_has_its_own_probability(tmp_path):
    store = build_store(tmp_path / "s", [doc("she walk ##ed <a long way> to {New York} .")])
    corpus, example = Corpus([store]), Example(0, ((0, 10),))
    for options, expected in (({"basic": 0, "phrase": 1, "entity": 0}, [3, 4, 5]),
                              ({"basic": 0, "phrase": 0, "entity": 1}, [7, 8]),
                              ({"basic": 1, "phrase": 0, "entity": 0}, [0, 1, 2, 6, 9])):
        tokens, _, labels, groups = corrupt(corpus, example, **options)
        assert np.flatnonzero(labels != IGNORE).tolist() == expected
        assert labels[expected].tolist() == tokens.ids[expected].tolist()
        assert groups.tolist() == [0, 0, 0, 1, 1, 1, 0, 2, 2, 0]
    _, read, labels, _ = corrupt(corpus, example, basic=0, phrase=0, entity=0)
    assert (labels == IGNORE).all() and read.tolist() == tokens.ids.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_unit_is_masked_whole_on_real_text(real_store, seed, whole_words):
    corpus = Corpus([real_store], max_length=128)
    examples = many(tasks.load("knowledge_masking"), corpus, 8, seed)
    tokens, read, labels, groups = corrupt(corpus, examples, seed, whole_words=whole_words)
    starts = (tokens.flags & UNIT_START > 0) | (tokens.offset == 0)
    unit = np.cumsum(starts)
    chosen = labels != IGNORE
    for kind in (0, 1, 2) if whole_words else (1, 2):
        mine = groups == kind
        hit, size = np.bincount(unit[mine], chosen[mine]), np.bincount(unit[mine])
        assert set((hit[size > 0] / size[size > 0]).tolist()) <= {0.0, 1.0}
    assert (read[~chosen] == tokens.ids[~chosen]).all()
    assert (labels[chosen] == tokens.ids[chosen]).all()


def test_rates_match_their_settings_on_real_text(real_store):
    corpus = Corpus([real_store], max_length=512)
    examples = many(tasks.load("knowledge_masking"), corpus, corpus.tokens // 512)
    rates = {"basic": 0.15, "phrase": 0.3, "entity": 0.5}
    tokens, read, labels, groups = corrupt(corpus, examples, **rates)
    chosen, kinds = labels != IGNORE, (tokens.flags & KIND) >> KIND_SHIFT
    starts_of_units = tasks.load("knowledge_masking").unit_starts(tokens)
    first = starts_of_units == np.arange(len(starts_of_units))
    for kind, rate in enumerate(rates.values()):
        units = first & (kinds == kind)
        error = 4 * np.sqrt(rate * (1 - rate) / units.sum())
        assert abs(chosen[units].mean() - rate) < error, (kind, units.sum())
    masked, kept = read[chosen] == corpus.specials.mask_id, read[chosen] == tokens.ids[chosen]
    error = 4 * np.sqrt(0.25 / chosen.sum())
    assert abs(masked.mean() - 0.8) < error and abs(kept.mean() - 0.1) < error
    other = read[chosen][~masked & ~kept]
    assert np.isin(other, corpus.specials.regular_ids).all()
    assert len(set(other.tolist())) > 0.5 * min(len(other), 4000)  # spread over the vocabulary


def test_masks_change_from_window_to_window_only(real_store):
    corpus = Corpus([real_store], max_length=64)
    example, = many(tasks.load("knowledge_masking"), corpus, 1)
    assert (corrupt(corpus, example, 1)[2] == corrupt(corpus, example, 1)[2]).all()
    assert not (corrupt(corpus, example, 1)[2] == corrupt(corpus, example, 2)[2]).all()


def test_no_probability():
    with pytest.raises(InputError, match="phrase 15 is no probability"):
        tasks.load("knowledge_masking", {"phrase": 15})
