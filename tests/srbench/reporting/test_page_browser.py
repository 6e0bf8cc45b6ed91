"""The page of a run in a real browser, from the file system: what a reader does, and what must never happen."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest


def style(page, selector, name):
    return page.locator(selector).first.evaluate("(element, name) => getComputedStyle(element)[name]", name)


def column(page, table, place):
    return page.locator(f"{table} tbody:not(.heading) tr").evaluate_all(
        "(rows, place) => rows.map((row) => row.cells[place].textContent.trim())", place
    )


def join_parts(page):
    """Move all variants into the table of the models."""
    page.evaluate("""() => {
        const [first, last] = document.querySelectorAll("#results tbody");
        first.append(...last.rows);
        last.closest("details").remove();
    }""")


def numbers(page, table, place):
    """The means of a column, without the intervals beneath them."""
    return [float(text.split()[0]) for text in column(page, table, place) if text != "–"]


def address(page):
    page.wait_for_timeout(250)  # it is written a moment after the last change
    return unquote(page.evaluate("location.hash"))


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
    page.wait_for_function("() => document.getElementById('scale').value !== '16×'")

    windows = shown_windows(page)
    assert len(windows) == 2 + 4, "A, B, LR, HR, two samples; a model without images is no column"
    for window in windows[1:]:
        assert window == pytest.approx(windows[0], abs=2e-3)
    assert windows[0][2] < 0.6
    assert style(page, "#image-a", "imageRendering") == "pixelated"
    page.keyboard.press("0")
    assert shown_windows(page)[3] == pytest.approx([0, 0, 1], abs=1e-3)


def test_a_pinch_zooms_and_a_finger_moves_the_divider(open_page, shown_windows):
    page = open_page(viewport={"width": 400, "height": 850}, has_touch=True)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    touch = page.context.new_cdp_session(page)

    def fingers(kind, *points):
        spots = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": i}
            for i, (x, y) in enumerate(points)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    fingers("touchStart", (0.5, 0.5))
    fingers("touchMove", (0.6, 0.5))
    fingers("touchMove", (0.7, 0.5))
    fingers("touchEnd")
    assert int(page.locator("#divider").get_attribute("aria-valuenow")) == pytest.approx(70, abs=1)
    fingers("touchStart", (0.4, 0.5), (0.6, 0.5))
    fingers("touchMove", (0.3, 0.5), (0.7, 0.5))
    fingers("touchEnd")
    assert shown_windows(page)[0][2] == pytest.approx(0.5, abs=0.02)


def test_tables_sort_both_ways_and_say_so(open_page, evil_names):
    page = open_page()
    join_parts(page)
    for table, place in (("#results table", 1), ("#per-image", 2), ("#scores", 1)):
        head = page.locator(f"{table} thead tr:last-child th").nth(place)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending", "PSNR: the best first"
        values = numbers(page, table, place)
        assert len(values) >= 3
        assert values == sorted(values, reverse=True)
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert numbers(page, table, place) == sorted(values)
        assert page.locator(f"{table} th[aria-sort=ascending]").count() == 1
    page.locator("#results thead button").first.click()
    names = column(page, "#results table", 0)
    assert names == [evil_names[1], "Noisy τ=0", "Noisy τ=0.5", "Noisy τ=0.8"]


def test_variants_are_folded_in_a_table_of_their_own(open_page, evil_names):
    page = open_page()
    assert page.locator("#results tbody th").all_text_contents() == [
        evil_names[1],
        "Noisy τ=0.8",
        "Noisy τ=0",
        "Noisy τ=0.5",
    ]
    assert not page.get_by_text("Noisy τ=0.5").first.is_visible()
    page.locator("#results summary").click()
    last = page.locator("#results table").last
    last.locator("thead button").first.click()
    assert last.locator("tbody th").all_inner_texts() == ["Noisy τ=0", "Noisy τ=0.5"]
    last.locator("thead button").first.click()
    assert last.locator("tbody th").all_inner_texts() == ["Noisy τ=0.5", "Noisy τ=0"]
    assert last.locator("b").count() == 0


def test_sorting_keeps_infinite_values_at_their_end_and_missing_ones_last(open_page):
    page = open_page()
    join_parts(page)
    page.evaluate("""() => {
        const cells = [...document.querySelectorAll("#results tbody tr")].map((row) => row.cells[1]);
        ["12.5", "", "inf", "9"].forEach((value, place) => {
            cells[place].dataset.value = cells[place].textContent = value;
        });
    }""")
    page.locator("#results thead button").nth(1).click()
    assert column(page, "#results table", 1) == ["inf", "12.5", "9", ""]
    page.locator("#results thead button").nth(1).click()
    assert column(page, "#results table", 1) == ["9", "12.5", "inf", ""]


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
    assert address(page) == "#image=birch&a=Noisy-t0.8_2&b=hr"
    page.keyboard.press("x")
    assert address(page) == "#image=birch&a=hr&b=Noisy-t0.8_2"
    page.keyboard.press("f")
    page.wait_for_selector(".viewer.shows-b .layer.a", state="hidden", timeout=20000)  # in one look: it flickers on
    page.keyboard.press("f")
    assert style(page, ".layer.a", "display") == "block"

    page.locator("#filter").focus()
    page.keyboard.type("2f")
    assert address(page) == "#image=birch&a=hr&b=Noisy-t0.8_2", "typing into a field is no command"
    page.locator(".keys summary").click()
    page.locator("#keys").uncheck()
    page.locator("h1").click()
    page.keyboard.press("1")
    assert page.locator("#select-b option:checked").inner_text() == "Noisy τ=0.8 #2"


def test_tab_passes_through_the_whole_page_with_one_stop_for_the_list(open_page):
    page = open_page()
    stops = []
    for _ in range(200):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => {
            const at = document.activeElement;
            const outlined = (part) => getComputedStyle(at, part).outlineStyle !== "none";
            return [at.closest("#list") ? "list" : at.id || at.tagName, outlined(null) || outlined("::after")];
        }""")
        if stop[0] == "BODY":
            break
        stops.append(stop)
    names = [name for name, _ in stops]
    assert page.evaluate("document.activeElement === document.body"), "Tab never came to the end"
    assert names.count("list") == 1
    assert names.index("filter") < names.index("list") < names.index("select-a") < names.index("divider")
    assert all(visible for _, visible in stops), [name for name, visible in stops if not visible]


def test_the_address_is_followed_on_load_and_when_it_changes(open_page, shown_windows, evil_names):
    page = open_page("#image=apple&a=hr&b=Noisy-t0.5_2&x=0.6&y=0.4&zoom=3")
    assert page.locator("#name").inner_text() == "apple"
    assert page.locator("#select-a option:checked").inner_text() == "HR"
    assert page.locator(".tag.b").inner_text() == "Noisy τ=0.5 #2"
    assert shown_windows(page)[0] == pytest.approx([0.6 - 0.5 / 3, 0.4 - 0.5 / 3, 1 / 3], abs=2e-3)
    page.evaluate("location.hash = '#image=birch&b=nonsense'")
    page.wait_for_function("() => document.getElementById('name').textContent === 'birch'")
    assert page.locator(".tag.b").inner_text() == "Noisy τ=0.5 #2", "an unknown column changes nothing"
    page.locator(f"#per-image a:text-is({json.dumps(evil_names[0])})").click()
    page.wait_for_function("() => document.getElementById('place').textContent.startsWith('1 of 3')")
    assert address(page).startswith(f"#image={evil_names[0].replace(' ', '+')}&a=hr")


def test_the_temperature_slider_shows_the_samples_of_its_temperature(open_page):
    page = open_page("#image=apple&a=lr&b=Noisy-t0.8_1")
    slider = page.locator("#temperature-b")
    assert page.locator("#temperature-a").is_hidden()
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "temperature 0"
    assert unquote(page.locator("#image-b").get_attribute("src")) == "images/Noisy-t0/apple_sample0.png"
    page.keyboard.press("ArrowRight")
    assert page.locator("#tiles p:visible").all_inner_texts()[-2:] == ["3 Noisy τ=0.5 #1", "4 Noisy τ=0.5 #2"]


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
    assert page.locator("#image-a").get_attribute("src") == "images/hr/apple.png"
    assert page.locator(".tag.b").inner_text() == "Noisy τ=0.8 #1: error"
    assert "grey levels" in page.locator("#legend").inner_text()
    assert address(page).endswith("&map=error")
    page.wait_for_function("() => document.getElementById('image-b').naturalWidth === 96")
    page.locator("#map").select_option("")
    assert page.locator("#image-b").get_attribute("src") == "images/Noisy-t0.8/apple_sample0.png"
    assert page.locator("#legend").is_hidden()


def test_the_filter_holds_in_list_table_and_keys(open_page):
    page = open_page()
    page.locator("#filter").fill("IR")
    assert page.locator("#list li:visible").all_inner_texts() == ["birch"]
    assert page.locator("#per-image tbody tr:visible").count() == 1
    assert page.locator("#found").inner_text() == "1 of 3"
    page.locator("#next").click()
    assert page.locator("#name").inner_text() == "birch"


def test_values_of_a_image_are_those_of_its_rows(open_page, folder):
    page = open_page("#image=birch")
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    wanted = [
        row for row in rows if (row["image"], row["metric"]) == ("birch", "psnr") and row["temperature"] in (None, 0.8)
    ]
    assert len(wanted) == 2
    for row in wanted:
        label = row["model"] if row["temperature"] is None else f"{row['model']} τ=0.8"
        names = column(page, "#scores", 0)
        for sample, value in enumerate(row["value"]):
            line = [f"{label} sample {sample + 1}" if row["temperature"] else label]
            place = next(i for i, name in enumerate(names) if name.removesuffix(" B").strip() in line)
            assert column(page, "#scores", 1)[place] == f"{value:.2f}"


def test_names_stay_text(open_page, evil_names):
    page = open_page(f"#image={evil_names[0].replace('<', '%3C')}")
    assert page.locator("#name").inner_text() == evil_names[0]
    assert evil_names[0] in page.locator("#list").inner_text()
    assert evil_names[1] in column(page, "#results table", 0)
    assert page.locator("img[src=x], [onerror], [onmouseover], #origin b").count() == 0
    page.wait_for_function("() => document.getElementById('image-a').naturalWidth === 24")


def test_it_fits_a_phone_in_both_schemes_and_text_is_readable(open_page):
    for scheme in ("light", "dark"):
        page = open_page(viewport={"width": 400, "height": 850}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert page.evaluate(FAINT) == []
        other = {"light": "dark", "dark": "light"}[scheme]
        before = style(page, "body", "backgroundColor")
        page.locator("#theme").click()
        assert style(page, "body", "colorScheme") == other
        assert style(page, "body", "backgroundColor") != before
        assert page.evaluate(FAINT) == []


FAINT = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const ground = (at) => {
        for (; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.5) return colour;
        }
    };
    const faint = [];
    for (const at of document.querySelectorAll("body *")) {
        const own = [...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !at.checkVisibility() || at.closest("script, style, option")) continue;
        const [ink, paper] = [light(rgb(getComputedStyle(at).color)), light(ground(at))];
        const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        if (contrast < 4.5) faint.push([at.tagName, at.textContent.trim().slice(0, 30), contrast]);
    }
    return faint;
}"""
"""Visible text whose contrast (WCAG 2.2, 1.4.3) is below 4.5."""
