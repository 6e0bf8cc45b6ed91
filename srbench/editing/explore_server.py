"""The page of ``srbench explore``: its files, and the requestes that it sends. Served to this machine alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from srbench.editing import EditError
from srbench.editing.explore import MOST_BYTES, Explorer, Opened
from srbench.interfaces import SRBenchError
from srbench.reporting.view import HOST, PROTECTION, SECONDS, LocalServer, is_from_here, serve
from srbench.system.file_names import no_file

_FILES = {
    "/": ("srbench.editing", "explore.html", "text/html"),
    "/explore.js": ("srbench.editing", "explore.js", "text/javascript"),
    "/explore.css": ("srbench.editing", "explore.css", "text/css"),
    "/report.css": ("srbench.reporting", "report.css", "text/css"),
}
"""Address -> the package whose template it is, its name, its kind. The page looks as reports do."""
_POLICY = "default-src 'self'; img-src 'self' blob: data:"
_ASKED = "X-Srbench"
"""A header that no page of another origin can send without being asked first."""


def explore(explorer: Explorer, image: Path | None, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C, with an image open where one is named. Port 0 takes a free one.

    Raises SRBenchError where the image cannot be opened, or the port is taken.
    """
    with open_explorer(explorer, image, port) as server:
        address = f"http://{HOST}:{server.server_port}/"
        message = f"exploring at {address} (Ctrl-C ends); saved images go to {explorer.out}"
        serve(server, message, address if browser else None)


def open_explorer(explorer: Explorer, image: Path | None, port: int) -> LocalServer:
    """A server of the page, for this machine only.

    Raises SRBenchError where the image cannot be opened, or the port is taken.
    """
    first: Opened | None = None
    if image is not None:
        if kind := no_file(image):
            raise EditError(f"{image}: {kind}, not a file; name an image")
        try:
            content = image.read_bytes()
        except OSError as error:
            raise EditError(f"{image}: cannot be read ({error.strerror}); name an image") from None
        first = explorer.open(image.name, content)
    handler = type("Handler", (_Handler,), {"explorer": explorer, "first": first})
    try:
        return LocalServer((HOST, port), handler)
    except OSError as error:
        raise EditError(f"port {port} cannot be used ({error.strerror}); choose another --port, or none") from None


class _Handler(BaseHTTPRequestHandler):
    timeout = SECONDS
    explorer: Explorer
    first: Opened | None

    def do_GET(self) -> None:
        """The page and its files, the image that was open from the start, HR and LR of an open image."""
        if not self._from_here():
            return
        try:
            address = urlsplit(self.path)
        except ValueError:  # no address at all: http://[
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
            return
        if address.path in _FILES:
            package, name, kind = _FILES[address.path]
            content = (files(package) / "templates" / name).read_bytes()
            self._send(HTTPStatus.OK, content, f"{kind}; charset=utf-8")
        elif address.path == "/first":
            opened = None if self.first is None else asdict(self.first)
            self._send_json(HTTPStatus.OK, {"opened": opened, "scale": self.explorer.editor.scale})
        elif address.path in ("/hr.png", "/lr.png"):
            image = parse_qs(address.query).get("image", [""])[0]
            self._answer(lambda: self._send_png(self.explorer.original(image, address.path[1:3]), {}))
        else:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})

    def do_POST(self) -> None:
        """``/open`` takes an image's file, ``/make`` and ``/save`` a request as JSON."""
        if not self._from_here():
            return
        if self.headers.get(_ASKED) is None:
            self._send_json(HTTPStatus.FORBIDDEN, {"error": "only the page itself may ask"})
            return
        actions = {"/open": self._open, "/make": self._make, "/save": self._save}
        if self.path not in actions:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
            return
        self._answer(actions[self.path])

    def _open(self) -> None:
        name = unquote(self.headers.get(_ASKED, ""))
        self._send_json(HTTPStatus.OK, asdict(self.explorer.open(name, self._body())))

    def _make(self) -> None:
        made = self.explorer.make(self._request())
        facts = {"caption": made.caption, "boxes": made.boxes}
        self._send_png(made.png, {"X-Made": quote(json.dumps(facts))})

    def _save(self) -> None:
        self._send_json(HTTPStatus.OK, {"saved": str(self.explorer.save(self._request()))})

    def _request(self) -> dict[str, Any]:
        try:
            request = json.loads(self._body())
        except (ValueError, RecursionError):
            raise EditError("the page sent something that is not JSON; load it again") from None
        return request if isinstance(request, dict) else {}

    def _body(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise EditError("the page sent nothing; load it again") from None
        if not 0 <= length <= MOST_BYTES:
            self.close_connection = True  # what follows is not read
            raise EditError(f"a file of {length / 2**20:.0f} MB is too large, at most {MOST_BYTES >> 20} MB")
        return self.rfile.read(length)

    def _answer(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SRBenchError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except (ConnectionError, TimeoutError):  # the tab was closed
            raise
        except OSError as error:  # a folder that cannot be written
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": f"{error.filename}: {error.strerror}"})

    def _from_here(self) -> bool:
        if is_from_here(self):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def _send_png(self, content: bytes, headers: dict[str, str]) -> None:
        self._send(HTTPStatus.OK, content, "image/png", headers)

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": _POLICY,
            **PROTECTION,
            "Cache-Control": "no-store",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
        """Nothing: the terminal belongs to its user."""
