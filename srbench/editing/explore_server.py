"""The page of ``srbench explore``: a local server of its files, and of the requests that it sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, unquote

from srbench.editing import EditError
from srbench.editing.explore import Explorer
from srbench.editing.photographs import MOST_BYTES, MOST_PIXELS, Photograph
from srbench.files.paths import no_file
from srbench.pages.server import LocalServer, PageRequestHandler, open_server, serve

_FILES = {
    "/": ("srbench.editing", "explore.html", "text/html"),
    "/explore.js": ("srbench.editing", "explore.js", "text/javascript"),
    "/explore.css": ("srbench.editing", "explore.css", "text/css"),
    "/edits.js": ("srbench.editing", "edits.js", "text/javascript"),
    "/selection.js": ("srbench.editing", "selection.js", "text/javascript"),
    "/report.css": ("srbench.reporting", "report.css", "text/css"),
    "/viewer.js": ("srbench.reporting", "viewer.js", "text/javascript"),
}
"""Address -> package of the template, its name, its kind. The page has the style and the zoom of reports."""
_MOST_REQUEST = 2**16
"""Bytes of the largest request that is no file."""


def explore(explorer: Explorer, image: Path | None, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C, with ``image`` open if given. Port 0 takes a free one.

    Raises SRBenchError if the image cannot be opened, or the port is taken.
    """
    server = open_explorer(explorer, image, port)
    message = f"exploring at {server.address} (Ctrl-C ends); saved images go to {explorer.out}"
    serve(server, message, browser=browser)


def open_explorer(explorer: Explorer, image: Path | None, port: int) -> LocalServer:
    """Server of the page. Raises SRBenchError if the image cannot be opened, or the port is taken."""
    first: Photograph | None = None
    if image is not None:
        if kind := no_file(image):
            raise EditError(f"{image}: {kind}, not a file; name an image")
        try:
            content = image.read_bytes()
        except OSError as error:
            raise EditError(f"{image}: cannot be read ({error.strerror}); name an image") from None
        first = explorer.open(image.name, content)
    return open_server(port, type("Handler", (_Handler,), {"explorer": explorer, "first": first}))


class _Handler(PageRequestHandler):
    explorer: Explorer
    first: Photograph | None
    policy = "default-src 'self'; img-src 'self' blob: data:"

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        """Serve the page and its files, the photograph opened at the start, views of open ones, HR and LR of parts."""
        path, query = self.address()
        if path in _FILES:
            package, name, kind = _FILES[path]
            content = (files(package) / "templates" / name).read_bytes()
            self.send_content(content, f"{kind}; charset=utf-8")
        elif path == "/first":
            opened = None if self.first is None else self.first.facts()
            self.send_json({"opened": opened, "scale": self.explorer.editor.scale, "most": MOST_PIXELS})
        elif path in ("/hr.png", "/lr.png", "/view.jpg"):
            self.answer(lambda: self._send_original(path, query))
        else:
            self.send_missing()

    def do_POST(self) -> None:  # noqa: N802
        """``/open`` takes an image's file, ``/make`` and ``/save`` a request as JSON."""
        actions = {"/open": self._open, "/make": self._make, "/save": self._save}
        if not self.may_post():
            return
        if self.path not in actions:
            self.send_missing()
        else:
            self.answer(actions[self.path])

    def _send_original(self, path: str, query: Mapping[str, str]) -> None:
        image = query.get("image", "")
        if path == "/view.jpg":
            self.send_content(self.explorer.photographs[image].view(), "image/jpeg")
            return
        try:
            part = [int(number) for number in query["part"].split(",")] if "part" in query else None
        except ValueError:
            raise EditError("the part is not x,y,width,height; give four whole numbers") from None
        self._send_png(self.explorer.original(image, None if part is None else tuple(part), path[1:3]))

    def _open(self) -> None:
        name = unquote(self.headers.get(self.ASKED, ""))
        self.send_json(self.explorer.open(name, self.body(MOST_BYTES)).facts())

    def _make(self) -> None:
        made = self.explorer.make(self.json_body(_MOST_REQUEST))
        facts = {"caption": made.caption, "boxes": made.boxes, "seconds": made.seconds}
        self._send_png(made.png, {"X-Made": quote(json.dumps(facts))})

    def _save(self) -> None:
        self.send_json({"saved": str(self.explorer.save(self.json_body(_MOST_REQUEST)))})

    def _send_png(self, content: bytes, headers: Mapping[str, str] = {}) -> None:
        self.send_content(content, "image/png", headers=headers)
