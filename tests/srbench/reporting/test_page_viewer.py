"""The page of a run in a browser: side by side, zoom to pixels, full screen, maps, worst images, paper."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

BESIDE = "#image=one&a=Nearest&b=Corner"
BESIDE_FRAMES = "#beside figure:not([hidden]) .layer img"


@pytest.fixture
def compare(open_page, corner):
    """The page of two models, with the image "one"."""

    def call(address=BESIDE, **options):
        return open_page(address, corner / "run" / "report" / "report.html", **options)

    return call


def scale(page):
    return page.evaluate("document.getElementById('scale').value")


def test_up_to_four_stand_side_by_side_and_move_as_one(compare, shown_windows):
    page = compare()
    page.keyboard.press("s")
    assert page.locator("#side-by-side").get_attribute("aria-pressed") == "true"
    assert page.locator("#stage").is_hidden()
    captions = page.locator("#beside figcaption:visible").all_inner_texts()
    assert [re.sub(r" [\d.]+$", "", text) for text in captions] == ["A Nearest, PSNR", "B Corner, PSNR", "C HR"]
    page.locator("#select-d").select_option(label="LR")
    assert page.locator("#beside figure:visible").count() == 4
    page.locator("#zoom-in").click()
    page.locator("#zoom-in").click()
    second = page.locator("#beside .b .frame").bounding_box()
    page.mouse.move(second["x"] + 100, second["y"] + 100)
    page.mouse.down()
    page.mouse.move(second["x"] + 40, second["y"] + 60, steps=3)
    page.mouse.up()
    windows = shown_windows(page, BESIDE_FRAMES)
    assert len(windows) == 4
    for window in windows[1:]:
        assert window == pytest.approx(windows[0], abs=2e-3)
    assert windows[0][2] < 0.6
    assert page.locator("#beside .a .layer img").get_attribute("src") == "images/Nearest/one.png"
    page.locator("#select-d").select_option("")
    page.wait_for_timeout(250)
    link = unquote(page.evaluate("location.hash"))
    assert link.endswith("&beside=1&c=hr")
    other = compare(link)
    assert other.locator("#beside figure:visible").count() == 3
    assert shown_windows(other, BESIDE_FRAMES)[0] == pytest.approx(windows[0], abs=2e-3)
    other.keyboard.press("f")
    assert other.locator("#stage").is_visible(), "flicker needs one place"
    other.keyboard.press("f")


def test_a_pixel_is_shown_on_one_two_or_four_of_the_screen(compare):
    for options in ({}, {"device_scale_factor": 2}):
        page = compare(**options)
        for count, button in ((1, "1:1"), (2, "2×"), (4, "4×")):
            page.locator(".zoom button", has_text=re.compile(f"^{button}$")).click()
            assert scale(page) == f"{count}×"
            width = page.locator("#image-a").evaluate(
                "(image) => image.getBoundingClientRect().width * devicePixelRatio"
            )
            assert width == pytest.approx(count * 240, abs=0.5)
        page.locator("#fit").click()
        page.keyboard.press("s")
        page.locator("[data-pixel='2']").click()
        assert page.locator("#beside .a .layer img").evaluate(
            "(image) => image.getBoundingClientRect().width * devicePixelRatio"
        ) == pytest.approx(480, abs=0.5)


def test_the_wheel_zooms_after_a_click_and_scrolls_the_page_before_and_after(compare):
    page = compare()
    stage = page.locator("#stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    before = scale(page)
    page.mouse.wheel(0, -40)
    page.wait_for_timeout(100)
    assert scale(page) == before
    page.mouse.click(box["x"] + 50, box["y"] + 50)
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    top = page.evaluate("scrollY")
    page.mouse.wheel(0, -300)
    page.wait_for_function("(before) => document.getElementById('scale').value !== before", arg=before)
    assert page.evaluate("scrollY") == top
    inside = scale(page)
    page.keyboard.press("Escape")
    page.mouse.wheel(0, 50)
    page.wait_for_function("(top) => scrollY !== top", arg=top)
    assert scale(page) == inside
    page.mouse.click(box["x"] + 50, box["y"])
    page.locator("#name").click()
    assert page.locator(".entered").count() == 0, "a click elsewhere ends it"


def test_full_screen_shows_the_comparison_alone(compare):
    page = compare()
    page.keyboard.press("Shift+F")
    page.wait_for_function("() => document.fullscreenElement?.className.includes('viewer')")
    assert page.locator("#list").is_hidden()
    box = page.locator("#stage").bounding_box()
    assert box["height"] + box["y"] <= page.evaluate("innerHeight")
    page.locator("#full-screen").click()
    page.wait_for_function("() => document.fullscreenElement === null")
    assert page.locator("#list").is_visible()


def test_what_has_no_map_is_grey_and_said(open_page):
    page = open_page("#image=apple&a=hr&b=Noisy-t0.8_2")
    page.keyboard.press("m")
    assert page.locator(".tag.b").inner_text() == "Noisy τ=0.8 #2: no map"
    assert "no-map" in page.locator("#image-b").get_attribute("class")
    assert "no-map" not in page.locator("#image-a").get_attribute("class"), "HR is what maps are looked at beside"
    assert page.locator("#map option:disabled").count() == 0
    page.locator("#map").select_option("")
    assert page.locator(".no-map").count() == 0


def test_the_worst_images_of_a_model(open_page):
    page = open_page()
    page.locator("#worst-of").select_option(label="Noisy τ=0.8")
    page.locator("#worst").select_option("1")
    names = page.locator("#per-image tbody th").all_inner_texts()
    values = [float(text) for text in page.locator("#per-image tbody tr td:last-child").all_text_contents()]
    assert values == sorted(values), "PSNR: the worst first"
    assert page.locator("#list li:visible").all_inner_texts() == names[:1]
    assert page.locator("#per-image tbody tr:visible").count() == 1
    assert page.locator("#found").inner_text() == "1 of 3"
    assert page.locator("#name").inner_text() == names[0], "it is shown"
    page.wait_for_timeout(250)
    link = unquote(page.evaluate("location.hash"))
    assert link.endswith("&worst=1&of=Noisy+τ=0.8")
    other = open_page(link)
    assert other.locator("#list li:visible").all_inner_texts() == names[:1]
    other.locator("select.metric").first.select_option(label="sigma")
    assert other.locator("#worst").is_disabled(), "nothing is worse"
    assert other.locator("#list li:visible").count() == 3


def test_bars_show_values(open_page):
    page = open_page()
    bars = page.locator("#per-image td").evaluate_all(
        "(cells) => cells.map((cell) => [cell.dataset.value, cell.style.getPropertyValue('--bar')].map(Number))"
    )
    values, shares = np.array(bars).T
    assert shares == pytest.approx((values - values.min()) / (values.max() - values.min()), abs=1e-3)


def test_side_by_side_takes_the_width_of_the_page(compare):
    page = compare(viewport={"width": 1440, "height": 900})
    page.keyboard.press("s")
    boxes = [page.locator(f"#beside .{side} .frame").bounding_box() for side in "abc"]
    assert [box["y"] for box in boxes] == [boxes[0]["y"]] * 3
    assert min(box["width"] for box in boxes) > 410
    page.locator("#select-d").select_option(label="LR")
    rows = [page.locator(f"#beside .{side} .frame").bounding_box() for side in "abcd"]
    assert rows[0]["y"] == rows[1]["y"] < rows[2]["y"] == rows[3]["y"], "images of 3:2 are larger in two rows"
    assert rows[3]["y"] + rows[3]["height"] - rows[0]["y"] < 900 - 150, "and all are seen at once"


def test_new_controls_fit_a_phone(compare):
    page = compare(viewport={"width": 400, "height": 850})
    page.keyboard.press("s")
    assert page.locator("#beside figure:visible").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_paper_shows_all_of_it_in_light_colours(compare, tmp_path):
    page = compare("", color_scheme="dark")
    page.locator("summary", has_text="manifest").click()
    (tmp_path / "page.pdf").write_bytes(page.pdf(print_background=True))
    assert page.locator("details.manifest[open]").count() == 1
    assert page.locator("details[data-unfolded]").count() == 0, "folded as before"
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext to read it with")
    text = subprocess.run(["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True).stdout
    for words in ("Corner", "Nearest", "LPIPS", "Provenance", "Time and memory"):
        assert words in text
    assert "Side by side" not in text
    subprocess.run(
        ["pdftoppm", "-r", "30", "-png", "-f", "1", "-l", "1", tmp_path / "page.pdf", tmp_path / "p"], check=True
    )
    with Image.open(io.BytesIO(next(tmp_path.glob("p-*.png")).read_bytes())) as sheet:
        assert np.asarray(sheet.convert("L")).mean() > 200


def test_every_control_of_the_comparison_is_reached_and_worked_by_keys_alone(compare):
    page = compare("")
    page.keyboard.press("s")

    def tab_to(selector):
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab never reached {selector}")

    tab_to("#worst")
    page.keyboard.press("End")
    tab_to("#worst-of")
    tab_to("#select-c")
    tab_to("#select-d")
    page.keyboard.press("ArrowDown")
    tab_to("#side-by-side")
    for count in (1, 2, 4):
        tab_to(f"[data-pixel='{count}']")
        page.keyboard.press("Enter")
        assert scale(page) == f"{count}×"
    tab_to("#full-screen")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.fullscreenElement !== null")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.fullscreenElement === null")
    assert page.locator("#found").inner_text() == "1 of 2"
    assert page.locator("#beside figure:visible").count() == 4
