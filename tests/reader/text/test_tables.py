"""Parquet files and the folders of Hugging Face data sets."""
import pytest

from reader.text.documents import ReadOptions, Rejected, Span, find_inputs, read_documents
from reader.utils.errors import InputError

ROWS = [{"id": k, "text": f"one {k}\ntwo", "title": f"T{k}", "extra": [1, 2]} for k in range(1000)]


def read(path, **options):
    rejected = Rejected()
    return list(read_documents(Span(str(path)), ReadOptions(**options), rejected)), rejected


@pytest.fixture
def arrow(peer):
    return peer("pyarrow")


@pytest.mark.parametrize("form", ["parquet", "stream", "file"])
def test_rows_are_documents(tmp_path, arrow, form):
    from pyarrow import ipc, parquet
    table = arrow.Table.from_pylist(ROWS)
    path = tmp_path / ("a.parquet" if form == "parquet" else "data-00000-of-00001.arrow")
    if form == "parquet":
        parquet.write_table(table, path, row_group_size=300)
    else:
        with {"stream": ipc.new_stream, "file": ipc.new_file}[form](str(path), table.schema) as writer:
            writer.write_table(table)
    assert find_inputs(tmp_path) == [path]
    found, rejected = read(path)
    assert len(found) == 1000 and found[7].paragraphs == ["T7", "one 7", "two"] and not rejected.total
    assert read(path, text_field="title", title_field="none")[0][7].paragraphs == ["T7"]
    with pytest.raises(InputError, match="no column 'body' among id, text, title, extra: name one with --text-field"):
        read(path, text_field="body")
    path.write_bytes(path.read_bytes()[:-2000])
    found, rejected = read(path)
    assert list(rejected.reasons) == ["file cannot be read to its end"] and len(found) < 1000


def test_dialogues_and_empty_rows(tmp_path, arrow):
    from pyarrow import parquet
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, {"messages": None}]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found, rejected = read(tmp_path / "a.parquet")
    assert [tuple(document) for document in found] == [(["a", "b"], [0, 1])]
    assert rejected.examples == [f"{tmp_path}/a.parquet line 2: no string field 'text'"]
