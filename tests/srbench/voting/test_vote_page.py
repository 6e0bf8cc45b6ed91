"""srbench vote in a real browser: a ballot by keys and buttons, moved and zoomed images, a reload, and the result."""

from __future__ import annotations

import re

import pytest
from builders import serving

from srbench.voting.ballot import ballot, open_candidates
from srbench.voting.poll import Poll
from srbench.voting.records import read_votes
from srbench.voting.server import open_poll

pytestmark = pytest.mark.slow

READY = "#vote:not(.waiting)"


def test_a_ballot_from_the_name_to_the_tally(run, browser, command):
    page, complaints, seen = browser.new_page(viewport={"width": 720, "height": 900}), [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("response", lambda answer: seen.append(answer.url))

    def wait_for(place):
        page.wait_for_function("(text) => document.getElementById('place').textContent === text", arg=place)
        page.wait_for_selector(READY)

    def boxes():
        return page.locator(".frame img").evaluate_all(
            """(images) => images.map((image) => {
                const [one, frame] = [image, image.parentElement].map((part) => part.getBoundingClientRect());
                return [one.width, one.height, one.x - frame.x, one.y - frame.y].map(Math.round).join();
            })"""
        )

    with serving(open_poll(Poll(open_candidates(run), 4, 0))) as server:
        page.goto(server.address)
        page.keyboard.type("Ann  Lee")
        page.keyboard.press("Enter")
        wait_for("1 of 4")
        before = boxes()
        for key in ("+", "Shift+ArrowRight"):
            page.keyboard.press(key)
        assert len({*before}) == len({*boxes()}) == 1, "the same window in all images"
        assert before != boxes()
        page.keyboard.press("ArrowLeft")
        wait_for("2 of 4")
        page.reload()
        wait_for("2 of 4")
        page.locator("[data-choice=neither]").click()
        wait_for("3 of 4")
        assert page.evaluate("document.activeElement.dataset.choice") == "neither", "the focus stays"
        page.keyboard.press("ArrowRight")
        wait_for("4 of 4")
        assert not re.search("best|fair|worst", page.content() + " ".join(seen)), "blind"
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#message:not([hidden])")
    assert "Not saved: srbench does not answer" in page.locator("#message").inner_text()
    assert any("ERR_CONNECTION_REFUSED" in text for text in complaints)
    complaints.clear()
    with serving(open_poll(Poll(open_candidates(run), 4, 0), server.server_port)):
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#end:not([hidden])")
        page.close()
    assert complaints == []
    votes = read_votes(run)
    assert [vote.choice for vote in votes] == ["left", "neither", "right", "neither"]
    assert [vote.question for vote in votes] == ballot(open_candidates(run), "Ann Lee", 4, 0)
    left = command("vote", run, "--tally")
    assert left.code == 0
    assert "4 votes of 1 rater" in left.out
    assert '2 of 4 votes are "cannot tell".' in left.out
