"""Keep a page fresh while its runs go on, and serve it on this machine alone."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ernie.finetuning.summary import TOGETHER
from ernie.report.finetuning_runs import output_folders
from ernie.utils.console import LOG
from reader.utils.errors import InputError
from reader.utils.files import atomic_write

HOST = "127.0.0.1"  # never another one: the page has no password
RECORDS = ("run.json", "launches.jsonl", "stage-*/log.jsonl", "stage-*/dev.json", "stage-*/done.json")
OF_FINETUNING = ("finetune.json", "result.json", "seed-*/log.jsonl", "fold-*/log.jsonl")  # in each output


def watch(paths: Iterable[Path], file: Path, render: Callable[[bool], tuple[str, bool]], every: float) -> None:
    """Write the page again whenever a record of a run changes, until no run is left to wait for.

    Args:
        paths: run directories. file: of the page. every: seconds between two looks.
        render: takes whether the page is to refresh itself; returns the page and whether every run is finished.
    """
    paths, seen = list(paths), None
    while True:
        now = state(paths)
        if now != seen:
            try:
                page, finished = render(True)  # a page of finished runs comes without a refresh
            except InputError as error:  # such as a record that is just being replaced: the page stays as it was
                LOG.warning("%s; the page stays as it was", error)
            else:
                write_page(file, page)
                if finished:
                    return
                seen = now
        time.sleep(every)


def state(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of every record of some runs."""
    found = []
    for path in paths:
        outputs = output_folders(path, ("finetune.json", TOGETHER))
        places = [(path, RECORDS), *((folder, OF_FINETUNING) for folder in outputs)]
        for file in (file for folder, patterns in places for pattern in patterns for file in folder.glob(pattern)):
            try:
                facts = file.stat()
            except FileNotFoundError:
                continue
            found.append((str(file), facts.st_size, facts.st_mtime_ns))
    return sorted(found)


def write_page(file: Path, page: str) -> None:
    """Replace the page in one step, so that a browser never reads half of it."""
    if not file.parent.is_dir():
        raise InputError("cannot be written (its folder does not exist)", file)
    try:
        with atomic_write(file) as opened:
            opened.write(page)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file) from None


def serve(file: Path, port: int) -> ThreadingHTTPServer:
    """Serve one file, and nothing else, at the root of ``http://127.0.0.1:port`` from a thread of its own.

    Args:
        port: 0 takes a free one; the server's ``server_port`` tells which.
    Raises:
        InputError: the port is taken.
    """
    class Page(BaseHTTPRequestHandler):
        """Answers GET / with the page."""

        def do_GET(self) -> None:  # noqa: N802
            """Send the page as it is now."""
            if self.path == "/favicon.ico":  # browsers ask for it; a 404 would stand in their console
                self.send_response(204)
                self.end_headers()
                return
            # A page of another site, led here by its own name server, may not read this one.
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            if host not in (HOST, "localhost") or self.path.partition("?")[0] != "/" or not file.exists():
                self.send_error(404)
                return
            body = file.read_bytes()
            self.send_response(200)
            for name, value in (("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body))),
                                ("Cache-Control", "no-store"), ("Content-Security-Policy", POLICY)):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Say nothing: the terminal belongs to the run."""

    try:
        server = ThreadingHTTPServer((HOST, port), Page)
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
