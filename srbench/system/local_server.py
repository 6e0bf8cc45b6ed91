"""A web server for this machine alone: pages of other origins can neither ask it nor show what it serves."""

from __future__ import annotations

import socket
import sys
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from srbench.interfaces import SRBenchError
from srbench.system.file_names import one_line
from srbench.system.terminal import say, show

HOST = "127.0.0.1"
SECONDS = 60
"""Longest silence of a connection."""
_PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LocalServer(ThreadingHTTPServer):
    """Serves this machine; a closed page or a broken connection is not shown on the terminal.

    Closing it waits for what it is asked at the time: a thread inside PyTorch that outlived Python would abort it.
    """

    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    @property
    def address(self) -> str:
        """Address to open in a browser."""
        return f"http://{HOST}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - of the base class
        """Answer a request in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """End the connection of an answered request."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the server: end silent connections at once, the others when they are answered."""
        for connection in self._connections.copy():
            with suppress(OSError):  # it has just ended
                connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + 0.5
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._connections:
            say("finishing what is under way; Ctrl-C again ends it at once")
        super().server_close()

    def handle_error(self, *_: object) -> None:
        """Report all faults but broken connections in one line on stderr."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            say(f"a request failed: {type(sys.exception()).__name__}: {one_line(sys.exception())}")


class LocalRequestHandler(BaseHTTPRequestHandler):
    """Answers only requests that name this server and come from one of its own pages or from no page."""

    timeout = SECONDS

    def parse_request(self) -> bool:
        """Read the request; refuse one from elsewhere.

        A page elsewhere whose name resolves to this machine sends its own Host, one that asks across origins its
        Origin.
        """
        if not super().parse_request():
            return False
        port = self.connection.getsockname()[1]
        hosts = (f"{HOST}:{port}", f"localhost:{port}")
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in hosts and origin in (None, *(f"http://{host}" for host in hosts)):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def end_headers(self) -> None:
        """Add the headers that keep pages of other origins out."""
        for name, value in _PROTECTION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
        """Nothing: the terminal belongs to its user."""


def open_server(port: int, handler: Callable[..., LocalRequestHandler]) -> LocalServer:
    """Server on a port, 0 for any free one. Raises SRBenchError if the port is taken."""
    try:
        return LocalServer((HOST, port), handler)
    except OSError as error:
        raise SRBenchError(f"port {port} cannot be used ({error.strerror}); choose another --port, or none") from None


def serve(server: LocalServer, message: str, *, browser: bool) -> None:
    """Print a message, open the server's page in the browser if requested, and serve until Ctrl-C."""
    show(message)
    if browser:
        webbrowser.open(server.address)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            show("")
