"""The local server of ``srbench vote``: its page, questions, images and votes."""

from __future__ import annotations

from importlib.resources import files

from srbench.pages.server import LocalServer, PageRequestHandler, open_server, serve
from srbench.voting.poll import Poll

_FILES = {
    "/": ("vote.html", "text/html"),
    "/vote.js": ("vote.js", "text/javascript"),
    "/vote.css": ("vote.css", "text/css"),
}
"""File and media type by address."""
LARGEST_ANSWER = 4096
"""Largest size of a posted answer in bytes."""


def vote(poll: Poll, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C. Port 0 takes any free port. Raises SRBenchError if the port cannot be used."""
    server = open_poll(poll, port)
    serve(server, f"voting at {server.address} (only reachable from this machine; Ctrl-C ends)", browser=browser)


def open_poll(poll: Poll, port: int = 0) -> LocalServer:
    """Open the server of a poll. Raises SRBenchError if the port cannot be used."""
    return open_server(port, type("Handler", (_VoteHandler,), {"poll": poll}))


class _VoteHandler(PageRequestHandler):
    poll: Poll
    policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"

    def do_GET(self) -> None:  # noqa: N802 - the name http.server requires
        """Serve the page and its files, the next question of a rater, and the images of a question."""
        path, query = self.address()
        rater, question, side = (query.get(name, "") for name in ("rater", "question", "side"))
        if path in _FILES:
            name, kind = _FILES[path]
            content = (files("srbench.voting") / "templates" / name).read_bytes()
            self.send_content(content, f"{kind}; charset=utf-8")
        elif path == "/next":
            self.answer(lambda: self.send_json(self.poll.next(rater)))
        elif path == "/image":
            self.answer(lambda: self.send_content(self.poll.image(rater, question, side), "image/png"))
        else:
            self.send_missing()

    def do_POST(self) -> None:  # noqa: N802 - the name http.server requires
        """Record the rater, question and choice posted to ``/vote`` as JSON, and send the next question."""
        if not self.may_post():
            return
        if self.path == "/vote":
            self.answer(self._vote)
        else:
            self.send_missing()

    def _vote(self) -> None:
        body = self.json_body(LARGEST_ANSWER)
        rater, question, choice = (str(body.get(name, "")) for name in ("rater", "question", "choice"))
        self.poll.answer(rater, question, choice)
        self.send_json(self.poll.next(rater))
