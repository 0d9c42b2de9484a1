"""The report page and the documentation site in a real browser: two widths, light and dark, clicked through."""
import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.ernie import runs
from tests.ernie.report.test_report import line, run  # noqa: F401  (a fixture)

pytestmark = pytest.mark.browser
WIDTHS = (400, 1280)
SCHEMES = ("light", "dark")
WIDER = """() => { const wide = document.documentElement.clientWidth, all = [...document.querySelectorAll('main *')];
    return all.filter(e => e.getBoundingClientRect().right > wide + 1 && !e.closest('.scroll, .chart, pre'))
              .map(e => e.outerHTML) }"""
# Of the text of elements that a selector finds: the least contrast with what lies behind it.
LEAST_CONTRAST = """selector => { const parts = colour => colour.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => { [r, g, b] = [r, g, b].map(
        v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const behind = e => { for (; e; e = e.parentElement) {
        const [r, g, b, a] = parts(getComputedStyle(e).backgroundColor); if (a !== 0) return [r, g, b] }
        return [255, 255, 255] };
    return Math.min(...[...document.querySelectorAll(selector)].filter(e => e.checkVisibility() && e.textContent.trim())
        .map(e => { const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) })) }"""
CONTRAST = """() => { const of = colour => { const [r, g, b] = colour.match(/[0-9.]+/g).map(
        v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const style = getComputedStyle(document.body);
    const [a, b] = [of(style.color), of(style.backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }"""


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of the system, or of playwright."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        absent("playwright", "playwright is not installed: pip install playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as tool:
        try:
            browser = tool.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            absent("chromium", f"no Chromium: apt-get install chromium ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """visit(url, width, scheme) opens a page that must neither complain nor ask another host for anything."""
    opened, wrong = [], []

    def open_page(url, width=1280, scheme="light"):
        page = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: re.match(r"(file|data):|http://127\.0\.0\.1:", request.url)
                or wrong.append(f"asks {request.url}"))
        page.goto(url)
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.context.close()
    # A worker whose script was still loading when the page was left says so; that is no fault of the page.
    assert not [message for message in wrong if "importScripts" not in message]


def look(page):
    """Take a picture where ERNIE_SCREENSHOTS names a folder."""
    if folder := os.environ.get("ERNIE_SCREENSHOTS"):
        size = page.viewport_size["width"]
        dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        name = re.sub(r"\W+", "-", page.title())
        os.makedirs(folder, exist_ok=True)
        page.screenshot(path=os.path.join(folder, f"{name}-{size}-{'dark' if dark else 'light'}.png"), full_page=True)


def skipping(stage, lines):
    """Two steps of stage 2 were skipped, and a second launch went on inside it."""
    if stage == 2:
        for entry in lines:
            entry.update(skipped=2 if entry["step"] >= 40 else 0, launched=1000.0 + (entry["step"] >= 50))
    return lines


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_report_page(run, visit, tmp_path, width, scheme):  # noqa: F811
    from ernie.cli import main
    path = run(change=skipping)
    assert main(["report", str(path), "--output", str(tmp_path / "page.html")]) == 0
    page = visit(f"file://{tmp_path}/page.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width and page.evaluate(WIDER) == []
    assert page.evaluate(CONTRAST) > 7
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 21)"
    assert dark == (scheme == "dark")
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.locator("details[open] pre").count() == page.locator("summary").count() >= 3
    hints = page.locator("svg title").all_text_contents()
    assert any(re.search(r": [\d.,]+ %? ?at step \d+", hint) for hint in hints)
    assert any("2 steps skipped in stage 2 between steps 30 and 40" in hint for hint in hints)
    assert any("resumed in stage 2" in hint for hint in hints)
    look(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_several_runs_on_one_page(run, visit, tmp_path, width):  # noqa: F811
    from ernie.cli import main
    first = run()
    second = shutil.copytree(first, tmp_path / "a second run with a rather long name")
    assert main(["report", str(first), str(second), "--output", str(tmp_path / "page.html")]) == 0
    page = visit(f"file://{tmp_path}/page.html", width, "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width and page.evaluate(WIDER) == []
    look(page)


def test_a_page_that_is_watched_follows_the_run(run, visit):  # noqa: F811
    path = run(done=1, running=30)
    command = subprocess.Popen([sys.executable, "-m", "ernie", "report", str(path), "--watch", "--serve",
                                "--every", "0.2"], cwd=runs.ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert command.stdout.readline().strip() == str(path / "report.html")
        url = command.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        page = visit(url, 400)
        assert "step 30 of 80" in page.inner_text("main")
        with open(path / "stage-2" / "log.jsonl", "a") as file:
            file.write(json.dumps(line(50, ["masking", "order"], 2)) + "\n")
        page.get_by_text("step 50 of 80").first.wait_for(timeout=200_000)
        for wrong in ("run.json", "../run.json", "stage-2/log.jsonl"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(url + wrong)
        foreign = urllib.request.Request(url, headers={"Host": "evil.example:80"})
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(foreign)
        ours = {os.readlink(link)[8:-1] for link in glob.glob(f"/proc/{command.pid}/fd/*")}
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert {row[1][:8] for row in rows if row[3] == "0A" and row[9] in ours} == {"0100007F"}
    finally:
        command.terminate()
        command.wait()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *values):
        pass


def test_the_documentation_site(visit, tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        absent("mkdocs", "mkdocs is not installed: pip install mkdocs")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
                          cwd=runs.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        page = visit(url)
        links = sorted(set(page.eval_on_selector_all("a[href]", "all => all.map(a => a.href.split('#')[0])")))
        links = [link for link in links if link.startswith(url)]
        built = {f"{url}{file.parent.relative_to(tmp_path).as_posix()}/".replace("/./", "/")
                 for file in tmp_path.rglob("index.html")}
        assert built - {url} <= set(links)  # from the first page
        for scheme in SCHEMES:
            page = visit(url, scheme=scheme)
            for link in links:
                page.goto(link)
                assert page.locator("h1").count() >= 1, link
                assert page.evaluate(LEAST_CONTRAST, ".wy-nav-content :is(h1, h2, p, li, td, th, a, code)") > 4.5, link
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 900})
                    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    assert over <= 1, f"{link} is {over} pixels wider than {width}"
            ground = page.evaluate("getComputedStyle(document.querySelector('.wy-nav-content')).backgroundColor")
            assert (ground == "rgb(28, 28, 26)") == (scheme == "dark")
            page.set_viewport_size({"width": 1280, "height": 900})
            page.goto(url)
            page.locator("nav").get_by_text("Fine-tuning", exact=True).first.click()
            page.locator("h1", has_text="Fine-tuning").wait_for()
            look(page)
    finally:
        server.shutdown()
