"""Tagged sentences in their two forms, and label sets."""
import json

import pytest

from reader.finetune.labels import tag_classes
from reader.finetune.splits import SplitReader
from reader.finetune.tagged import Tagged, label_map, observed_classes
from reader.utils.errors import InputError

CLASSES = tag_classes(["B-PER", "I-PER", "O"])


def write(tmp_path, text, name="train.txt"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_both_forms_give_the_same_sentences(tmp_path):
    baidu = write(tmp_path, "text_a\tlabel\n王\x02明\x02来\tB-PER\x02I-PER\x02O\n好\tO\n", "a.tsv")
    lines = write(tmp_path, "王 B-PER\n明 I-PER\n来 O\n\n\n好 O\n")
    tabs = write(tmp_path, "王\tB-PER\n明\tI-PER\n来\tO\n\n好\tO", "tabs.txt")
    for path in baidu, lines, tabs:
        assert [(row.words, row.labels) for row in Tagged(path, CLASSES)] == [
            (["王", "明", "来"], [0, 1, 2]), (["好"], [2])]


def test_columns_between_and_spaces_as_units(tmp_path):
    path = write(tmp_path, "-DOCSTART- -X- O O\n\nJohn NNP I-NP B-PER\n  O\nruns VB I-VP O\n")
    assert [row.words for row in Tagged(path, CLASSES)] == [["John", " ", "runs"]]


@pytest.mark.parametrize(("text", "message"), [
    ("text_a\tlabel\n王\x02明\tO\n", "line 2: 2 words but 1 labels"),
    ("王 B-PER\n明\n", "line 2: expected `word label`, found '明'"),
    ("王 B-LOC\n", "line 1: label 'B-LOC' is not one of B-PER, I-PER, O"),
    ("王 O\n\n明 O\n来 B-LOC\n", "line 4: label 'B-LOC' is not one of B-PER, I-PER, O"),
    ("", "is empty"),
    ("text_a\n王\n", "columns found: text_a; expected text_a, label"),
])
def test_faults_name_file_and_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        list(Tagged(write(tmp_path, text), CLASSES))


def test_text_without_labels(tmp_path):
    plain = write(tmp_path, "text_a\n王明来\n", "a.tsv")
    lines = write(tmp_path, "王\n明\n来\n\n好\n")
    assert [(row.words, row.labels) for row in Tagged(plain, CLASSES, labelled=False)] == [(["王", "明", "来"], None)]
    assert [row.words for row in Tagged(lines, CLASSES, labelled=False)] == [["王", "明", "来"], ["好"]]


def test_label_sets_come_from_the_data(tmp_path):
    path = write(tmp_path, "王 B-PER\n明 E-PER\n来 O\n京 S-LOC\n")
    assert observed_classes(path).names == ("B-PER", "E-PER", "S-LOC", "O")
    assert SplitReader("tagged", files={"train": "train.txt"}).labels(tmp_path).names[-1] == "O"
    (tmp_path / "label_map.json").write_text(json.dumps({"O": 1, "B-PER": 0}))
    assert SplitReader("tagged").labels(tmp_path).names == ("B-PER", "O")
    (tmp_path / "label_map.json").write_text(json.dumps({"O": 2, "B-PER": 0}))
    with pytest.raises(InputError, match="do not run from 0 without gaps"):
        label_map(tmp_path / "label_map.json")
    with pytest.raises(InputError, match="label 'PER' is neither O nor of the form"):
        observed_classes(write(tmp_path, "王 PER\n"))


def test_published_layouts(data):
    for name in ("msra_ner__msra_ner_1.0.0/msra_train_bio.txt",
                 "peoples_daily_ner__peoples_daily_ner_1.0.0/example.train"):
        path = data(f"layouts/{name}")
        assert list(Tagged(path, observed_classes(path)))


def test_a_unit_without_its_label_costs_the_sentence_not_the_unit(tmp_path):
    source = Tagged(write(tmp_path, "王 B-PER\n明\n来 O\n\n好 O\n"), CLASSES, labelled=False, strict=False)
    assert [row.words for row in source] == [["好"]]
    assert "1 left out: a word without a label (first at line 2)" in str(source.account)
    with pytest.raises(InputError, match="line 1: expected `word label`, found '王'"):
        list(Tagged(write(tmp_path, "王\n明 O\n"), CLASSES, labelled=False))


def test_columns_of_the_table_in_any_order(tmp_path):
    (row,) = Tagged(write(tmp_path, "label\ttext_a\nO\x02B-PER\t来\x02王\n"), CLASSES)
    assert (row.words, row.labels) == (["来", "王"], [2, 0])


def test_the_label_map_beside_a_training_file_further_down(tmp_path):
    (tmp_path / "msra").mkdir()
    write(tmp_path / "msra", "王 B-PER\n", "train.tsv")
    (tmp_path / "msra" / "label_map.json").write_text('{"O": 0, "B-PER": 1, "I-PER": 2}')
    assert SplitReader("tagged").labels(tmp_path).names == ("O", "B-PER", "I-PER")


def test_units_without_labels_are_pointed_out(tmp_path):
    source = Tagged(write(tmp_path, "王\n明\n\n来\n"), CLASSES, labelled=False)
    assert [(row.words, row.labels) for row in source] == [(["王", "明"], None), (["来"], None)]
    assert "2 with words but no labels, a word a line" in str(source.account)


def test_a_label_map_with_a_label_that_is_no_chunk(tmp_path):
    path = write(tmp_path, '{"PER": 0}', "label_map.json")
    with pytest.raises(InputError, match="label_map.json: label 'PER' is neither O nor of the form"):
        label_map(path)


def test_labels_that_share_a_number_are_spellings_of_one_class(tmp_path):
    path = write(tmp_path, '{"contradictory": 0, "contradiction": 0, "neutral": 1, "entailment": 2}', "label_map.json")
    classes = label_map(path, tags=False)
    assert classes.names == ("contradictory", "neutral", "entailment")
    assert classes.read("contradiction") == 0
    assert classes.aliases == {"contradiction": "contradictory"}


def test_a_label_that_is_no_chunk_is_named_with_its_line(tmp_path):
    with pytest.raises(InputError, match="train.txt line 4: label 'PER' is neither O"):
        observed_classes(write(tmp_path, "王 B-PER\n明 I-PER\n\n来 PER\n"))


def test_letters_behind_the_type(tmp_path):
    path = write(tmp_path, "王 PER-B\n明 PER-I\n来 O\n")
    assert observed_classes(path).names == ("PER-B", "PER-I", "O")


def test_a_digit_behind_the_character_is_cut_off(tmp_path):
    """Weibo NER writes a character's place in its word behind it."""
    path = write(tmp_path, "科0\tO\n技1\tO\n全0\tO\n方1\tO\n\n男0\tB-PER.NOM\n女0\tB-PER.NOM\n")
    source = Tagged(path, observed_classes(path))
    assert [row.words for row in source] == [["科", "技", "全", "方"], ["男", "女"]]
    assert "2 with words with a digit behind the character, which is cut off" in str(source.account)
    plain = Tagged(write(tmp_path, "王 O\n1 O\n02 O\nB2 O\nC3 O\n"), None)
    assert not plain.numbered


def test_a_file_to_be_answered_is_asked_for_no_labels(tmp_path):
    with pytest.raises(InputError, match="columns found: words, label; expected text_a; labels are not needed$"):
        Tagged(write(tmp_path, "words\tlabel\n王\tO\n"), CLASSES, labelled=False)
    short = Tagged(write(tmp_path, "text_a\tlabel\n王\x02明\n"), CLASSES, labelled=False)
    assert [(row.words, row.labels) for row in short] == [(["王", "明"], None)]
