"""Notes on a corpus before training: what does not serve, what degenerates; nothing where all is well."""
import tasks
from reader.batches.corpus import Corpus
from tasks.survey import survey
from tests.builders import build_store, doc, random_documents


def notes(store, name: str, max_length: int = 64) -> list[str]:
    task, corpus = tasks.load(name), Corpus([store], max_length=max_length)
    task.bind(corpus)
    return survey(task, corpus)


def test_nothing_is_said_of_a_good_corpus(tmp_path):
    good = build_store(tmp_path / "good", random_documents(100, words=400))
    for name in ("knowledge_masking", "capitalization", "sentence_distance", "next_sentence"):
        assert notes(good, name, 128) == []


def test_token_document_degenerates_on_whole_books(tmp_path):
    book = build_store(tmp_path / "book", random_documents(1, words=40)[:1] + [[[" ".join(f"w{k}" for k in range(40))]
                                                                                * 100]])
    note, = notes(book, "token_document")
    assert note.startswith(f"token_document on {book.path}: ") and "% of its labels are 'elsewhere too'" in note


def test_capitals_do_not_exist_in_lower_case(tmp_path):
    note, = notes(build_store(tmp_path / "s", [doc("a b c", "d e f")] * 5), "capitalization")
    assert "100.0 % of its labels are 'lower', so there is little to learn (a document has 6 tokens" in note


def test_text_that_has_too_few_sentences(tmp_path):
    store = build_store(tmp_path / "s", [doc("a b c d", "e f g h"), doc("a b c d")])
    note, = notes(store, "sentence_reordering")
    assert "100 % of the text has fewer than 4 sentences that fit in 64 tokens" in note
    assert "; 33 % has one, and no label" in note
    assert "100 % of the text does not serve and is passed over" in notes(store, "sentence_distance")[0]


def test_each_store_is_looked_at_by_itself(tmp_path):
    good = build_store(tmp_path / "good", [doc("a", "b", "c", "d", "e")] * 20)
    lower = build_store(tmp_path / "lower", [doc("a", "b")] * 20, good.vocab_file.read_text().split())
    found = survey(tasks.load("sentence_reordering"), Corpus([good, lower], max_length=64))
    assert len(found) == 1 and str(lower.path) in found[0]
