"""``srbench view``: a local, read-only server of a run folder that opens its report in a browser."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO

from srbench.pages.server import LocalRequestHandler, LocalServer, open_server, serve
from srbench.reporting.generated_folder import FOLDER

PAGE = f"/{FOLDER}/report.html"


def view(folder: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve a run or a folder of runs, which has a report, until Ctrl-C. Port 0 takes any free port.

    Raises SRBenchError if the port is taken.
    """
    server = open_folder(folder, port)
    serve(server, f"{folder} at {server.address} (Ctrl-C ends)", browser=browser)


def open_folder(folder: Path, port: int) -> LocalServer:
    """Open a server of the files in a folder. Raises SRBenchError if the port is taken."""
    return open_server(port, partial(_ReadOnly, directory=str(folder.resolve())))


class _ReadOnly(LocalRequestHandler, SimpleHTTPRequestHandler):
    """Handles GET and HEAD for the files of a folder: no listings, no hidden files, no way out by dots or links.

    ``/`` redirects to the page of the report.
    """

    def send_head(self) -> BinaryIO | None:
        if self.address()[0] == "/":
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", PAGE)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = Path(self.translate_path(self.path))
        if not file.is_file() or not self._is_shown(file.resolve()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_shown(self, file: Path) -> bool:
        """Return whether a file lies in the folder and neither it nor a parent is hidden."""
        inside = file.relative_to(self.directory).parts if file.is_relative_to(self.directory) else (".",)
        return not any(part.startswith(".") for part in inside)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()
