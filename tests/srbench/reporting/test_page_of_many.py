"""The page of a run of hundreds of images in a browser: only the rows in sight exist, and none is lost."""

from __future__ import annotations

import pytest

from srbench.benchmark.run import run as run_spec
from srbench.images.io import write_png
from srbench.reporting.report import write_report
from srbench.run_folder.request import RunSpec

COUNT = 300
LIST = "#list li:not([role=presentation])"
TABLE = "#per-image tbody th"


@pytest.fixture(scope="module")
def many(tmp_path_factory, small_models, draw_image):
    base = tmp_path_factory.mktemp("many")
    image = draw_image(0, 32, 32)
    for place in range(COUNT):
        write_png(base / "photos" / f"{place:03}.png", image * (0.2 + 0.8 * ((place * 7) % COUNT) / COUNT))
    spec = RunSpec(
        models=(f"{small_models}:Nearest", f"{small_models}:Noisy"),
        scale=4,
        data=str(base / "photos"),
        metrics=("psnr",),
        samples=1,
        out=str(base / "run"),
    )
    folder = run_spec(spec).folder
    write_report([folder], ["html"])
    return folder / "report" / "report.html"


def names(page, selector):
    return [text.strip() for text in page.locator(selector).all_text_contents()]


def test_only_rows_in_sight_exist(open_page, many):
    page = open_page("", many)
    assert 10 < page.locator(LIST).count() < 60
    assert 10 < page.locator(TABLE).count() < 60
    assert page.locator("#found").inner_text() == f"{COUNT} images"
    rows = page.locator("#per-image")
    assert rows.get_attribute("aria-rowcount") == str(COUNT + 1)


def test_every_row_comes_into_sight_by_scrolling(open_page, many):
    page = open_page("#image=000", many)
    everything = [f"{place:03}" for place in range(COUNT)]
    for box, selector in (("#list", LIST), ("#images .tall", TABLE)):
        seen = []
        length = page.locator(box).evaluate("(box) => box.scrollHeight")
        for top in range(0, length, 300):
            page.locator(box).evaluate("(box, top) => { box.scrollTop = top; }", top)
            page.wait_for_function(
                """([box, list]) => {
                    const area = document.querySelector(box).getBoundingClientRect();
                    const rows = [...document.querySelectorAll(list)].map((row) => row.getBoundingClientRect());
                    return Math.max(...rows.map((row) => row.bottom)) >= area.bottom - 30;
                }""",
                arg=[box, selector],
            )
            seen += names(page, selector)
        assert list(dict.fromkeys(seen)) == everything


def test_a_list_at_the_side_of_a_phone_scrolls_sideways(open_page, many):
    page = open_page("#image=299", many, viewport={"width": 400, "height": 850})
    assert "299" in names(page, LIST), "the shown image is brought into sight"
    assert page.locator(LIST).count() < 60
    assert page.locator("#list [aria-current]").inner_text().strip() == "299"
    page.locator("#list").evaluate("(box) => { box.scrollLeft = 0; }")
    page.wait_for_function("() => document.querySelector('#list').textContent.includes('000')")
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_the_worst_images_stand_in_the_order_of_badness_in_list_table_and_keys(open_page, many):
    page = open_page("#image=000", many)
    page.locator("#worst").select_option("10")
    worst = names(page, LIST)
    assert worst == names(page, TABLE)
    setting = int(page.locator("#worst-of").input_value())
    cells = page.locator("#per-image tbody tr").evaluate_all(
        "(rows, place) => rows.map((row) => Number(row.cells[place].dataset.value))", setting + 1
    )
    assert len(cells) == 10
    assert cells == sorted(cells)
    assert worst != sorted(worst), "another order than that of the run"
    assert page.locator("#name").inner_text() == worst[0]
    for name in [*worst[1:], worst[0]]:
        page.keyboard.press("ArrowRight")
        assert page.locator("#name").inner_text() == name


def test_a_sorted_table_is_sorted_as_a_whole_and_copied_as_a_whole(open_page, many):
    page = open_page("", many, permissions=["clipboard-read", "clipboard-write"])
    for first in ("000", "299"):
        page.locator("#per-image thead button").first.click()
        assert names(page, TABLE)[0] == first
    page.locator("#images .copy button:text-is('CSV')").click()
    page.wait_for_function("() => document.querySelector('#images .copy output').value === 'CSV copied'")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [line.split(",")[0] for line in lines] == ["image", *(f"{place:03}" for place in reversed(range(COUNT)))]


def test_paper_shows_all_rows(open_page, many):
    page = open_page("", many)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(TABLE).count() == COUNT
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(TABLE).count() < 60
