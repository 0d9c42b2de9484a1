"""Chunks lose nothing, and their tokens are those of the whole text."""
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reader.store.pipeline import to_tokens
from reader.text.chunks import chunk_pattern
from reader.text.flags import CAPITAL, UNIT_START, WORD_START
from tests.reader.text.test_tokenizer import HARD
from tests.reader.texts import TOKENIZER, Plain, block_of

ODD = st.sampled_from(
    "aB.,'é中\u0301\u200d\u00ad\0\x0b\x1c\x85\u00a0\u2028\u3000\ufeffß≠Ὧ`῭かＡ１👍٠⹁\U0002b830\U0002f800 \t ")
TEXTS = st.text(st.one_of(ODD, st.characters(exclude_categories=("Cs",))), max_size=60)


@given(TEXTS)
def test_chunks_are_the_text(text):
    assert "".join(chunk_pattern().findall(text)) == text


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS.map(lambda text: text.replace("\n", "")), min_size=1, max_size=3))
@example(HARD[:4])
@example([text.replace("\n", "") for text in HARD])
def test_tokens_of_chunks_are_those_of_the_text(paragraphs):
    block, chunk_cache = block_of([paragraphs])
    ids, flags, counts = chunk_cache.pieces_of(block.ids)
    expected = TOKENIZER.backend.encode_batch(paragraphs, add_special_tokens=False)
    assert ids.tolist() == [number for encoding in expected for number in encoding.ids]
    per_paragraph = np.diff(np.r_[0, np.cumsum(counts)][block.paragraphs])
    assert per_paragraph.tolist() == [len(encoding.ids) for encoding in expected]
    starts = [k == 0 or owner != encoding.word_ids[k - 1] for encoding in expected
              for k, owner in enumerate(encoding.word_ids)]
    assert (flags & WORD_START > 0).tolist() == starts


def test_block_knows_places_and_spaces():
    block, _ = block_of([["The cat", "sat  down."], [], ["\0", "“Run!”"]])
    assert [block.chunk(k) for k in range(len(block))] == ["The", "cat", "sat", "down", ".", "“", "Run", "!", "”"]
    assert block.spaced.tolist() == [True, True, True, False, True, False, False, False, True]
    assert block.paragraphs.tolist() == [0, 2, 5, 5, 9] and block.documents.tolist() == [0, 2, 2, 4]


def test_empty_paragraphs_and_documents_leave_no_trace():
    block, chunk_cache = block_of([["the", "\0"], ["\u200b"], ["cat sat", "the"]])
    tokens = to_tokens(block, Plain().annotate(block), chunk_cache)
    assert tokens.documents.tolist() == [1, 2] and tokens.paragraphs.tolist() == [1, 1, 1]
    assert tokens.sentences.tolist() == [1, 2, 1] and len(tokens.ids) == 4


def test_every_piece_of_a_word_carries_its_label():
    block, chunk_cache = block_of([["Unwanted RUNNING running 3rD \u00adCat"]])
    tokens = to_tokens(block, Plain().annotate(block), chunk_cache)
    words = np.cumsum(tokens.flags & WORD_START > 0)
    capital = [set((tokens.flags[words == word] & CAPITAL > 0).tolist()) for word in range(1, words[-1] + 1)]
    assert capital == [{True}, {True}, {False}, {False}, {True}]
    assert ((tokens.flags & UNIT_START > 0) == (tokens.flags & WORD_START > 0)).all()


def test_a_forgetful_lexicon_gives_the_same():
    block, chunk_cache = block_of([["the cat sat unwanted"]])
    before = chunk_cache.pieces_of(block.ids)
    chunk_cache.limit = 1
    chunk_cache.trim()
    assert len(chunk_cache) == 1
    again = chunk_cache.pieces_of(chunk_cache.ids_of(["the ", "cat ", "sat ", "unwanted"]))
    assert all((a == b).all() for a, b in zip(before, again))
