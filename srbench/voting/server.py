"""The page of ``srbench vote``: a server of its files, of images, and of the questions and votes of raters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from srbench.interfaces import SRBenchError
from srbench.system.local_server import HOST, LocalRequestHandler, LocalServer, open_server, serve
from srbench.voting.page import online_page
from srbench.voting.poll import Poll

_FILES = {
    "/online.js": "text/javascript",
    "/vote.js": "text/javascript",
    "/vote.css": "text/css",
}
"""Address and kind of the files beside the page."""
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
_ASKED = "X-Srbench"
"""Header that a page of another origin cannot send without a preflight request, which is not answered."""
MOST_BYTES = 4096
"""Largest answer."""


def vote(poll: Poll, *, host: str = HOST, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C. Port 0 takes a free one; another ``host`` than this machine asks for a token.

    Raises SRBenchError if host or port cannot be used.
    """
    server = open_poll(poll, port, host)
    people = "this machine alone can open it" if host == HOST else "whoever has this address can vote"
    serve(server, f"voting at {server.address} ({people}; Ctrl-C ends)", browser=browser)


def open_poll(poll: Poll, port: int, host: str = HOST) -> LocalServer:
    """Server of the page. Raises SRBenchError if host or port cannot be used."""
    return open_server(port, type("Handler", (_Handler,), {"poll": poll}), host)


class _Handler(LocalRequestHandler):
    poll: Poll

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        """Serve the page and its files, the next question of a rater, and the images of a question."""
        try:
            address = urlsplit(self.path)
            given = {name: values[0] for name, values in parse_qs(address.query, max_num_fields=5).items()}
        except ValueError:  # no address at all: http://[
            self._send_missing()
            return
        rater = given.get("rater", "")
        if address.path == "/":
            self._send(HTTPStatus.OK, online_page().encode(), "text/html; charset=utf-8")
        elif address.path in _FILES:
            content = (files("srbench.voting") / "templates" / address.path[1:]).read_bytes()
            self._send(HTTPStatus.OK, content, f"{_FILES[address.path]}; charset=utf-8")
        elif address.path == "/next":
            self._answer(lambda: self._send_json(self.poll.next(rater)))
        elif address.path == "/image":
            question, side = given.get("question", ""), given.get("side", "")
            self._answer(lambda: self._send(HTTPStatus.OK, self.poll.image(rater, question, side), "image/png"))
        else:
            self._send_missing()

    def do_POST(self) -> None:  # noqa: N802
        """``/vote`` takes rater, question and choice as JSON, and returns the next question."""
        if self.headers.get(_ASKED) is None:
            self._send_json({"error": "only the page itself may ask"}, HTTPStatus.FORBIDDEN)
        elif self.path == "/vote":
            self._answer(self._vote)
        else:
            self._send_missing()

    def _vote(self) -> None:
        given = self.json_body(MOST_BYTES)
        rater, question, choice = (str(given.get(name, "")) for name in ("rater", "question", "choice"))
        self.poll.answer(rater, question, choice)
        self._send_json(self.poll.next(rater))

    def _answer(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SRBenchError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):  # the tab was closed
            raise
        except OSError as error:  # a folder that cannot be read or written
            self._send_json({"error": f"{error.filename}: {error.strerror}"}, HTTPStatus.BAD_REQUEST)

    def _send_missing(self) -> None:
        self._send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)

    def _send_json(self, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        facts = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
        for name, value in (facts | {"Content-Security-Policy": _POLICY}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
