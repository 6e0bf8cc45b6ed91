"""The page of srbench vote in a real browser, served and offline: keys alone, phone, reload, two raters, and back."""

from __future__ import annotations

import base64
import json
import re
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from builders import serving
from PIL import Image

from srbench.images.io import write_png
from srbench.run_folder.folder import RunFolder
from srbench.voting.ballot import ballot, open_candidates
from srbench.voting.page import export
from srbench.voting.poll import Poll
from srbench.voting.records import Vote, add_votes, read_votes
from srbench.voting.server import open_poll

READY = "#vote:not(.waiting) button[data-choice=left]:enabled"


@contextmanager
def poll_of(run, **options):
    with serving(open_poll(Poll(open_candidates(run, **options), 4, 0), 0)) as server:
        yield server.address


@pytest.fixture
def opened(browser):
    """Opens an address in a browser of its own: opened(address, **options) -> page; nothing may complain."""
    complaints, contexts = [], []

    def call(address, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.goto(address)
        return page

    yield call
    for context in contexts:
        context.close()
    assert complaints == []


def place(page):
    return page.locator("#place").inner_text()


def wait_for(page, text):
    page.wait_for_function("(text) => document.getElementById('place').textContent === text", arg=text)


def begin(page, name):
    page.locator("#name").fill(name)
    page.keyboard.press("Enter")
    page.wait_for_selector(READY)


def test_a_ballot_by_keys_alone(voted_run, opened):
    run = voted_run(images=4)
    with poll_of(run) as address:
        page = opened(address)
        assert page.evaluate("document.activeElement.id") == "name"
        page.keyboard.type("Ann  Lee")
        page.keyboard.press("Enter")
        page.wait_for_selector(READY)
        assert place(page) == "1 of 5"
        for number, key in enumerate(["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft"], 2):
            page.keyboard.press(key)
            wait_for(page, f"{number} of 5")
            page.wait_for_selector(READY)
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#end:not([hidden])")
        page.close()  # images may still be on their way
    votes = read_votes(run)
    assert [vote.choice for vote in votes] == ["left", "right", "neither", "left", "right"]
    assert {vote.rater for vote in votes} == {"Ann Lee"}
    assert [vote.question for vote in votes] == ballot(open_candidates(run), "Ann Lee", 4)


def test_the_page_is_blind_and_shows_the_images_of_the_question(voted_run, opened, draw_image):
    run = voted_run(images=4)
    with poll_of(run) as address:
        page = opened(address)
        seen = []
        page.on("response", lambda answer: seen.append(answer.url + (answer.text() if "next" in answer.url else "")))
        begin(page, "ann")
        question = ballot(open_candidates(run), "ann", 4)[0]
        for side in ("left", "right"):
            colour = page.evaluate(
                """(side) => {
                const canvas = document.createElement("canvas");
                const image = document.getElementById(side);
                [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
                canvas.getContext("2d").drawImage(image, 0, 0);
                return [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data];
            }""",
                side,
            )
            names = ["best", "good", "fair", "weak", "worst"]
            shown = getattr(question, side).name
            assert colour[0] == {"hr": 20, "lr": 20}.get(shown, 40 + 30 * names.index(shown) if shown in names else 0)
        text = page.content() + "".join(seen)
        assert not re.search("best|fair|weak|worst|obvious|repeat", text)
        page.close()  # images may still be on their way


def test_the_same_window_in_all_images_and_the_reference_in_their_place(voted_run, opened, draw_image):
    run = voted_run(images=4)
    with poll_of(run) as address:
        page = opened(address, viewport={"width": 720, "height": 900})
        begin(page, "ann")

        def windows():
            return page.locator(".frame img").evaluate_all(
                """(images) => images.map((image) => {
                    const [one, frame] = [image, image.parentElement].map((part) => part.getBoundingClientRect());
                    return [one.width, one.height, one.x - frame.x, one.y - frame.y].map(Math.round);
                })"""
            )

        before = windows()
        assert before[0] == before[1] == before[2]
        page.keyboard.press("+")
        page.keyboard.press("+")
        page.keyboard.press("Shift+ArrowRight")
        after = windows()
        assert after[0] == after[1] == after[2]
        assert after[0] != before[0]
        assert place(page) == "1 of 5", "moving is no vote"
        own = page.locator("#left").get_attribute("src")
        page.keyboard.down("r")
        assert page.locator("#left").get_attribute("src") == page.locator("#reference").get_attribute("src")
        page.keyboard.up("r")
        assert page.locator("#left").get_attribute("src") == own
        page.close()  # images may still be on their way


def test_a_reload_loses_nothing_and_two_raters_vote_at_once(voted_run, opened):
    run = voted_run(images=4)
    with poll_of(run) as address:
        ann, bob = opened(address), opened(address)
        begin(ann, "ann")
        begin(bob, "bob")
        for number in (2, 3):
            for page in (ann, bob):
                page.locator("[data-choice=left]").click()
            for page in (ann, bob):
                wait_for(page, f"{number} of 5")
                page.wait_for_selector(READY)
        ann.reload()
        ann.wait_for_selector(READY)
        assert place(ann) == "3 of 5"
        assert ann.locator("#who").inner_text() == "ann"
        ann.close()  # images may still be on their way
        bob.close()  # images may still be on their way
    with poll_of(run) as address:  # another day
        again = opened(address)
        begin(again, "ann")
        assert place(again) == "3 of 5"
        again.close()  # images may still be on their way
    assert sorted(vote.rater for vote in read_votes(run)) == ["ann", "ann", "bob", "bob"]


def test_a_server_that_ended_keeps_the_choice_open(voted_run, browser):
    run = voted_run(images=4)
    with poll_of(run) as address:
        page = browser.new_page()
        page.goto(address)
        begin(page, "ann")
    page.locator("[data-choice=left]").click()
    page.wait_for_selector("#message:not([hidden])")
    assert "Not saved: srbench does not answer" in page.locator("#message").inner_text()
    assert page.locator("[data-choice=left]").is_enabled()
    page.close()


def test_a_phone_and_lr_as_reference(voted_run, opened):
    run = voted_run(images=4)
    with poll_of(run, reference="lr") as address:
        page = opened(address, viewport={"width": 400, "height": 850}, has_touch=True, is_mobile=True)
        begin(page, "ann")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert "high-resolution version of the reference" in page.locator("#question").inner_text()
        boxes = [page.locator(f"[data-choice={choice}]").bounding_box() for choice in ("left", "neither", "right")]
        assert all(box["height"] >= 44 and box["y"] + box["height"] <= 850 for box in boxes)
        page.locator("[data-choice=right]").tap()
        wait_for(page, "2 of 5")
        page.close()  # images may still be on their way
    assert read_votes(run)[0].question.reference == "lr"


def test_an_offline_page_and_back(voted_run, opened, tmp_path, command):
    run = voted_run(images=4)
    file = tmp_path / "vote.html"
    left = command("vote", run, "--export", file, "--votes", 4)
    assert left.code == 0, left.err
    page = opened(file.as_uri())
    begin(page, "ann")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "2 of 5")
    page.reload()
    page.wait_for_selector(READY)
    assert place(page) == "2 of 5"
    for number in range(3, 6):
        page.keyboard.press("ArrowRight")
        wait_for(page, f"{number} of 5")
        page.wait_for_selector(READY)
    page.locator("#leave").click()
    begin(page, "bob")
    page.keyboard.press("ArrowDown")
    wait_for(page, "2 of 5")
    with page.expect_download() as download:
        page.locator("#save").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "votes-ann-bob.json"
    left = command("vote", run, "--add", saved)
    assert (left.code, left.out) == (0, f"{saved}: 5 votes added\n")
    assert [(vote.rater, vote.choice) for vote in read_votes(run)] == [
        ("ann", "left"),
        ("ann", "right"),
        ("ann", "right"),
        ("ann", "right"),
        ("bob", "neither"),
    ]
    assert command("vote", run, "--add", saved).out == f"{saved}: 0 votes added, 5 were there already\n"
    assert "exists; choose another name" in command("vote", run, "--export", file).err


def test_saved_votes_of_another_run_and_damaged_ones_are_refused(voted_run, greys, tmp_path, command):
    run = voted_run(images=4)
    saved = tmp_path / "votes.json"
    question = {
        "kind": "vote",
        "image": "i0",
        "reference": "hr",
        "window": [0, 0, 24, 24],
        "left": {"name": "best", "pixels": "0" * 64},
        "right": {"name": "good", "pixels": "1" * 64},
    }
    vote = {"rater": "ann", "at": "2026-01-01T00:00:00+00:00", "question": question, "choice": "left"}
    for content, words in (
        ({"format": 1, "votes": [vote]}, "is not the image of this run"),
        ({"format": 2, "votes": [vote]}, "its format is not 1"),
        ({"format": 1, "votes": [vote | {"choice": "both"}]}, "not the votes of an offline page"),
        ({"format": 1, "votes": [vote | {"rater": ""}]}, "cannot be the name of a rater"),
        ({"format": 1, "votes": [vote | {"at": "now"}]}, "Invalid isoformat"),
        ([], "its format is not 1"),
    ):
        saved.write_text(json.dumps(content))
        left = command("vote", run, "--add", saved)
        assert left.code == 1
        assert words in left.err
    assert not (run / "votes.jsonl").exists()
    assert "no such" in command("vote", run, "--add", tmp_path / "none").err.lower()


def test_exported_images_are_exact(voted_run, draw_image, tmp_path):
    run = voted_run(images=2)
    export(open_candidates(run), tmp_path / "vote.html", 2)
    contents = json.loads(re.search(r'application/json">(.*?)</script>', (tmp_path / "vote.html").read_text())[1])
    first = contents["questions"][0]
    shown = Image.open(BytesIO(base64.b64decode(contents["images"][first["images"]["left"]].split(",")[1])))
    name = first["question"]["left"]["name"]
    file = run / "images" / name / f"{first['question']['image']}.png"
    assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(Image.open(file).convert("RGB")))


def test_a_changed_image_is_not_shown(voted_run, browser, draw_image):
    run = voted_run(images=4)
    with poll_of(run) as address:
        for file in (run / "images" / "hr").iterdir():
            write_png(file, draw_image(0, 24, 24))
        page = browser.new_page()
        page.goto(address)
        page.locator("#name").fill("ann")
        page.keyboard.press("Enter")
        page.wait_for_selector("#message:not([hidden])")
        assert "does not match its record" in page.locator("#message").inner_text()
        assert page.locator("[data-choice=left]").is_disabled()
        page.close()


def test_votes_that_others_add_meanwhile_are_seen(voted_run, ballots):
    run = voted_run(images=4)
    poll = Poll(open_candidates(run), 4, 0)
    assert poll.next("rater 0")["done"] == 0
    asked = ballots(run, 1, 4)["rater 0"]
    add_votes(RunFolder.read(run), [Vote("rater 0", "2026-01-01T00:00:00+00:00", asked[0], "left")])
    assert poll.next("rater 0")["done"] == 1
