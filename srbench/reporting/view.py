"""A run's folder in the browser: served to this machine alone, and only to be read."""

from __future__ import annotations

import sys
import webbrowser
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from srbench.matrix.folder import is_matrix
from srbench.reporting import ReportError
from srbench.reporting.matrix.report import write_matrix_report
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system.terminal import say, show

HOST = "127.0.0.1"
FILE = "report.html"
SECONDS = 60
"""That a connection may be silent."""
PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer: a page of another origin can neither show nor read what is served."""


class LocalServer(ThreadingHTTPServer):
    """Serves this machine; what its visitors do, such as closing a page, is not shown on the terminal."""

    def handle_error(self, *_: object) -> None:
        """Say nothing of a connection that broke; all else is a fault of ours."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            say(f"a request failed: {type(sys.exception()).__name__}: {' '.join(str(sys.exception()).split())}")


def is_from_here(request: BaseHTTPRequestHandler) -> bool:
    """Does a request name this server, and come from a page of it or from no page?

    A page elsewhere whose name resolves to this machine sends its own Host, one that asks across origins its Origin.
    """
    port = request.connection.getsockname()[1]
    hosts = (f"{HOST}:{port}", f"localhost:{port}")
    origin = request.headers.get("Origin")
    return request.headers.get("Host") in hosts and origin in (None, *(f"http://{host}" for host in hosts))


def view(run: Path, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run until Ctrl-C. Port 0 takes a free one.

    The page is written where there is none yet, and again where images were replaced since: those are not shown.

    Raises SRBenchError where the folder holds no measured run, or the port is taken.
    """
    if is_matrix(run):
        write_matrix_report(run, ["html"])
    elif not (run / FILE).is_file() or ((run / MANIFEST).is_file() and RunFolder.read(run).foreign_images()):
        write_report([run], ["html"])
    with open_server(run, port) as server:
        address = f"http://{HOST}:{server.server_port}/"
        serve(server, f"{run} at {address} (Ctrl-C ends)", address if browser else None)


def serve(server: LocalServer, message: str, opened: str | None) -> None:
    """Say what is served, open an address in the browser if one is given, and serve until Ctrl-C."""
    show(message)
    if opened is not None:
        webbrowser.open(opened)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        show("")


def open_server(run: Path, port: int) -> LocalServer:
    """A server of the files of a folder, for this machine only. Raises ReportError where the port is taken."""
    try:
        return LocalServer((HOST, port), partial(_ReadOnly, directory=str(run.resolve())))
    except OSError as error:
        raise ReportError(f"port {port} cannot be used ({error.strerror}); choose another --port, or none") from None


class _ReadOnly(SimpleHTTPRequestHandler):
    """GET and HEAD of the files in one folder. No listing, and no way out of it, by dots or by links."""

    timeout = SECONDS

    def send_head(self) -> BytesIO | BinaryIO | None:
        if not is_from_here(self):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        if self.path.partition("?")[0] == "/":
            self.path = f"/{FILE}"
        file = Path(self.translate_path(self.path))
        if not file.is_file() or not file.resolve().is_relative_to(self.directory):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        for name, value in PROTECTION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
        """Nothing: the terminal belongs to its user."""
