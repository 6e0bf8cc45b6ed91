"""The page of ``srbench vote``: a server of its files, of images, and of the questions and votes of raters."""

from __future__ import annotations

from importlib.resources import files

from srbench.pages.server import HOST, LocalServer, PageRequestHandler, open_server, serve
from srbench.voting.page import online_page
from srbench.voting.poll import Poll

_FILES = {
    "/online.js": "text/javascript",
    "/vote.js": "text/javascript",
    "/vote.css": "text/css",
}
"""Address and kind of the files beside the page."""
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


class _Handler(PageRequestHandler):
    poll: Poll
    policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        """Serve the page and its files, the next question of a rater, and the images of a question."""
        path, given = self.address()
        rater = given.get("rater", "")
        if path == "/":
            self.send_content(online_page().encode(), "text/html; charset=utf-8")
        elif path in _FILES:
            content = (files("srbench.voting") / "templates" / path[1:]).read_bytes()
            self.send_content(content, f"{_FILES[path]}; charset=utf-8")
        elif path == "/next":
            self.answer(lambda: self.send_json(self.poll.next(rater)))
        elif path == "/image":
            question, side = given.get("question", ""), given.get("side", "")
            self.answer(lambda: self.send_content(self.poll.image(rater, question, side), "image/png"))
        else:
            self.send_missing()

    def do_POST(self) -> None:  # noqa: N802
        """``/vote`` takes rater, question and choice as JSON, and returns the next question."""
        if not self.may_post():
            return
        if self.path != "/vote":
            self.send_missing()
        else:
            self.answer(self._vote)

    def _vote(self) -> None:
        given = self.json_body(MOST_BYTES)
        rater, question, choice = (str(given.get(name, "")) for name in ("rater", "question", "choice"))
        self.poll.answer(rater, question, choice)
        self.send_json(self.poll.next(rater))
