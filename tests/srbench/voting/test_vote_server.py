"""Servers of votes refuse what no page of theirs asks: other hosts, origins, sizes and paths, and lack of the token."""

from __future__ import annotations

import http.client
import json
import threading

import pytest
from builders import serving

from srbench.interfaces import SRBenchError
from srbench.pages.server import HOST
from srbench.voting.ballot import open_candidates
from srbench.voting.poll import Poll
from srbench.voting.records import read_votes
from srbench.voting.server import MOST_BYTES, open_poll


class Site:
    """A poll that is served."""

    def __init__(self, run, server):
        self.run, self.server = run, server

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(HOST, self.server.server_port, timeout=10)
        connection.request(method, path, body, {"X-Srbench": "vote"} | headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer

    def vote(self, **changes):
        question = json.loads(self.ask("GET", "/next?rater=ann")[1])["id"]
        return json.dumps({"rater": "ann", "question": question, "choice": "left"} | changes)


@pytest.fixture
def site(request, voted_run):
    run = voted_run(images=4)
    with serving(open_poll(Poll(open_candidates(run), 4, 0), 0, getattr(request, "param", HOST))) as server:
        yield Site(run, server)


def test_what_the_server_refuses(site):
    fine = site.vote()
    port = site.server.server_port
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": f"http://{HOST}:1"}):
        assert site.ask("POST", "/vote", fine, **headers)[0] == 403
        assert site.ask("GET", "/", **headers)[0] == 403
    connection = http.client.HTTPConnection(HOST, port)
    connection.request("POST", "/vote", fine)  # as a form of another page could
    assert connection.getresponse().status == 403
    for path in ("/../pyproject.toml", "/vote.css/../page.py", "/votes.jsonl", "/images/hr/i0.png", "/vote"):
        assert site.ask("GET", path)[0] == 404, path
    assert site.ask("POST", "/next", fine)[0] == 404
    for body, words in (
        ("{", "invalid JSON"),
        ("[]", "not a choice"),
        (site.vote(choice="both"), "'both' is not a choice"),
        (site.vote(rater=""), "cannot be the name of a rater"),
        (site.vote(rater="x" * 61), "cannot be the name of a rater"),
        (site.vote(question="0"), "does not belong to this rater"),
        (site.vote(rater="bob"), "does not belong to this rater"),
        (" " * (MOST_BYTES + 1), "at most 4096 are taken"),
        (b"\xff", "invalid JSON"),
    ):
        status, answer, _ = site.ask("POST", "/vote", body)
        assert status == 400, body
        assert words in json.loads(answer)["error"]
    assert site.ask("GET", "/image?rater=ann&question=0&side=left")[0] == 400
    assert site.ask("GET", f"/image?rater=ann&question={json.loads(fine)['question']}&side=back")[0] == 400
    assert site.ask("GET", "/next?rater=%00")[0] == 400
    assert site.ask("GET", "/next?" + "&".join(["rater=a"] * 9))[0] == 404
    assert read_votes(site.run) == []


def test_a_vote_twice_counts_once(site):
    fine = site.vote()
    assert json.loads(site.ask("POST", "/vote", fine)[1])["done"] == 1
    assert json.loads(site.ask("POST", "/vote", fine.replace("left", "right"))[1])["done"] == 1
    assert [vote.choice for vote in read_votes(site.run)] == ["left"]


def test_many_raters_at_once_lose_no_vote(site):
    def rate(name):
        for _ in range(3):
            question = json.loads(site.ask("GET", f"/next?rater={name}")[1])["id"]
            body = json.dumps({"rater": name, "question": question, "choice": "right"})
            assert site.ask("POST", "/vote", body)[0] == 200

    threads = [threading.Thread(target=rate, args=(f"rater{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_votes(site.run)) == 18


@pytest.mark.parametrize("site", ["0.0.0.0"], indirect=True)
def test_another_host_asks_for_the_token(site):
    token, port = site.server.token, site.server.server_port
    assert len(token) >= 20
    assert site.server.address.endswith(f":{port}/?token={token}")
    for path in ("/", "/next?rater=ann", "/vote.js", "/?token=wrong", "/next?rater=ann&token="):
        assert site.ask("GET", path)[0] == 403, path
    for cookie in ("", f"srbench-{port}=wrong", f"srbench={token}", "\x01=;"):
        assert site.ask("GET", "/next?rater=ann", Cookie=cookie)[0] == 403
    assert site.ask("POST", f"/vote?token={token}", "{}")[0] == 403
    status, _, answer = site.ask("GET", f"/?token={token}")
    assert (status, answer.getheader("Location")) == (303, "/")
    cookie = answer.getheader("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    carried = {"Cookie": cookie.partition(";")[0]}
    assert site.ask("GET", "/next?rater=ann", **carried)[0] == 200
    assert site.ask("GET", "/next?rater=ann", Host="lab.example:1", **carried)[0] == 200, "by whatever name"
    assert site.ask("GET", "/next?rater=ann", Origin="http://evil.example", **carried)[0] == 403


def test_this_machine_alone_needs_no_token_and_foreign_addresses_are_refused(voted_run):
    run = voted_run(images=4)
    poll = Poll(open_candidates(run), 4, 0)
    with open_poll(poll, 0) as server:
        assert server.token == ""
        assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(SRBenchError, match=r"203\.0\.113\.9 with port 0 cannot be used"):
        open_poll(poll, 0, "203.0.113.9")
