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
from typing import BinaryIO

from markupsafe import Markup

from srbench.interfaces import SRBenchError
from srbench.matrix.folder import is_matrix, runs_in
from srbench.reporting.files import Origin, ReportList
from srbench.reporting.matrix.report import write_matrix_report
from srbench.reporting.report import formats_in, write_report
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system.file_names import one_line
from srbench.system.local_server import LocalRequestHandler, LocalServer, open_server, serve
from srbench.system.terminal import say

FILE = "report.html"
_RENEWING = Lock()
"""One page is renewed at a time."""


def view(run: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run until Ctrl-C. Port 0 takes a free one.

    The page is written first if it is missing or older than the rows, or if images were replaced since: those are not
    shown. So are the other files of its report, and the pages of a matrix. The run may be at work: a page that is
    loaded again shows the rows of that moment.
    Raises SRBenchError if the folder holds no measured run, or the port is taken.
    """
    if is_matrix(run):
        for cell in runs_in(run):
            with suppress(RunFolderError):  # nothing is measured yet
                _renew(cell)
        write_matrix_report(run, ["html"])
    else:
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
    origin = (ReportList.read(folder) or ReportList()).origin
    return (
        not (folder / FILE).is_file() or origin is None or origin.sources != Origin.of(folder, runs_in(folder)).sources
    )


def _write(folder: Path) -> None:
    if is_matrix(folder):
        write_matrix_report(folder, ["html"])
        return
    origin = (ReportList.read(folder) or ReportList()).origin
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
    return open_server(port, partial(_ReadOnly, directory=str(run.resolve())))


class _ReadOnly(LocalRequestHandler, SimpleHTTPRequestHandler):
    """GET and HEAD of the files in one folder: no listing, no hidden files, and no way out by dots or links."""

    def send_head(self) -> BytesIO | BinaryIO | None:
        if self.path.partition("?")[0] == "/":
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
        path = Markup('<head>\n<meta name="report-path" content="{}">').format(file.resolve())
        content = file.read_text(encoding="utf-8").replace("<head>", path, 1).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return BytesIO(content)

    def _is_shown(self, file: Path) -> bool:
        """True for a file in the folder that is neither hidden nor in a hidden folder."""
        inside = file.relative_to(self.directory).parts if file.is_relative_to(self.directory) else (".",)
        return not any(part.startswith(".") for part in inside)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()
