"""The page of a run in a real browser, from the file system: ten things that a reader does."""

from __future__ import annotations

import io
import re
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from srbench.reporting.writers.report import write_report

pytestmark = pytest.mark.slow

WIDTH = "(image) => image.decode().then(() => image.naturalWidth)"
"""The width of an image in pixels, once it is loaded."""


def style(page, selector, name):
    return page.locator(selector).first.evaluate("(element, name) => getComputedStyle(element)[name]", name)


def column(page, table, place):
    return page.locator(f"{table} tbody:not(.heading) tr").evaluate_all(
        "(rows, place) => rows.map((row) => row.cells[place].textContent.trim())", place
    )


def numbers(page, table, place):
    """The means of a column, without the intervals beneath them."""
    return [float(text.split()[0]) for text in column(page, table, place) if text != "–"]


def wait_for_address(page, text):
    """Wait until the part of the address behind ``#`` contains a text: it is written a moment after a change."""
    page.wait_for_url(lambda url: text in unquote(url), timeout=60_000)


def test_the_divider_moves_by_pointer_and_by_keys_and_the_clip_follows(open_page, evil_names):
    page = open_page()
    page.locator("#stage").scroll_into_view_if_needed()
    stage = page.locator("#stage").bounding_box()
    assert style(page, ".layer.a", "clipPath") == "inset(0px 50% 0px 0px)"
    page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + 60)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + 80, steps=4)
    page.mouse.up()
    clipped = float(re.search(r"inset\(0px ([\d.]+)%", style(page, ".layer.a", "clipPath"))[1])
    assert clipped == pytest.approx(75, abs=0.5)
    handle = page.locator("#divider").bounding_box()
    assert handle["x"] + handle["width"] / 2 == pytest.approx(stage["x"] + stage["width"] / 4, abs=2)

    page.locator("#divider").focus()
    page.keyboard.press("End")
    assert style(page, ".layer.a", "clipPath") == "inset(0px 0% 0px 0px)"
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#divider").get_attribute("aria-valuenow") == "89"
    assert style(page, ".layer.a", "clipPath") == "inset(0px 11% 0px 0px)"
    assert page.locator("#name").inner_text() == evil_names[0], "arrows on the divider must not turn the page"


def test_zoom_and_pan_stay_in_step_everywhere_down_to_single_pixels(open_page, shown_windows):
    page = open_page()
    page.locator("#zoom-in").click()
    page.locator("#zoom-in").click()
    assert page.locator("#scale").inner_text() == "16×"
    stage = page.locator("#stage").bounding_box()
    page.mouse.move(stage["x"] + 50, stage["y"] + 50)
    page.mouse.down()
    page.mouse.move(stage["x"] + 30, stage["y"] + 10, steps=3)
    page.mouse.up()
    page.mouse.move(stage["x"] + 200, stage["y"] + 100)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    page.locator("#scale:not(:text-is('16×'))").wait_for()

    windows = shown_windows(page)
    assert len(windows) == 2 + 4, "A, B, LR, HR, two samples; a model without images is no column"
    for window in windows[1:]:
        assert window == pytest.approx(windows[0], abs=2e-3)
    assert windows[0][2] < 0.6
    assert style(page, "#image-a", "imageRendering") == "pixelated"
    page.keyboard.press("0")
    assert shown_windows(page)[3] == pytest.approx([0, 0, 1], abs=1e-3)


def test_tables_sort_both_ways(open_page):
    page = open_page()
    for table, place in (("#per-image", 2), ("#scores", 1)):
        head = page.locator(f"{table} thead tr:last-child th").nth(place)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending", "PSNR: the best first"
        values = numbers(page, table, place)
        assert len(values) >= 3
        assert values == sorted(values, reverse=True)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert numbers(page, table, place) == sorted(values)


def test_keys_turn_pages_choose_columns_swap_and_flicker(open_page, evil_names):
    page = open_page()
    assert page.locator("#name").inner_text() == evil_names[0]
    page.keyboard.press("ArrowRight")
    assert page.locator("#name").inner_text() == "apple"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#name").inner_text() == "birch"
    page.keyboard.press("2")
    page.keyboard.press("Shift+Digit4")
    wait_for_address(page, "#image=birch&a=Noisy-t0.8_2&b=hr")
    page.keyboard.press("x")
    wait_for_address(page, "#image=birch&a=hr&b=Noisy-t0.8_2")
    page.keyboard.press("f")
    page.wait_for_selector(".viewer.shows-b .layer.a", state="hidden", timeout=20000)  # in one look: it flickers on
    page.keyboard.press("f")
    assert style(page, ".layer.a", "display") == "block"

    page.locator("#filter").focus()
    page.keyboard.type("2f")
    page.wait_for_timeout(300)
    wait_for_address(page, "#image=birch&a=hr&b=Noisy-t0.8_2")
    page.locator(".keys summary").click()
    page.locator("#keys").uncheck()
    page.locator("h1").click()
    page.keyboard.press("1")
    assert page.locator("#select-b option:checked").inner_text() == "Noisy τ=0.8 #2"


def test_a_link_carries_all_that_is_shown_and_leads_there(open_page, corner, shown_windows):
    page = open_page("", corner / "run" / "report" / "report.html", permissions=["clipboard-read", "clipboard-write"])
    page.locator("select.metric").first.select_option(label="LPIPS ↓")
    page.locator("#spot").click()
    page.locator("#divider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("d")
    page.locator("#copy-link").click()
    page.locator("#said", has_text="Link copied. It opens on").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    name = page.locator("#name").inner_text()
    assert re.fullmatch(
        rf"file://.*/report.html#image={name}&a=Corner&b=Nearest&x=[\d.]+&y=[\d.]+&zoom=2.000&split=0.000&metric=lpips"
        "&difference=1",
        link,
    )
    windows = shown_windows(page)
    other = open_page(f"#{link.partition('#')[2]}", corner / "run" / "report" / "report.html")
    assert shown_windows(other)[0] == pytest.approx(windows[0], abs=2e-3)
    assert other.locator("#divider").get_attribute("aria-valuenow") == "0"
    assert other.locator("#difference").get_attribute("aria-pressed") == "true"
    assert other.locator("select.metric option:checked").first.inner_text() == "LPIPS ↓"
    for _ in range(300):
        if abs(other.locator("#compare").bounding_box()["y"]) < 40:
            break
        other.wait_for_timeout(100)
    else:
        pytest.fail("the page has not scrolled to the comparison")
    flickering = open_page(f"#{link.partition('#')[2]}&flicker=1", corner / "run" / "report" / "report.html")
    assert flickering.locator("#flicker").get_attribute("aria-pressed") == "true"


def test_the_difference_is_what_two_images_do_not_share(open_page, corner):
    page = open_page("#image=one&a=Nearest&b=Corner", corner / "run" / "report" / "report.html")
    page.keyboard.press("d")
    page.locator("#image-a, #image-b").evaluate_all("(images) => Promise.all(images.map((image) => image.decode()))")
    assert page.locator("#divider").is_hidden()
    assert page.locator(".tag:visible").all_inner_texts() == ["|A − B| × 4"]
    with Image.open(io.BytesIO(page.locator("#stage").screenshot())) as shot:
        seen = np.asarray(shot.convert("L"), dtype=float)
    height, width = seen.shape
    assert seen[4 : height // 2, 4 : width // 2].max() < 8, "equal: black"
    assert seen[-height // 10 : -2, -width // 20 : -2].mean() > 60, "the corner"
    page.locator("#difference").click()
    assert page.locator("#divider").is_visible()


def test_maps_take_the_place_of_the_images_where_there_are_any(open_page):
    page = open_page("#image=apple&a=hr&b=Noisy-t0.8_1")
    assert page.locator("#map option").all_inner_texts() == [
        "Images",
        "Maps: error",
        "Maps: LPIPS",
        "Maps: spread of samples",
    ]
    page.keyboard.press("m")
    assert page.locator("#image-b").get_attribute("src") == "maps/Noisy-t0.8/apple_error.png"
    assert page.locator("#image-a").get_attribute("src") == "../images/hr/apple.png"
    assert page.locator(".tag.b").inner_text() == "Noisy τ=0.8 #1: error"
    assert "grey levels" in page.locator("#legend").inner_text()
    wait_for_address(page, "&map=error")
    assert page.locator("#image-b").evaluate(WIDTH) == 96
    page.locator("#map").select_option("")
    assert page.locator("#image-b").get_attribute("src") == "../images/Noisy-t0.8/apple_sample0.png"
    assert page.locator("#legend").is_hidden()


def test_the_table_is_copied_as_the_files_have_it_and_the_table_of_an_image_as_csv(open_page, folder, tmp_path):
    write_report([folder], out=tmp_path / "report")
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    assert page.locator(".copy").count() == 2

    def copied(section, name):
        page.locator(f"{section} .copy button:text-is('{name}')").click()
        page.locator(f"{section} .copy output:text-is('{name} copied')").wait_for()
        return page.evaluate("navigator.clipboard.readText()")

    assert copied("#results", "LaTeX") == (tmp_path / "report/table.tex").read_text()
    assert copied("#results", "Markdown") in (tmp_path / "report/report.md").read_text()
    assert copied("#results", "CSV") == (tmp_path / "report/table.csv").read_text()
    first, *rows = copied("#compare", "CSV").splitlines()
    assert first.startswith("model,")
    assert len(rows) == page.locator("#scores tbody tr").count()
    assert page.locator("#scores .badge").all_inner_texts() == ["B"]
    assert not [row for row in rows if row.split(",")[0].endswith(" B")], "without the badges of A and B"


def test_the_window_of_all_models_is_saved_as_a_figure(open_page, corner, tmp_path):
    page = open_page(
        "#image=one&a=Nearest&b=Corner&x=0.75&y=0.75&zoom=2", corner / "sent" / "report.html", accept_downloads=True
    )
    with page.expect_download() as download:
        page.locator("#save-figure").click()
    download.value.save_as(tmp_path / "figure.png")
    assert download.value.suggested_filename == "one.png"
    said = page.locator("#said code").inner_text()
    assert said.endswith("--images one --models Nearest,Corner --crop 140,80,80"), (
        "a square in the middle of the window"
    )
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert figure.size == (24 + 4 * (480 + 24), 24 + 320 + 2 * 34 + 24), "LR, HR and two models in a row"
        seen = np.asarray(figure.convert("L"), dtype=float)
    nearest, corner_panel = (seen[24:344, 24 + place * 504 :][:, :480] for place in (2, 3))
    assert np.abs(nearest - corner_panel)[:160, :240].max() < 1
    assert np.abs(nearest - corner_panel)[-64:, -64:].mean() > 10, "their lower right corner"
    assert (seen[350:412, 24 + 2 * 504 :] < 128).sum() > 100, "captions"
    assert (seen[350:412, 24 + 2 * 504 :] < 128)[34:].sum() > 100, "PSNR and LPIPS"


def test_values_beneath_a_strip_have_lines_of_their_own(open_page, corner):
    texts = open_page("", corner / "sent" / "report.html").locator("#strip .values").all_inner_texts()
    assert [re.sub(r"[\d.]+", "N", text) for text in texts if text] == ["PSNR (RGB) N\nLPIPS N"] * 2


def test_on_a_phone_the_choices_are_as_wide_as_half_of_it(open_page):
    page = open_page(viewport={"width": 400, "height": 850})
    assert all(
        box > 165 for box in page.locator(".worst select").evaluate_all("(all) => all.map((one) => one.clientWidth)")
    )


def test_names_stay_text_and_the_page_fits_a_phone(open_page, evil_names):
    page = open_page(f"#image={evil_names[0].replace('<', '%3C')}", viewport={"width": 400, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.locator("#name").inner_text() == evil_names[0]
    assert evil_names[0] in page.locator("#list").inner_text()
    assert evil_names[1] in column(page, "#results table", 0)
    assert page.locator("img[src=x], [onerror], [onmouseover], #origin b").count() == 0
    assert page.locator("#image-a").evaluate(WIDTH) == 24
