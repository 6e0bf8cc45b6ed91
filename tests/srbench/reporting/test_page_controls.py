"""What can be taken from the page of a run, and what it shows at first, in a real browser."""

from __future__ import annotations

import io
import re
import shlex
import shutil

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from srbench.reporting.report import write_report


def box_in(page, selector, frame):
    """Left, top, width and height of an element as shares of another."""
    inner, outer = (page.locator(one).bounding_box() for one in (selector, frame))
    return [
        (inner["x"] - outer["x"]) / outer["width"],
        (inner["y"] - outer["y"]) / outer["height"],
        inner["width"] / outer["width"],
        inner["height"] / outer["height"],
    ]


def test_it_opens_on_the_whole_image_in_which_the_two_leading_models_differ_most_and_marks_where(
    open_page, corner, shown_windows
):
    page = open_page("", corner / "run" / "report" / "report.html")
    assert page.locator(".tag.a").inner_text() == "Corner"
    assert page.locator(".tag.b").inner_text() == "Nearest", "the leader"
    assert shown_windows(page)[0] == pytest.approx([0, 0, 1], abs=1e-3)
    assert page.evaluate("location.hash") == "", "nobody chose it"
    assert page.evaluate("scrollY") == 0
    left, _, width, height = box_in(page, "#spot", "#stage")
    assert (width, height) == pytest.approx((80 / 240, 80 / 160), abs=0.01)
    assert left + width == pytest.approx(1, abs=0.02)
    assert page.locator("#locator").is_hidden()
    page.locator("#spot").click()
    zoomed = shown_windows(page)[0]
    assert zoomed[2] == pytest.approx(0.5, abs=0.01), "80 of 160 pixels"
    assert page.locator("#spot").is_hidden()
    mark = box_in(page, "#locator .window", "#locator")
    assert mark[:3] == pytest.approx(zoomed, abs=0.02), "the locator marks the window"
    locator = page.locator("#locator").bounding_box()
    page.mouse.click(locator["x"] + locator["width"] * 0.3, locator["y"] + locator["height"] * 0.3)
    assert shown_windows(page)[0] == pytest.approx([0.05, 0.05, 0.5], abs=0.02)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("0")
    assert page.locator("#spot").is_hidden(), "it is of another image"


def test_a_strip_shows_the_window_of_all_models_above_the_fold_and_leads_to_it(open_page, corner, shown_windows):
    page = open_page("", corner / "run" / "report" / "report.html", viewport={"width": 1440, "height": 900})
    titles = page.locator("#strip .title").all_inner_texts()
    assert titles == ["whole image", "LR", "Nearest", "Corner", "HR"]
    strip = page.locator("#strip").bounding_box()
    assert strip["y"] + strip["height"] < 900
    assert page.locator("#strip .crop").nth(1).inner_text().splitlines()[1].startswith("PSNR ")
    assert "differ most" in page.locator("#strip figcaption").inner_text()
    assert all(page.locator("#strip img").evaluate_all("(all) => all.map((one) => one.alt)"))
    crops = page.locator("#strip .crop .frame")
    seen = []
    for place in (1, 2):
        with Image.open(io.BytesIO(crops.nth(place).screenshot())) as shot:
            seen.append(np.asarray(shot.convert("L").resize((200, 200)), dtype=float))
    lower = seen[0].shape[0] * 3 // 4
    assert np.abs(seen[0] - seen[1])[:, : lower // 2].mean() < 5
    assert np.abs(seen[0] - seen[1])[lower:, lower:].mean() > 20, "the corner"
    page.locator("#strip .crop").nth(2).click()
    page.wait_for_function("() => Math.abs(document.getElementById('compare').getBoundingClientRect().top) < 40")
    assert shown_windows(page)[0][2] == pytest.approx(0.5, abs=0.01)


def test_a_single_model_is_shown_where_it_differs_most_from_hr(open_page, reported_run, tmp_path, srbench):
    photos = reported_run.parent / "photos"
    done = srbench(
        "run", "--models", "bicubic", "--scale", 4, "--data", photos, "--metrics", "psnr", "--out", tmp_path / "one"
    )
    assert done.exit_code == 0, done.output
    page = open_page("", tmp_path / "one" / "report" / "report.html")
    assert page.locator("#strip .title").all_inner_texts() == ["whole image", "LR", "bicubic", "HR"]
    assert page.locator("#strip figcaption").inner_text().endswith("where bicubic differs most from HR.")
    assert [page.locator(f".tag.{side}").inner_text() for side in "ab"] == ["HR", "bicubic"]
    worst = page.locator("#name").inner_text()
    values = page.locator("#per-image tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [Number(row.cells[1].dataset.value), row.cells[0].textContent])"
    )
    assert worst == min(values)[1]


def test_a_link_carries_all_that_is_shown_and_leads_there(open_page, corner, shown_windows):
    page = open_page("", corner / "run" / "report" / "report.html", permissions=["clipboard-read", "clipboard-write"])
    page.locator("select.metric").first.select_option(label="LPIPS ↓")
    page.locator("#spot").click()
    page.locator("#divider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("d")
    page.locator("#copy-link").click()
    page.wait_for_function("() => document.getElementById('said').value.startsWith('Link copied. It opens on')")
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
    other.wait_for_function("() => Math.abs(document.getElementById('compare').getBoundingClientRect().top) < 40")
    flickering = open_page(f"#{link.partition('#')[2]}&flicker=1", corner / "run" / "report" / "report.html")
    assert flickering.locator("#flicker").get_attribute("aria-pressed") == "true"


def test_a_link_to_an_image_alone_leaves_the_rest_as_it_is(open_page):
    page = open_page()
    page.keyboard.press("d")
    page.locator("#per-image a:text-is('birch')").click()
    page.wait_for_function("() => document.getElementById('name').textContent === 'birch'")
    assert page.locator("#difference").get_attribute("aria-pressed") == "true"


def test_the_difference_is_what_two_images_do_not_share(open_page, corner):
    page = open_page("#image=one&a=Nearest&b=Corner", corner / "run" / "report" / "report.html")
    page.keyboard.press("d")
    page.wait_for_function(
        "() => document.getElementById('image-a').complete && document.getElementById('image-b').complete"
    )
    assert page.locator("#divider").is_hidden()
    assert page.locator(".tag:visible").all_inner_texts() == ["|A − B| × 4"]
    with Image.open(io.BytesIO(page.locator("#stage").screenshot())) as shot:
        seen = np.asarray(shot.convert("L"), dtype=float)
    height, width = seen.shape
    assert seen[4 : height // 2, 4 : width // 2].max() < 8, "equal: black"
    assert seen[-height // 10 : -2, -width // 20 : -2].mean() > 60, "the corner"
    page.locator("#difference").click()
    assert page.locator("#divider").is_visible()


def test_a_question_mark_opens_the_list_of_keys(open_page):
    page = open_page()
    page.keyboard.press("?")
    assert page.locator(".keys dl").is_visible()
    assert page.evaluate("document.activeElement.textContent").startswith("Keys")
    page.keyboard.press("?")
    assert page.locator(".keys dl").is_hidden()


def test_tables_are_copied_as_latex_markdown_and_csv(open_page, evil_names):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    assert page.locator("table.sortable").count() == page.locator(".copy").count() == 4

    def copied(section, name):
        buttons = page.locator(f"{section} .scroll + .copy")
        buttons.locator(f"button:text-is('{name}')").click()
        page.wait_for_function(
            "(name) => [...document.querySelectorAll('.copy output')].some((o) => o.value === `${name} copied`)",
            arg=name,
        )
        return page.evaluate("navigator.clipboard.readText()")

    lines = copied("#results", "CSV").splitlines()
    assert lines[0] == "model,PSNR ↑,SSIM ↑,sigma"
    assert lines[1].split(",")[0] == evil_names[1]
    means = page.locator("#results tbody tr").first.locator("td").first.inner_text().split()
    assert float(lines[1].split(",")[1]) == float(means[0]), "without the interval"
    html = MarkdownIt("commonmark").enable("table").render(copied("#results", "Markdown"))
    assert html.count("<tr>") == 5
    assert "<script" not in html
    latex = copied("#results", "LaTeX")
    assert r"\textless{}script\textgreater{}\textless{}b onmouseover=alert(2)\textgreater{}\&" in latex
    assert r"model & PSNR $\uparrow$ & SSIM $\uparrow$ & sigma \\" in latex
    assert r"Noisy $\tau$=0.5 &" in latex
    page.locator("#filter").fill("apple")
    assert [line.split(",")[0] for line in copied("#images", "CSV").splitlines()] == ["image", "apple"]
    best = copied("#images", "Markdown").splitlines()[2]
    assert best.count("**") >= 2, "the best of an image"


def test_the_window_of_all_models_is_saved_as_a_figure(open_page, corner, tmp_path):
    page = open_page(
        "#image=one&a=Nearest&b=Corner&x=0.75&y=0.75&zoom=2", corner / "sent" / "report.html", accept_downloads=True
    )
    with page.expect_download() as download:
        page.locator("#save-figure").click()
    download.value.save_as(tmp_path / "figure.png")
    assert download.value.suggested_filename == "one.png"
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert figure.size == (24 + 4 * (480 + 24), 24 + 320 + 2 * 34 + 24), "LR, HR and two models in a row"
        seen = np.asarray(figure.convert("L"), dtype=float)
    nearest, corner_panel = (seen[24:344, 24 + place * 504 :][:, :480] for place in (2, 3))
    assert np.abs(nearest - corner_panel)[:160, :240].max() < 1
    assert np.abs(nearest - corner_panel)[-64:, -64:].mean() > 10, "their lower right corner"
    assert (seen[350:412, 24 + 2 * 504 :] < 128).sum() > 100, "captions"
    assert (seen[350:412, 24 + 2 * 504 :] < 128)[34:].sum() > 100, "PSNR and LPIPS"


def test_a_page_that_was_opened_as_a_file_gives_the_command_by_which_figures_are_saved(open_page, folder, tmp_path):
    odd = tmp_path / "it's mine"
    shutil.copytree(folder, odd)
    for run in (folder, odd):
        page = open_page(file=run / "report" / "report.html", permissions=["clipboard-read", "clipboard-write"])
        page.locator("#save-figure").click()
        page.locator("#said button").click()
        page.wait_for_function("() => document.querySelector('#said button').textContent === 'Copied'")
        assert shlex.split(page.evaluate("navigator.clipboard.readText()")) == ["srbench", "view", str(run)]


def test_a_page_of_the_server_saves_figures_and_its_links_are_those_of_the_file(browser, folder, served, tmp_path):
    server = served(folder)
    context = browser.new_context(accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{server.address}#image=apple&a=lr&b=hr")
    page.locator("#copy-link").click()
    page.wait_for_function("() => document.getElementById('said').value.startsWith('Link copied.')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{(folder / 'report.html').as_uri()}#image=apple&a=lr&b=hr"
    with page.expect_download() as download:
        page.locator("#save-figure").click()
    download.value.save_as(tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.width > 1000
    context.close()


def test_columns_are_grouped_and_the_model_stays_in_sight(open_page):
    page = open_page(viewport={"width": 320, "height": 850})
    assert page.locator(".groups th").all_inner_texts() == ["", "Distortion", "Diversity"]
    assert page.locator("#results thead tr:last-child th").all_inner_texts() == ["model", "PSNR ↑", "SSIM ↑", "sigma"]
    box = page.locator("#results .scroll")
    name = page.locator("#results tbody th").last
    before = name.bounding_box()["x"]
    assert box.evaluate("(box) => { box.scrollLeft = 1000; return box.scrollLeft; }") > 20
    assert name.bounding_box()["x"] == before
    last = page.locator("#results tbody tr").last.locator("td").last.bounding_box()
    assert last["x"] + last["width"] <= 320


def test_plots_are_as_large_as_drawn_and_follow_the_colours_of_the_page(open_page):
    for width in (1280, 400):
        page = open_page(viewport={"width": width, "height": 850}, color_scheme="light")
        sizes = page.locator("#plots img").evaluate_all("(all) => all.map((one) => [one.width, one.naturalWidth])")
        assert len(sizes) >= 2
        assert all(shown >= drawn for shown, drawn in sizes), "smaller, their text would be below 11 pixels"
        assert page.evaluate("document.documentElement.scrollWidth") == width
        plot = page.locator("#plots img").first
        inks = []
        for _ in range(2):
            with Image.open(io.BytesIO(plot.screenshot())) as shot:
                inks.append(np.asarray(shot.convert("L"), dtype=float))
            page.locator("#theme").click()
        assert inks[0].mean() > 200, "light paper"
        assert inks[1].mean() < 60, "dark paper: nothing is behind the plot"
        assert (inks[1] > 180).sum() > 200, "and its text is light"


def test_a_page_without_images_still_shows_values(open_page, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("images", "maps"))
    write_report([tmp_path / "run"], ["html"])
    page = open_page("", tmp_path / "run" / "report" / "report.html")
    assert page.locator("#absent").is_visible()
    assert page.locator("#stage, #tiles, #select-a").locator("visible=true").count() == 0
    assert page.locator("#scores tbody tr").count() == 4
    for key in ("ArrowRight", "f", "f", "d", "m", "1", "x", "0"):
        page.keyboard.press(key)
    assert page.locator("#place").inner_text().startswith("2 of 3")
