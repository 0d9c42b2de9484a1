"""Features, targets and answers of every kind of fine-tuning task, by hand and on real text."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.finetune.labels import Classes, ClassSets, Score, tag_classes
from reader.finetune.questions import Questions
from reader.finetune.rows import ChoiceRow, QuestionRow, TagRow, TextRow
from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from reader.utils.errors import InputError
from reader.utils.labels import IGNORE
from tasks import finetune
from tasks.finetune import submission
from tasks.finetune.features import Features, truncated_pair
from tasks.finetune.reading_comprehension import answer_tokens, most_context
from tasks.finetune.sequence_labelling import Tags

VOCAB = [*SPECIAL_TOKENS, *"abcdefgh", "##b", "##c", *"光荣公司和的天地人"]
PAD, UNK, CLS, SEP, MASK = range(5)
TOKENIZER = Tokenizer(VOCAB)


def ids(text):
    return [VOCAB.index(token) for token in text.split()]


def text_row(*texts, label=None):
    return TextRow(texts, label, "0", "", 1)


def popped(a, b, limit):
    """What popping one by one from the longer side leaves, the second when both are equal."""
    while a + b > limit:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    return a, b


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
def test_truncation_pops_from_the_longer_side(a, b, limit):
    assert truncated_pair(a, b, limit) == popped(a, b, limit)


def test_texts_by_hand():
    kind = finetune.load("classification", Classes(["x", "y"]))
    features = kind.features([text_row("a b c", "d", label=1), text_row("", "e f")], TOKENIZER, 7)
    batch = features.batch(np.array([0, 1]), task=kind.name, task_id=3, pad_id=PAD)
    assert batch.token_ids.tolist() == [ids("[CLS] a b c [SEP] d [SEP]"), ids("[CLS] [SEP] e f [SEP] [PAD] [PAD]")]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0, 0]]
    assert batch.position_ids.tolist() == [list(range(7))] * 2
    assert (batch.lengths.tolist(), batch.task_id) == ([7, 5], 3)
    targets = kind.targets(features, np.array([0, 1]), 7)  # the second row has no label
    assert (targets.positions.tolist(), targets.labels.tolist()) == ([0], [1])
    (only,) = kind.features([text_row("a b c d e f")], TOKENIZER, 5).batch(np.array([0]), task="", task_id=0,
                                                                         pad_id=PAD).token_ids.tolist()
    assert only == ids("[CLS] a b c [SEP]")


def test_answers_about_texts():
    kind = finetune.load("classification", Classes(["x", "y"]))
    rows = [text_row("a", label=0), text_row("b", label=1)]
    found = kind.decode(rows, None, [np.array([2.0, 0.0]), np.array([1.0, 0.0])])
    assert [choice.label for choice in found] == [0, 0]
    assert kind.score(rows, found)["accuracy"] == 0.5
    assert kind.cells(rows[0], found[0]) == ["x", "0.880797", "0.119203"]
    scores = finetune.load("regression", Score())
    assert scores.decode(rows, None, [np.array([2.5]), np.array([0.5])]) == [2.5, 0.5]
    assert scores.features([text_row("a", label=3.8)], TOKENIZER, 8).labels.tolist() == [np.float32(3.8)]


def test_tags_by_hand():
    kind = finetune.load("sequence_labelling", tag_classes(["B-P", "I-P", "O"]))
    row = TagRow(["abc", " ", "光", "z"], [0, 1, 2, 2], 1)  # three pieces, nothing, one, unknown
    features = kind.features([row], TOKENIZER, 16)
    assert features.ids.tolist() == [CLS, *ids("a ##b ##c"), UNK, *ids("光"), UNK, SEP]
    targets = kind.targets(features, np.array([0]), 8)
    assert dict(zip(targets.positions.tolist(), targets.labels.tolist())) == {1: 0, 4: 1, 5: 2, 6: 2}
    scores = np.zeros((8, 3))
    scores[[1, 4, 5, 6], [0, 1, 2, 0]] = 1
    assert [found.labels for found in kind.decode([row], features, [scores])] == [[0, 1, 2, 0]]
    assert kind.cells(row, Tags([0, 1, 2, 0], [1.0] * 4)) == ["abc\x02 \x02光\x02z", "B-P\x02I-P\x02O\x02B-P"]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "abc", "光", " ", "天"]), max_size=20), min_size=1, max_size=4),
       st.integers(6, 12))
def test_every_unit_gets_its_label_however_long_the_sentence(sentences, max_length):
    kind = finetune.load("sequence_labelling", tag_classes(["B-P", "I-P", "O"]))
    rows = [TagRow(words, [at % 3 for at in range(len(words))], 1) for words in sentences]
    features = kind.features(rows, TOKENIZER, max_length)
    assert features.lengths.max() <= max_length
    outputs = []
    for window in range(len(features)):
        labels = features.values(window, "label")
        outputs.append(np.eye(3)[np.where(labels == IGNORE, 0, labels)])
    assert [found.labels for found in kind.decode(rows, features, outputs)] == [row.labels for row in rows]


def test_other_chunk_prefixes():
    kind = finetune.load("sequence_labelling", tag_classes(["B-P", "M-P", "L-P", "U-P", "O"]))
    assert kind.chunks([0, 1, 2, 3, 4]) == ["B-P", "I-P", "E-P", "S-P", "O"]


def question(context, answer, start, text="a"):
    return QuestionRow("q", text, context, context, [answer], [start])


def test_windows_and_labels_by_hand():
    kind = finetune.load("reading_comprehension", None, doc_stride=2, max_query_length=1)
    features = kind.features([question("天地人光荣", "人光", 2, "a b")], TOKENIZER, 7)  # room for 3 pieces a window
    assert [features.ids[a:b].tolist() for a, b in zip(features.offsets, features.offsets[1:])] == [
        ids(f"[CLS] a [SEP] {window} [SEP]") for window in ("天 地 人", "人 光 荣")]
    assert features.labels.tolist() == [[0, 0], [3, 4]]  # the first window lacks 光
    assert features.values(1, "start").tolist() == [-1, -1, -1, 2, 3, 4, -1]
    with pytest.raises(InputError, match="leaves no room"):
        kind.features([question("天", "天", 0)], TOKENIZER, 4)


def test_the_first_answer_that_the_passage_holds_is_learnt():
    kind = finetune.load("reading_comprehension", None)
    row = QuestionRow("q", "a", "天地人光荣", "天地人光荣", ["坏", "人光"], [-1, 2])
    assert kind.features([row], TOKENIZER, 16).labels.tolist() == [[5, 6]]


def test_most_context_gives_every_piece_to_one_window():
    first, second = most_context([(0, 4), (2, 6)])
    assert (first.tolist(), second.tolist()) == ([1, 1, 1, 0], [0, 1, 1, 1])


def test_answers_are_cut_from_the_original_text():
    kind = finetune.load("reading_comprehension", None, max_answer_length=2, n_best=3)
    row = QuestionRow("q", "a", "光荣公司", "光榮公司", ["光榮"], [0])
    features = kind.features([row], TOKENIZER, 16)
    scores = np.zeros((len(features.ids), 2))
    scores[4, 0], scores[6, 1], scores[5, 1] = 5, 9, 4  # 荣公司 is too long for an answer of two pieces
    (answer,) = kind.decode([row], features, [scores])
    assert (answer.text, answer.start, answer.stop) == ("榮公", 1, 3)
    assert len(answer.best) == 3
    assert sum(one.probability for one in answer.best) == pytest.approx(1)
    (blank,) = kind.decode([question("", "x", -1)], kind.features([question("", "x", -1)], TOKENIZER, 16),
                           [np.zeros((4, 2))])
    assert blank.text == ""


def test_equal_spans_in_the_order_of_the_release():
    """The release sorts starts and ends by score, the earlier of equals first, pairs them start by start, part by part,
    and sorts the pairs by their sum without changing the order of equals.
    """
    kind = finetune.load("reading_comprehension", None, doc_stride=2, max_query_length=1, n_best=4)
    row = question("a b c d e", "a", 0)

    def answer(*given, max_length=16):
        """given: (part, place in the passage, score as first piece, as last piece)."""
        features = kind.features([row], TOKENIZER, max_length)
        scores = [np.full((int(length), 2), -9.0) for length in features.lengths]
        for part, place, first, last in given:
            scores[part][3 + place] = first, last
        return kind.decode([row], features, scores)[0]

    # b to c and d to e sum to 4; d is the better start, so d to e comes first, though it is later in the text
    assert answer((0, 1, 2, -9), (0, 2, -9, 2), (0, 3, 3, -9), (0, 4, -9, 1)).text == "d e"
    # equal starts: the earlier one; equal ends: the earlier one
    assert answer((0, 1, 2, 2), (0, 3, 2, 2)).text == "b"
    assert [one.text for one in answer((0, 1, 2, 2), (0, 3, 2, 2)).best[:3]] == ["b", "b c d", "d"]
    # two parts (a b c and c d e) with the same sum: the first part
    assert len(kind.features([row], TOKENIZER, 7)) == 2
    assert answer((0, 0, 1, 3), (1, 1, 3, 1), max_length=7).text == "a"
    assert answer((0, 0, 1, 3), (1, 1, 3, 1.5), max_length=7).text == "d"


def decoded_truth(rows, tokenizer, max_length, **options):
    """What the reader answers when the scores say exactly what the labels say."""
    kind = finetune.load("reading_comprehension", None, **options)
    features = kind.features(rows, tokenizer, max_length)
    outputs = []
    for window, (first, last) in enumerate(features.labels):
        scores = np.zeros((features.lengths[window], 2))
        if first > 0:
            scores[first, 0] = scores[last, 1] = 10
        outputs.append(scores)
    return kind, kind.decode(rows, features, outputs)


def test_real_answers_come_back_exactly(text):
    rows = list(Questions(text("questions.json")))[:600]
    tokenizer = Tokenizer.load(text("vocab_zh.txt"))
    kind, answers = decoded_truth(rows, tokenizer, 384, doc_stride=128)
    assert kind.score(rows, answers)["f1"] > 0.98  # a few answers begin inside a number
    assert all(row.original[a.start:a.stop] == a.text for row, a in zip(rows, answers))


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="abc光荣 é\u0301İ\U0001f600，.\u200d", min_size=1, max_size=60), st.data())
def test_spans_map_back_in_any_unicode(context, data):
    offsets = TOKENIZER.encode(context).offsets
    if not len(offsets):
        return
    first = data.draw(st.integers(0, len(offsets) - 1))
    last = data.draw(st.integers(first, min(len(offsets) - 1, first + 5)))
    start, stop = int(offsets[first, 0]), int(offsets[last, 1])
    if start >= stop:
        return
    row = question(context, context[start:stop], start)
    found = answer_tokens(offsets, row)
    assert found is not None
    assert context[offsets[found[0], 0]:offsets[found[1], 1]] == context[start:stop]


def test_a_cell_holds_no_tab():
    kind = finetune.load("reading_comprehension", None)
    answer = kind.decode([question("a", "a", 0)], kind.features([question("a", "a", 0)], TOKENIZER, 9),
                         [np.eye(5)[:, :2]])[0]._replace(text="a\tb\nc")
    assert kind.cells(question("a", "a", 0)._replace(id="x\ty"), answer)[:2] == ["x y", "a b c"]


def test_an_answer_keeps_the_marks_on_its_last_character():
    context = "a be\u0301 c"  # the tokenizer drops the accent
    (row,) = rows = [question(context, "be\u0301", 2)]
    _, (answer,) = decoded_truth(rows, Tokenizer([*SPECIAL_TOKENS, "a", "be", "c"]), 16)
    assert (answer.text, answer.start, answer.stop) == (row.answers[0], 2, 5)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6), min_size=1, max_size=12),
       st.data())
def test_whole_words_come_back_exactly_in_any_script(words, data):
    words = [word for word in words if len(TOKENIZER.encode(word).offsets)]
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(words) - 1)))
    context, start = " ".join(words), len("".join(word + " " for word in words[:first]))
    answer = " ".join(words[first:last + 1])
    _, (found,) = decoded_truth([question(context, answer, start)], TOKENIZER, 64, doc_stride=16)
    assert context[found.start:found.stop] == found.text
    held = TOKENIZER.encode(answer).offsets  # what the tokenizer drops at either end belongs to no piece
    assert answer[held[0, 0]:held[-1, 1]] in found.text


def test_joined_features_count_rows_on():
    kind = finetune.load("sequence_labelling", tag_classes(["B-P", "O"]))
    parts = [kind.features([TagRow(list("abcd"), [0] * 4, 1), TagRow(["a"], [1], 2)], TOKENIZER, 4) for _ in range(2)]
    joined = Features.join(parts)
    assert joined.row.tolist() == [0, 0, 1, 2, 2, 3]
    assert joined.ids.tolist() == parts[0].ids.tolist() * 2
    assert joined.offsets.tolist() == [0, 4, 8, 11, 15, 19, 22]


def test_submission_files(tmp_path):
    rows = [TextRow(("a",), None, "0", "", 1), TextRow(("b",), None, "1", "", 2)]
    submission.write(tmp_path / "STS-B.tsv", finetune.load("regression", Score()), rows, [5.4, 2.34567])
    assert (tmp_path / "STS-B.tsv").read_text() == "index\tprediction\n0\t5.000\n1\t2.346\n"
    kind = finetune.load("classification", Classes(["not_entailment", "entailment"]))
    submission.write(tmp_path / "RTE.tsv", kind, rows, kind.decode(rows, None, [np.array([0, 1]), np.array([1, 0])]))
    assert (tmp_path / "RTE.tsv").read_text() == "index\tprediction\n0\tentailment\n1\tnot_entailment\n"
    lacking = submission.pack([tmp_path / "RTE.tsv", tmp_path / "STS-B.tsv"], tmp_path / "all.zip")
    assert len(lacking) == 9
    assert "RTE" not in lacking


def test_unknown_kind():
    with pytest.raises(InputError, match="kind 'clasification' is not one of"):
        finetune.load("clasification", None)


def test_letters_behind_the_type_are_chunks_as_well():
    kind = finetune.load("sequence_labelling", tag_classes(["PER-B", "PER-I", "O"]))
    assert kind.chunks([0, 1, 2]) == ["B-PER", "I-PER", "O"]
    rows = [TagRow(["a", "b", "c"], [0, 1, 2], 1)]
    assert kind.score(rows, [Tags([0, 1, 2], [1.0] * 3)])["entity_f1"] == 1.0


def test_a_score_of_minus_100_is_a_label():
    kind = finetune.load("regression", Score())
    features = kind.features([text_row("a", label=-100.0), text_row("b"), text_row("c", label=2.0)], TOKENIZER, 8)
    targets = kind.targets(features, np.array([0, 1, 2]), 8)
    assert (targets.positions.tolist(), targets.labels.tolist()) == ([0, 2], [-100.0, 2.0])


def test_several_classes_for_a_text():
    kind = finetune.load("multi_label", ClassSets(["x", "y", "z"], separator="|"))
    rows = [text_row("a", label=(0, 2)), text_row("b", label=()), text_row("c")]
    features = kind.features(rows, TOKENIZER, 8)
    targets = kind.targets(features, np.array([0, 1, 2]), 8)
    assert targets.positions.tolist() == [0, 1]
    assert targets.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    found = kind.decode(rows, features, [np.array([2.0, -1.0, 0.0]), np.array([-1.0, 3.0, -1.0]), np.zeros(3) - 1])
    assert [answer.labels for answer in found] == [(0, 2), (1,), ()]
    scores = kind.score(rows[:2], found[:2])
    assert (scores["exact"], round(scores["micro_f1"], 3)) == (0.5, 0.8)  # two hits, one false alarm
    assert kind.cells(rows[0], found[0])[0] == "x|z"


def choice_row(text, *options, label=None):
    return ChoiceRow((text,), options, label, "0", 1)


def test_multiple_choice_by_hand():
    kind = finetune.load("multiple_choice", Classes(["A", "B", "C"]))
    rows = [choice_row("a b", "c", "d", "e", label=2), choice_row("b", "c", "d"), choice_row("c", "a", "b", label=0)]
    features = kind.features(rows, TOKENIZER, 16)
    assert features.row.tolist() == [0, 0, 0, 1, 1, 2, 2]
    chosen = np.array([5, 6, 3, 4, 0, 1, 2])  # whole rows, in another order
    batch = features.batch(chosen, task=kind.name, task_id=0, pad_id=PAD)
    assert batch.token_ids[0].tolist() == ids("[CLS] c [SEP] a [SEP] [PAD]")
    targets = kind.targets(features, chosen, 6)  # rows of the file's order; row 1 has no label
    assert targets.positions.tolist() == [[4, 5, 6], [0, 1, -1]]
    assert targets.labels.tolist() == [2, 0]
    found = kind.decode(rows, features, [np.array([n]) for n in (0, 1, 5, 2, 1, 0, 3)])
    assert [answer.label for answer in found] == [2, 0, 1]
    assert kind.score([rows[0], rows[2]], [found[0], found[2]]) == {"accuracy": 0.5}
    assert kind.cells(rows[0], found[0])[:2] == ["C", "e"]


def test_a_question_without_an_answer():
    kind = finetune.load("reading_comprehension", None, no_answer=True)
    held, none = question("a b", "b", 2), QuestionRow("q", "d", "a b", "a b", [], [], True)
    features = kind.features([held, none], TOKENIZER, 16)  # [CLS] question [SEP] a b [SEP]
    assert features.labels[1].tolist() == [0, 0]
    length = int(features.lengths[1])
    low, high = np.zeros((length, 2)), np.zeros((length, 2))
    low[0], high[-2] = 3, 3  # [CLS] wins; the last piece wins
    answers = kind.decode([held, none], features, [high, low])
    assert [answer.text for answer in answers] == ["b", ""]
    scores = kind.score([held, none], answers)
    assert scores == {"em": 1.0, "f1": 1.0, "squad_em": 1.0, "squad_f1": 1.0}
    assert kind.score([held, none], answers[::-1])["squad_em"] == 0.0
    low[0], high[0] = 3, 3  # the passage and [CLS] score the same: an answer, as in SQuAD 2's published reader
    assert kind.decode([held], features, [high])[0].text == "b"
    strict = finetune.load("reading_comprehension", None, no_answer=True, null_threshold=10)
    assert strict.decode([held], strict.features([held], TOKENIZER, 16), [high])[0].text == ""
