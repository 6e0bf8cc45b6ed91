"""A run's report in the browser: a local, read-only server of the run folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from markupsafe import Markup

from srbench.interfaces import SRBenchError
from srbench.matrix.folder import is_matrix, runs_in
from srbench.pages.server import LocalRequestHandler, LocalServer, open_server, serve
from srbench.reporting.files import Origin, ReportList
from srbench.reporting.matrix.report import write_matrix_report
from srbench.reporting.page.live import LiveRun, as_json, live_page
from srbench.reporting.report import formats_in, write_report
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder, is_being_written
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.terminal.output import say
from srbench.words import one_line, printable

FILE = "report.html"
NEWS = "/.live/rows"
"""Address at which the page of a run that is still going asks for rows; no file of a folder has it."""
_RENEWING = Lock()
"""One page is renewed at a time."""


def view(run: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run until Ctrl-C. Port 0 takes a free one.

    A run that is still going is followed: rows arrive by themselves, and the report takes their place at the end.
    Otherwise the page is written first if it is missing or older than the rows, or if images were replaced since: those
    are not shown. So are the other files of its report, and the pages of a matrix. A page that is loaded again shows
    the rows of that moment.
    Raises SRBenchError if the folder holds no measured run, or the port is taken.
    """
    if is_matrix(run):
        for cell in runs_in(run):
            with suppress(RunFolderError):  # nothing is measured yet
                _renew(cell)
        write_matrix_report(run, ["html"])
    elif not is_being_written(run):
        _renew(run)
    server = open_folder(run, port)
    serve(server, f"{run} at {server.address} (Ctrl-C ends)", browser=browser)


def _renew(run: Path) -> None:
    """Write the page of a run, and what else there is of its report, unless it shows the present records and images."""
    if (run / FILE).is_file() and not (run / MANIFEST).is_file():  # of several runs
        return
    if _is_older(run) or RunFolder.read(run).foreign_images():
        _write(run)


def _is_older(folder: Path) -> bool:
    """True if the page of a run or a matrix is missing, or was made of other records than there are now."""
    origin = ReportList.read(folder).origin
    return (
        not (folder / FILE).is_file() or origin is None or origin.sources != Origin.of(folder, runs_in(folder)).sources
    )


def _write(folder: Path) -> None:
    if is_matrix(folder):
        write_matrix_report(folder, ["html"])
        return
    origin = ReportList.read(folder).origin
    write_report([folder], sorted({"html", *formats_in(folder)}), **({} if origin is None else asdict(origin.choices)))


def _renew_if_older(folder: Path) -> None:
    """Write the page of a run or a matrix if there are other records now; one that cannot be made stays as it is."""
    if not (is_matrix(folder) or (folder / MANIFEST).is_file()):
        return
    with _RENEWING:
        try:
            if _is_older(folder):
                _write(folder)
        except (SRBenchError, OSError) as error:
            say(f"the page is not renewed: {one_line(error)}")


def open_folder(run: Path, port: int) -> LocalServer:
    """Server of the files of a folder. Raises SRBenchError if the port is taken."""
    live = None if is_matrix(run) else LiveRun(run.resolve(), _is_older)
    return open_server(port, partial(_ReadOnly, live=live, directory=str(run.resolve())))


class _ReadOnly(LocalRequestHandler, SimpleHTTPRequestHandler):
    """GET and HEAD of the files in one folder: no listing, no hidden files, and no way out by dots or links.

    Of a run that is still going, ``/`` is the page that follows it.
    """

    def __init__(self, *request: Any, live: LiveRun | None, directory: str) -> None:  # noqa: ANN401 - of the base class
        self.live = live
        super().__init__(*request, directory=directory)

    def send_head(self) -> BytesIO | BinaryIO | None:
        path, query = self.address()
        if self.live is not None and path == NEWS:
            return self._news(self.live, query)
        if path == "/":
            if self.live is not None and self.live.state != "finished":
                return self._content(live_page(self.live.path).encode(), "text/html")
            self.path = f"/{FILE}"
        file = Path(self.translate_path(self.path))
        is_page = file.name == FILE
        if is_page and self._is_shown(file.resolve()):
            _renew_if_older(file.parent)
        if not file.is_file() or not self._is_shown(file.resolve()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return self._page(file) if is_page else super().send_head()

    def _page(self, file: Path) -> BytesIO:
        """Send the head of a page, which is told its path: links that are copied from it outlive this server."""
        path = Markup('<head>\n<meta name="report-path" content="{}">').format(printable(str(file.resolve())))
        return self._content(file.read_text(encoding="utf-8").replace("<head>", path, 1).encode(), "text/html")

    def _news(self, live: LiveRun, asked: dict[str, str]) -> BytesIO | None:
        """Send what is new of a run since the ``reading`` and the row ``after`` that are asked for; 304 for nothing."""
        try:
            reading, after = (int(asked.get(name, "0")) for name in ("reading", "after"))
            content, tag = as_json(live.news(reading, max(after, 0)))
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return None
        except SRBenchError as error:
            return self._content(f"{one_line(error)}.".encode(), "text/plain", HTTPStatus.CONFLICT)
        if self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.end_headers()
            return None
        return self._content(content, "application/json", tag=tag)

    def _content(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, tag: str = "") -> BytesIO:
        """Send the head of an answer in UTF-8; returns its body."""
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        return BytesIO(content)

    def _is_shown(self, file: Path) -> bool:
        """True for a file in the folder that is neither hidden nor in a hidden folder."""
        inside = file.relative_to(self.directory).parts if file.is_relative_to(self.directory) else (".",)
        return not any(part.startswith(".") for part in inside)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()
