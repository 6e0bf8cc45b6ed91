"""A web server for this machine alone, or for those who have its token.

Pages of other origins can neither ask it nor show what it serves.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show
from srbench.words import one_line

HOST = "127.0.0.1"
SECONDS = 60
"""Longest silence of a connection."""
_MOST_FIELDS = 5
"""Most values in an address."""
_PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LocalServer(ThreadingHTTPServer):
    """Serves this machine; a closed page or a broken connection is not shown on the terminal.

    Closing it waits for open requests: a thread still inside PyTorch when Python exits would abort the process.
    """

    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        self.token = "" if address[0] == HOST else secrets.token_urlsafe(16)
        """Secret that every request has to carry, unless this machine alone can ask."""
        super().__init__(address, handler)

    @property
    def address(self) -> str:
        """Address to open in a browser, with the token if there is one; by the name of the machine if it is 0.0.0.0."""
        given = str(self.server_address[0])
        host = socket.gethostname() if given == "0.0.0.0" else given
        return f"http://{host}:{self.server_port}/{f'?token={self.token}' if self.token else ''}"

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
            say("finishing open requests; press Ctrl-C again to stop at once")
        super().server_close()

    def handle_error(self, *_: object) -> None:
        """Report all faults but broken connections in one line on stderr."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            say(f"a request failed: {type(sys.exception()).__name__}: {one_line(sys.exception())}")


class LocalRequestHandler(BaseHTTPRequestHandler):
    """Answers only requests that name this server, or carry its token, and come from one of its own pages or from none.

    An address with the token leads to the page, and gives the browser a cookie that carries the token from then on.
    """

    timeout = SECONDS
    server: LocalServer

    def parse_request(self) -> bool:
        """Read the request; refuse one from elsewhere.

        A page elsewhere whose name resolves to this machine sends its own Host, one that asks across origins its
        Origin.
        """
        if not super().parse_request():
            return False
        port, host = self.connection.getsockname()[1], self.headers.get("Host")
        hosts = [host] if self.server.token else [f"{HOST}:{port}", f"localhost:{port}"]
        if host not in hosts or self.headers.get("Origin") not in (None, *(f"http://{one}" for one in hosts)):
            self.send_error(HTTPStatus.FORBIDDEN)
            return False
        return not self.server.token or self._has_token()

    def _has_token(self) -> bool:
        """True if the cookie carries the token; else answer the request, by the cookie if its address has the token."""
        cookie = f"srbench-{self.server.server_port}"
        try:
            carried = SimpleCookie(self.headers.get("Cookie", "")).get(cookie)
        except CookieError:
            carried = None
        if carried is not None and hmac.compare_digest(carried.value.encode(), self.server.token.encode()):
            return True
        given = self.address()[1].get("token", "")
        if self.command == "GET" and hmac.compare_digest(given.encode(), self.server.token.encode()):
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Set-Cookie", f"{cookie}={given}; HttpOnly; SameSite=Lax; Path=/")
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_error(HTTPStatus.FORBIDDEN, "the address lacks the token that srbench has printed")
        return False

    def address(self) -> tuple[str, dict[str, str]]:
        """Path and query of the address that was asked for, one value per name; both empty if it is none: http://[."""
        try:
            address = urlsplit(self.path)
            query = parse_qs(address.query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return "", {}
        return address.path, {name: values[0] for name, values in query.items()}

    def body(self, most: int) -> bytes:
        """Content of the request. Raises SRBenchError if it is missing, or longer than ``most`` bytes."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise SRBenchError("the page sent nothing; reload it") from None
        if not 0 <= length <= most:
            self.close_connection = True  # what follows is not read
            raise SRBenchError(f"{length} bytes are too many, at most {most} are taken; reload the page")
        return self.rfile.read(length)

    def json_body(self, most: int) -> dict[str, Any]:
        """JSON object of the request; empty for other JSON. Raises SRBenchError as ``body`` does."""
        try:
            request = json.loads(self.body(most))
        except (ValueError, RecursionError):
            raise SRBenchError("the page sent invalid JSON; reload it") from None
        return request if isinstance(request, dict) else {}

    def end_headers(self) -> None:
        """Add the headers that keep pages of other origins out."""
        for name, value in _PROTECTION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
        """Log nothing: the terminal belongs to its user."""


class PageRequestHandler(LocalRequestHandler):
    """Serves a page, and answers that page alone, in JSON, errors included."""

    ASKED = "X-Srbench"
    """Header that a page of another origin cannot send without a preflight request, which is not answered."""
    policy: str
    """Content security policy of every answer."""

    def may_post(self) -> bool:
        """True if the page itself asks; all others are told that they may not."""
        if self.headers.get(self.ASKED) is not None:
            return True
        self.send_json({"error": "only the page itself may ask"}, HTTPStatus.FORBIDDEN)
        return False

    def answer(self, action: Callable[[], None]) -> None:
        """Do what was asked for, or send the error."""
        try:
            action()
        except SRBenchError as error:
            self.send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):  # the tab was closed
            raise
        except OSError as error:  # a folder that cannot be read or written
            self.send_json({"error": f"{error.filename}: {error.strerror}"}, HTTPStatus.BAD_REQUEST)

    def send_missing(self) -> None:
        """Answer a request for what is not here."""
        self.send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)

    def send_json(self, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send an object as JSON."""
        self.send_content(json.dumps(content).encode(), "application/json", status)

    def send_content(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] = {}
    ) -> None:
        """Send bytes of a media type, which the browser does not keep."""
        self.send_response(status)
        facts = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
        for name, value in (facts | {"Content-Security-Policy": self.policy} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def open_server(port: int, handler: Callable[..., LocalRequestHandler], host: str = HOST) -> LocalServer:
    """Server on a port, 0 for any free one; others than this machine can ask it by another ``host``, with a token.

    Raises SRBenchError if the port is taken, or the host is none of this machine.
    """
    try:
        return LocalServer((host, port), handler)
    except OSError as error:
        where = f"port {port}" if host == HOST else f"{host} with port {port}"
        others = "another --port, or none" if host == HOST else "an address of this machine, or another --port"
        raise SRBenchError(f"{where} cannot be used ({error.strerror}); choose {others}") from None


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
