"""The server of votes: a round trip with several raters at once, and what it refuses."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from builders import serving
from PIL import Image

from srbench.images.io import write_png
from srbench.pages.server import HOST
from srbench.voting import VotingError
from srbench.voting.ballot import ballot, open_candidates
from srbench.voting.poll import Poll
from srbench.voting.records import Vote, read_votes
from srbench.voting.server import LARGEST_ANSWER, open_poll


class Site:
    """A poll of four questions that is served."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=300)
        connection.request(method, path, body, {"X-Srbench": "vote"} | headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def vote(self, rater="ann", **changes):
        question = json.loads(self.ask("GET", f"/next?rater={rater}")[1]).get("id")
        return json.dumps({"rater": rater, "question": question, "choice": "left"} | changes)


@pytest.fixture
def site(run):
    with serving(open_poll(Poll(open_candidates(run), 4, 0))) as server:
        yield Site(server.server_port)


def test_a_last_line_without_line_feed_is_completed_or_kept_beside(run, add_votes, capsys):
    votes = add_votes(run, 1, votes=3)
    file, torn = run / Vote.FILE, run / f"{Vote.FILE}.torn"
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))  # as an editor may save it
    Poll(open_candidates(run), 4, 0)
    assert read_votes(run) == votes
    assert not torn.exists()
    for rater in ("ann", "bob"):
        with file.open("a") as lines:
            lines.write(f'{{"rater": "{rater}')
        Poll(open_candidates(run), 4, 0)
        assert read_votes(run) == votes
        assert "votes.jsonl: its last line is torn; it is kept in votes.jsonl.torn" in capsys.readouterr().err
    assert torn.read_text() == '{"rater": "ann\n{"rater": "bob\n'


@pytest.mark.parametrize("has_votes", [False, True])
def test_a_run_that_cannot_be_written_is_refused_at_the_start(run, add_votes, monkeypatch, has_votes):
    if has_votes:
        add_votes(run, 1, votes=1)
    before, candidates = sorted(run.iterdir()), open_candidates(run)
    Poll(candidates, 4, 0)
    assert sorted(run.iterdir()) == before

    def refuse(*arguments, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("srbench.voting.records.TemporaryFile", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        VotingError, match=r"run: cannot take votes \(Read-only file system\); copy the run to a folder"
    ):
        Poll(candidates, 4, 0)


def test_raters_at_once_lose_no_vote_and_a_torn_line_counts_for_nothing(run):
    (run / Vote.FILE).write_text('{"rater": "torn')
    with serving(open_poll(Poll(open_candidates(run), 4, 0))) as server:
        site = Site(server.server_port)

        def rate(name):
            for _ in range(4):
                body = site.vote(name)
                assert site.ask("POST", "/vote", body)[0] == 200
                assert site.ask("POST", "/vote", body.replace("left", "right"))[0] == 200, "it does not count"

        threads = [threading.Thread(target=rate, args=(f"rater{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=300)
        assert json.loads(site.ask("GET", "/next?rater=rater0")[1]) == {"rater": "rater0", "done": 4, "of": 4}
    votes = read_votes(run)
    assert len(votes) == len((run / Vote.FILE).read_text().splitlines()) == 24
    assert {vote.choice for vote in votes} == {"left"}
    questions = [vote.question for vote in votes if vote.rater == "rater3"]
    assert questions == ballot(open_candidates(run), "rater3", 4, 0)


@pytest.mark.parametrize("reference", ["hr", "lr"])
def test_images_are_windows_of_those_of_the_question_and_nothing_names_them(run, reference, monkeypatch):
    monkeypatch.setattr("srbench.voting.ballot.LARGEST_WINDOW", 16)
    for folder, scale in (("hr", 1), ("lr", 4)):
        for file in (run / "images" / folder).iterdir():
            assert Image.open(file).size == (24 // scale, 24 // scale)
    candidates = open_candidates(run, reference=reference)
    question = ballot(candidates, "ann", 4, 0)[0]
    with serving(open_poll(Poll(candidates, 4, 0))) as server:
        site = Site(server.server_port)
        told = site.ask("GET", "/next?rater=ann")[1].decode()
        for side in ("left", "right", "reference"):
            content = site.ask("GET", f"/image?rater=ann&question={question.id}&side={side}")[1]
            name = getattr(question, side).name
            kept = np.asarray(Image.open(run / "images" / name / f"{question.image}.png").convert("RGB"))
            x, y, width, height = (number // (4 if name == "lr" else 1) for number in question.window)
            assert np.array_equal(np.asarray(Image.open(BytesIO(content))), kept[y : y + height, x : x + width])
    assert json.loads(told)["id"] == question.id
    assert not re.search("best|fair|worst|i[0-9]", told.replace(question.id, ""))


def test_a_changed_image_is_not_shown(run, site, draw_image):
    question = json.loads(site.vote())["question"]
    for file in (run / "images" / "hr").iterdir():
        write_png(file, draw_image(0, 24, 24))
    status, answer = site.ask("GET", f"/image?rater=ann&question={question}&side=reference")
    assert status == 400
    assert "does not match its record" in json.loads(answer)["error"]


def test_what_the_server_refuses(run, site):
    fine = site.vote()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": f"http://{HOST}:1"}):
        assert site.ask("POST", "/vote", fine, **headers)[0] == 403
        assert site.ask("GET", "/", **headers)[0] == 403
    connection = http.client.HTTPConnection(HOST, site.port, timeout=300)
    connection.request("POST", "/vote", fine)  # as a form of another page could
    assert connection.getresponse().status == 403
    for path in ("/../pyproject.toml", "/votes.jsonl", "/images/hr/i0.png", "/vote"):
        assert site.ask("GET", path)[0] == 404, path
    for body, words in (
        ("{", "invalid JSON"),
        ("[]", "not a choice"),
        (site.vote(choice="both"), "'both' is not a choice"),
        (site.vote(rater="x" * 61), "cannot be the name of a rater"),
        (site.vote(question="0"), "does not belong to this rater"),
        (fine.replace("ann", "bob"), "does not belong to this rater"),
        (" " * (LARGEST_ANSWER + 1), "at most 4096"),
    ):
        status, answer = site.ask("POST", "/vote", body)
        assert status == 400, body
        assert words in json.loads(answer)["error"]
    question = json.loads(fine)["question"]
    assert site.ask("GET", f"/image?rater=ann&question={question}&side=back")[0] == 400
    assert site.ask("GET", "/next?rater=%00")[0] == 400
    assert read_votes(run) == []
