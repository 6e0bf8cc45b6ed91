"""A web server that is only reachable from this machine.

Web pages of other origins can neither send it requests nor embed its content.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show
from srbench.words import one_line

HOST = "127.0.0.1"
SECONDS = 60
"""Timeout of an idle connection."""
_MOST_FIELDS = 5
"""Largest number of query fields in an address."""
_PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LocalServer(ThreadingHTTPServer):
    """A server on HOST that does not report broken connections, such as those of a closed page.

    Closing it waits for open requests, because a thread still in PyTorch when Python exits would abort the process.
    """

    daemon_threads = False
    request_queue_size = 1024
    """Largest number of connections that wait to be accepted; the default of 5 loses images of a long page."""

    def __init__(self, port: int, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), handler)

    @property
    def address(self) -> str:
        """Address to open in a browser."""
        return f"http://{HOST}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - of the base class
        """Answer a request in a new thread."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """End the connection of an answered request."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close idle connections at once, and all others once their requests are answered."""
        for connection in self._connections.copy():
            with suppress(OSError):  # it may just have ended
                connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + 0.5
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._connections:
            say("finishing open requests; press Ctrl-C again to stop at once")
        super().server_close()

    def handle_error(self, *_: object) -> None:
        """Report errors except broken connections, in one line on stderr."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            say(f"a request failed: {type(sys.exception()).__name__}: {one_line(sys.exception())}")


class LocalRequestHandler(BaseHTTPRequestHandler):
    """Answers only requests that name this server as Host and do not come from foreign pages."""

    timeout = SECONDS
    server: LocalServer

    def parse_request(self) -> bool:
        """Parse the request; refuse it if its Host or Origin is foreign.

        A foreign page whose domain resolves to this machine (DNS rebinding) sends its own domain as Host. A foreign
        page that sends a cross-origin request states its Origin.
        """
        if not super().parse_request():
            return False
        hosts = [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]
        origins = [None, *(f"http://{host}" for host in hosts)]
        if self.headers.get("Host") in hosts and self.headers.get("Origin") in origins:
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def address(self) -> tuple[str, dict[str, str]]:
        """Return path and query of the address, with one value per name; both empty for an invalid address."""
        try:
            address = urlsplit(self.path)
            query = parse_qs(address.query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return "", {}
        return address.path, {name: values[0] for name, values in query.items()}

    def body(self, most: int) -> bytes:
        """Return the body of the request. Raises SRBenchError if it is missing, or longer than ``most`` bytes."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise SRBenchError("the page sent nothing; reload it") from None
        if not 0 <= length <= most:
            self.close_connection = True  # the body remains unread
            raise SRBenchError(f"{length} bytes are too many, at most {most} are taken; reload the page")
        return self.rfile.read(length)

    def json_body(self, most: int) -> dict[str, Any]:
        """Return the JSON object in the body; empty for any other JSON. Raises SRBenchError as ``body`` does."""
        try:
            request = json.loads(self.body(most))
        except (ValueError, RecursionError):
            raise SRBenchError("the page sent invalid JSON; reload it") from None
        return request if isinstance(request, dict) else {}

    def end_headers(self) -> None:
        """Add headers that keep other origins from embedding or reading the response."""
        for name, value in _PROTECTION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
        """Log nothing: the terminal belongs to its user."""


class PageRequestHandler(LocalRequestHandler):
    """Serves a page and answers its requests, with errors as JSON."""

    ASKED = "X-Srbench"
    """Header that a foreign page cannot send without a preflight request, which is not answered."""
    policy: str
    """Content Security Policy of every response."""

    def may_post(self) -> bool:
        """Return whether the page itself sent the request; if not, send an error."""
        if self.headers.get(self.ASKED) is not None:
            return True
        self.send_json({"error": "only the page itself may send requests"}, HTTPStatus.FORBIDDEN)
        return False

    def answer(self, action: Callable[[], None]) -> None:
        """Call ``action``, which responds to the request; if it raises, send the error."""
        try:
            action()
        except SRBenchError as error:
            self.send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):  # the tab was closed
            raise
        except OSError as error:  # a folder that cannot be read or written
            self.send_json({"error": f"{error.filename}: {error.strerror}"}, HTTPStatus.BAD_REQUEST)

    def send_missing(self) -> None:
        """Send an error for an unknown address."""
        self.send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)

    def send_json(self, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send an object as JSON."""
        self.send_content(json.dumps(content).encode(), "application/json", status)

    def send_content(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] = {}
    ) -> None:
        """Send bytes with media type ``kind``, and forbid caching."""
        self.send_response(status)
        facts = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
        for name, value in (facts | {"Content-Security-Policy": self.policy} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def open_server(port: int, handler: Callable[..., LocalRequestHandler]) -> LocalServer:
    """Open a server on a port, 0 for any free port. Raises SRBenchError if the port is taken."""
    try:
        return LocalServer(port, handler)
    except OSError as error:
        raise SRBenchError(f"port {port} cannot be used ({error.strerror}); choose another --port, or none") from None


def serve(server: LocalServer, message: str, *, browser: bool) -> None:
    """Print a message, open the page if ``browser``, and serve until Ctrl-C."""
    show(message)
    if browser:
        webbrowser.open(server.address)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            show("")
