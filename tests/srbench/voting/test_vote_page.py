"""The page of srbench vote in a real browser, from the disk and from a server:
keys, buttons, zoom, a reload, the file."""

from __future__ import annotations

import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from builders import serving

from srbench.voting.records import read_votes
from srbench.voting.study import open_study, turns

pytestmark = pytest.mark.slow

READY = "#vote:not(.waiting):not([hidden])"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(params=["file", "http"])
def address(request, run, command):
    """The page of a study of four questions."""
    command("vote", run, "--votes", 4, "--out", "study")
    folder = run.parent / "study"
    if request.param == "file":
        yield f"file://{folder}/index.html"
    else:
        with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))) as server:
            yield f"http://127.0.0.1:{server.server_port}/"


def test_a_ballot_from_the_page_to_the_tally(address, run, browser, command):
    context = browser.new_context(viewport={"width": 400, "height": 900})
    page, complaints, seen = context.new_page(), [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("request", lambda request: seen.append(request.url))

    def wait_for(place):
        page.locator(f"#place:text-is('{place}')").wait_for()
        page.wait_for_selector(READY)

    def boxes():
        return page.locator(".frame img").evaluate_all(
            """(images) => images.map((image) => {
                const [one, frame] = [image, image.parentElement].map((part) => part.getBoundingClientRect());
                return [one.width, one.height, one.x - frame.x, one.y - frame.y].map(Math.round).join();
            })"""
        )

    def save(button):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        file = run.parent / download.value.suggested_filename
        download.value.save_as(file)
        return file

    page.goto(address)
    page.keyboard.press("Enter")
    wait_for("1 of 4")
    before = boxes()
    for key in ("+", "+", "+", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert len({*before}) == len({*boxes()}) == 1, "the same window in all images"
    assert before != boxes()
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.keyboard.press("ArrowLeft")
    wait_for("2 of 4")
    page.reload()
    wait_for("2 of 4")
    page.locator("[data-choice=neither]").click()
    wait_for("3 of 4")
    assert page.evaluate("document.activeElement.dataset.choice") == "neither", "the focus stays"
    assert len(save("Save votes so far").read_text().splitlines()) == 2
    page.keyboard.press("ArrowRight")
    wait_for("4 of 4")
    assert not re.search(r"\b(best|fair|worst|i\d+)\b", page.content() + " ".join(seen)), "blind"
    page.keyboard.press("ArrowDown")
    file = save(re.compile("Save votes-"))
    rater = json.loads(file.read_text().splitlines()[0])["rater"]
    assert file.name == f"votes-{rater}.jsonl"
    page.get_by_role("button", name="vote in this browser").click()
    page.wait_for_selector("#start:not([hidden])")
    assert page.evaluate("kept.rater") != rater
    assert complaints == []
    assert {url.partition(":")[0] for url in seen} <= {address.partition(":")[0], "data", "blob"}
    context.close()
    assert command("vote", run, "--add", file).out == f"{file}: 4 votes added\n"
    assert [vote.choice for vote in read_votes(run)] == ["left", "neither", "right", "neither"]
    left = command("vote", run, "--tally")
    assert left.code == 0
    assert "4 votes of 1 rater" in left.out
    assert '2 of 4 votes are "cannot tell".' in left.out


def test_raters_have_their_own_order_and_sides_of_equally_many_pairs(address, run, browser):
    study, page = open_study(run), browser.new_page()
    page.goto(address)
    page.evaluate("study.votes = 36")
    orders = [page.evaluate(f"draw('{number:016x}')") for number in range(50)]
    asked = {frozenset(names) for turn in turns(study) for names in turn}
    assert all({*map(frozenset, order)} == asked and len(order) == 36 for order in orders)
    assert len({json.dumps(order) for order in orders}) == 50
    questions = [[study.question(tuple(names)) for names in order] for order in orders]
    for order in questions:
        pairs = [frozenset((question.left.name, question.right.name)) for question in order]
        assert all(len({*pairs[start : start + 3]}) == 3 for start in range(0, 36, 3)), "every pair in every turn"
    lefts = [question.left.name for order in questions for question in order].count("best")
    assert 500 < lefts < 700, "of 1200"
    firsts = [order[0].image for order in questions]
    assert len({*firsts}) > 6
    page.close()


def test_a_damaged_store_is_a_new_rater(address, browser):
    context = browser.new_context()
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    rater = '{"rater": "0123456789abcdef", "answers": '
    for kept in ("", "{", "null", "[]", '{"rater": "<b>", "answers": {}}', f"{rater}null}}", f"{rater}7}}"):
        page.evaluate("(text) => localStorage.setItem(STORE, text)", kept)
        page.reload()
        page.keyboard.press("Enter")
        page.wait_for_selector(READY)
        assert re.fullmatch("[0-9a-f]{16}", page.evaluate("kept.rater"))
    assert complaints == []
    context.close()


def test_a_missing_image_and_a_browser_that_keeps_nothing_are_said(address, browser, run):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    page.goto(address)
    page.keyboard.press("Enter")
    page.wait_for_selector(READY)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#message:not([hidden])")
    assert "keeps nothing: leave the page open" in page.locator("#message").inner_text()
    for image in (run.parent / "study" / "images").iterdir():
        image.unlink()
    page.reload()
    page.keyboard.press("Enter")
    page.locator("#message", has_text="An image is missing").wait_for()
    context.close()
