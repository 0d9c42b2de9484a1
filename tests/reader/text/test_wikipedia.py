"""Wikipedia dumps: the sample that gensim ships, as published and cut anywhere, and pages written by hand."""
import bz2
import re
from pathlib import Path

import pytest

from reader.store.demo import WIKIPEDIA
from reader.text.documents import ReadOptions, Rejected, Span, find_inputs, form_of, plan_parts, read_documents
from reader.text.formats.wikipedia import article_text, pages, simplified

BODY = "This is a paragraph of running text that is long enough to be kept, as {} says. "


def page(title, text, inside="<ns>0</ns>"):
    return (f"<page><title>{title}</title>{inside}<id>1</id><revision><id>2</id>"
            f"<text>{text}</text></revision></page>\n")


def titles(path, start=0, stop=None, language="en"):
    rejected = Rejected()
    found = read_documents(Span(str(path), start, stop), ReadOptions(language=language), rejected)
    return [document.paragraphs[0] for document in found], rejected


def test_the_sample_of_gensim():
    import gensim
    path = Path(gensim.__file__).parent / WIKIPEDIA
    rejected = Rejected()
    found = {document.paragraphs[0]: document.paragraphs[1:]
             for document in read_documents(Span(str(path)), ReadOptions(), rejected)}
    assert len(found) == 97 and rejected.reasons == {"redirect": 99, "disambiguation page": 8,
                                                    "page of another namespace than articles": 1,
                                                    "page without running text": 1}
    assert found["Anarchism"][0].startswith("Anarchism is a political philosophy")
    text = "\n".join(paragraph for paragraphs in found.values() for paragraph in paragraphs)
    assert not re.search(r"\[\[|\{\{|\{\||<ref|</|'''|==|&lt;|__", text)


@pytest.fixture
def multistream(tmp_path):
    """A dump in bz2 streams whose bounds lie anywhere in the pages."""
    text = "<mediawiki>\n<siteinfo/>\n" + "".join(page(f"T{k}", BODY.format(k) * (1 + k % 5)) for k in range(60))
    data, cuts = (text + "</mediawiki>").encode(), [0, *range(700, len(text), 1931), None]
    path = tmp_path / "xxwiki-latest-pages-articles-multistream1.xml-p1p60.bz2"
    path.write_bytes(b"".join(bz2.compress(data[a:b]) for a, b in zip(cuts, cuts[1:])))
    return path


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("step", [97, 500, 1234, 10**6])
def test_parts_of_a_dump_are_the_whole(multistream, step, packed):
    if not packed:
        plain = multistream.with_name("plain.xml")
        plain.write_bytes(bz2.decompress(multistream.read_bytes()))
        multistream = plain
    assert titles(multistream)[0] == [f"T{k}" for k in range(60)]
    parts = [span for part in plan_parts([multistream], ReadOptions(), step) for span in part]
    assert [title for span in parts for title in titles(*span)[0]] == [f"T{k}" for k in range(60)]
    assert len(parts) > 1 or step == 10**6


def test_what_is_no_article_is_counted(tmp_path):
    rows = [page("A", BODY), page("B", "#REDIRECT [[A]]"), page("C", "x", "<ns>0</ns><redirect title='A'/>"),
            page("Talk:D", BODY, "<ns>1</ns>"), page("E", BODY + "{{Human name disambiguation}}"), page("F", "short"),
            page("G (disambiguation)", BODY), "<page><title>H</page>", page("I", BODY)]
    path = tmp_path / "a.xml"
    path.write_text("<mediawiki>" + "".join(rows) + "</mediawiki>")
    found, rejected = titles(path)
    assert found == ["A", "I"] and rejected.reasons == {
        "redirect": 2, "page of another namespace than articles": 1, "disambiguation page": 2,
        "page without running text": 1, "page is not XML": 1}
    path.write_bytes(path.read_bytes()[:-300])
    assert titles(path)[0] == ["A"]
    damaged = tmp_path / "b.xml.bz2"
    damaged.write_bytes(bz2.compress(("<mediawiki>" + page("A", BODY) * 9).encode())[:-20])
    assert titles(damaged)[1].reasons["file cannot be read to its end"] == 1


def test_an_enormous_page_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("reader.text.formats.wikipedia.MAX_PAGE", 1 << 20)
    path, rejected = tmp_path / "a.xml", Rejected()
    path.write_text(page("A", BODY) + page("B", "x" * (3 << 20)) + page("C", BODY))
    assert [re.search(b"<title>(.*)</title>", found)[1] for found in pages(Span(str(path)), rejected)] == [b"A", b"C"]
    assert rejected.reasons == {"page larger than 1 MiB": 1}


def test_markup():
    text = ("'''Bold''' words in a [[link|linked sentence]] that is long enough to be kept here ( , born 1809)."
            "<ref>No</ref>\n== Heading ==\n{| class=x\n| a table cell that is certainly long enough to be kept.\n|}\n"
            "* A list item that is certainly long enough to be kept if it were running text, but it is not.\n"
            "[[File:x.jpg|thumb|a [[link]] in a caption.]]{{Infobox|a=b}}Second paragraph, after a heading and with a "
            "template before it all.\n{|\nan unclosed table, the text of which is kept as well as it can be, here.")
    assert article_text(text, "en") == [
        "Bold words in a linked sentence that is long enough to be kept here (born 1809).",
        "Second paragraph, after a heading and with a template before it all.",
        "an unclosed table, the text of which is kept as well as it can be, here."]


@pytest.mark.parametrize("marked, text", [
    ("zh-hans:软件;zh-hant:軟體", "软件"), ("zh-tw:軟體; zh-cn:软件;", "软件"), ("zh-tw:軟體;zh-hk:軟件", "軟體"),
    ("原文", "原文"), ("H|zh-cn:软件;zh-tw:軟體", ""), ("T|zh-cn:软件;zh-tw:軟體", ""),
    ("A|zh-cn:软件;zh-tw:軟體", "软件"), ("R|原文", "原文")])
def test_chinese_variants(marked, text):
    assert simplified(marked) == text
    whole = article_text("維基百科的-{" + marked + "}-是一個自由內容、公開編輯的網路百科全書計劃。", "zh")
    assert whole == [f"維基百科的{text}是一個自由內容、公開編輯的網路百科全書計劃。"]


def test_forms_are_recognised(tmp_path, multistream):
    for name, content, form in (("wiki_00", b'{"text": "a"}', "json"), ("a", b"text", "text"),
                                ("b.xml", b"", "wikipedia"),
                                ("c.json", b" \n{}", "json"), ("d", b"PAR1", "table"), ("e.dat", b"", "text"),
                                ("f", bz2.compress(b"<mediawiki>"), "wikipedia"), ("g.bz2", b"broken", "text")):
        (tmp_path / name).write_bytes(content)
        assert form_of(tmp_path / name) == form, name
    assert form_of(multistream) == "wikipedia" and multistream in find_inputs(tmp_path)
