"""The tables of the page in a browser: copies, a narrow screen, paper."""

from __future__ import annotations

import io

import numpy as np
import pytest
from builders import metric
from PIL import Image

from srbench.interfaces import WeightsInfo
from srbench.reporting.report import write_report

WEIGHTS = WeightsInfo("c0ffee" * 10 + "beef", "CC0-1.0", "flowers", 3)
METRICS = metric("psnr"), metric("lpips"), metric("ssim"), metric("niqe"), metric("lr_psnr")
LPIPS = {"m": 0.4, "n": 0.3, "flow": 0.1}


@pytest.fixture
def page(make_run, open_page):
    """Opens the page of three models: LPIPS is decided, PSNR is the same of all."""
    rows = {
        (model, None): {f"image {k}": (20 + k, lpips + k / 50, 0.5, 9.0, 50.0) for k in range(9)}
        for model, lpips in LPIPS.items()
    }
    run = make_run("run", rows, metrics=METRICS, models={"flow": {"projected": True, "weights": WEIGHTS}})
    write_report([run], ["html"])
    return lambda **options: open_page("", run / "report" / "report.html", **options)


def test_digests_and_signatures_are_copied_whole(page):
    opened = page()
    opened.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    digest = opened.locator("#origin code[data-copy]")
    assert digest.inner_text() == "sha256 c0ffeec0ffee…"
    opened.locator("#origin .copy-text").first.click()
    assert opened.evaluate("window.copied") == WEIGHTS.sha256
    assert not opened.locator("#protocol pre").is_visible()
    opened.locator("summary", has_text="Signatures").click()
    opened.locator("#protocol .copy-text").click()
    assert opened.evaluate("window.copied").splitlines() == [one.signature for one in METRICS]
    opened.locator("#results .copy button", has_text="CSV").click()
    assert "flow,24.00,0.500,0.180,9.00,50.00\n" in opened.evaluate("window.copied").replace("\r", "")


def test_a_narrow_screen_has_its_filters_in_one_row_and_a_cue_where_a_table_goes_on(page):
    opened = page(viewport={"width": 400, "height": 800})
    tops = {round(opened.locator(f"#{name}").bounding_box()["y"]) for name in ("filter", "worst", "worst-of")}
    assert len(tops) == 1
    assert opened.evaluate("document.documentElement.scrollWidth") == 400
    table = opened.locator("#results .scroll")
    assert table.evaluate("(box) => box.scrollWidth > box.clientWidth")

    def edge():
        """Grey of the right edge, where the table has no text."""
        with Image.open(io.BytesIO(table.screenshot())) as image:
            return np.asarray(image.convert("L"))[2:, -1].max()

    before = edge()
    table.evaluate("(box) => box.scrollTo(box.scrollWidth, 0)")
    assert before < edge() - 30, "a shade, until the end is reached"


def test_paper_has_no_controls_and_names_the_metric(page):
    opened = page()
    opened.emulate_media(media="print")
    for control in (".tools button", ".copy button", ".copy-text", ".head button", "nav", "input", "#worst"):
        assert opened.locator(control).count()
        assert opened.locator(f"{control}:visible").count() == 0, control
    chosen = opened.locator("#images select.metric")
    assert chosen.is_visible()
    assert chosen.evaluate("(select) => getComputedStyle(select).borderTopStyle") == "none"
