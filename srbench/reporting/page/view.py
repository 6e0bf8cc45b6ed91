"""A run's report in the browser: a local, read-only server of the run folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from srbench.matrix.folder import is_matrix, runs_in
from srbench.reporting.files import Origin, ReportList
from srbench.reporting.matrix.report import write_matrix_report
from srbench.reporting.report import formats_in, write_report
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system.local_server import LocalRequestHandler, LocalServer, open_server, serve

FILE = "report.html"


def view(run: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run until Ctrl-C. Port 0 takes a free one.

    The page is written first if it is missing or older than the rows, or if images were replaced since: those are not
    shown. So are the other files of its report, and the pages of a matrix. The run may be at work.
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
    """Write the page of a run, and what else there is of its report, unless it shows the present records."""
    origin = (ReportList.read(run) or ReportList(finished=False)).origin
    is_there, is_run = (run / FILE).is_file(), (run / MANIFEST).is_file()
    if is_there and not is_run:  # of several runs
        return
    is_older = origin is None or origin.sources != Origin.of(run, [run]).sources
    if not is_there or is_older or RunFolder.read(run).foreign_images():
        choices = {} if origin is None else asdict(origin.choices)
        write_report([run], sorted({"html", *formats_in(run)}), **choices)


def open_folder(run: Path, port: int) -> LocalServer:
    """Server of the files of a folder. Raises SRBenchError if the port is taken."""
    return open_server(port, partial(_ReadOnly, directory=str(run.resolve())))


class _ReadOnly(LocalRequestHandler, SimpleHTTPRequestHandler):
    """GET and HEAD of the files in one folder: no listing, no hidden files, and no way out by dots or links."""

    def send_head(self) -> BytesIO | BinaryIO | None:
        if self.path.partition("?")[0] == "/":
            self.path = f"/{FILE}"
        file = Path(self.translate_path(self.path))
        if not file.is_file() or not self._is_shown(file.resolve()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_shown(self, file: Path) -> bool:
        """True for a file in the folder that is neither hidden nor in a hidden folder."""
        inside = file.relative_to(self.directory).parts if file.is_relative_to(self.directory) else (".",)
        return not any(part.startswith(".") for part in inside)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()
