"""A run's report in the browser: a local, read-only server of the run folder."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from srbench.matrix.folder import is_matrix
from srbench.reporting.matrix.report import write_matrix_report
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system.local_server import LocalRequestHandler, LocalServer, open_server, serve

FILE = "report.html"


def view(run: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run until Ctrl-C. Port 0 takes a free one.

    The page is written first if it is missing, or if images were replaced since: those are not shown.
    Raises SRBenchError if the folder holds no measured run, or the port is taken.
    """
    if is_matrix(run):
        write_matrix_report(run, ["html"])
    elif not (run / FILE).is_file() or ((run / MANIFEST).is_file() and RunFolder.read(run).foreign_images()):
        write_report([run], ["html"])
    server = open_folder(run, port)
    serve(server, f"{run} at {server.address} (Ctrl-C ends)", browser=browser)


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
