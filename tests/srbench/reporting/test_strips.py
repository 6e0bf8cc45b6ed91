from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFont

from srbench.images.box import Box
from srbench.reporting.figures import strips
from srbench.reporting.figures.strips import PANEL, Panel, difference_window, strip_png

TOP = 16 + 46
"""Rows of the sheet above the first whole image: margin and label."""


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def written(images, window) -> np.ndarray:
    return opened(strip_png([Panel(f"model {k}", "note", image) for k, image in enumerate(images)], window))


def upscaled(image: Image.Image, factor: int) -> np.ndarray:
    return np.asarray(image).repeat(factor, 0).repeat(factor, 1)


def test_panels_show_the_images_and_their_windows():
    images = [noise(40, 40, seed) for seed in range(3)]
    window = Box(8, 16, 24, 24)
    sheet = written(images, window)
    for place, image in enumerate(images):
        left = 16 + place * (PANEL + 12)
        whole = sheet[TOP : TOP + PANEL, left : left + PANEL].copy()
        expected = upscaled(image, 6)
        inside = np.zeros((PANEL, PANEL), dtype=bool)
        inside[96:240, 48:192] = True
        inside[98:238, 50:190] = False
        assert (whole[inside] == (255, 45, 45)).all()
        assert (whole[~inside] == expected[~inside]).all()
        zoomed = sheet[TOP + PANEL + 6 : TOP + 2 * PANEL + 6, left : left + PANEL]
        assert (zoomed == upscaled(image.crop((8, 16, 32, 40)), 10)).all()


def test_a_large_image_is_shrunk_into_its_panel():
    sheet = written([Image.new("RGB", (480, 320), (10, 200, 30))], Box(0, 0, 80, 80))
    assert (sheet[TOP + 60 : TOP + 160, 16 : 16 + PANEL] == (10, 200, 30)).all()
    assert (sheet[TOP + 160 : TOP + 166, 16 : 16 + PANEL] == 255).all(), "white between image and window"
    assert (sheet[TOP + 166 : TOP + 166 + PANEL, 16 : 16 + PANEL] == (10, 200, 30)).all()


@pytest.mark.parametrize("size", [(4000, 8), (1, 1), (1, 3000), (481, 3)])
def test_images_of_any_shape_have_strips(size):
    """A side that is less than a pixel in its panel is one pixel; the frame of the window is where the window is."""
    images = [noise(*size, seed) for seed in range(2)]
    window = difference_window([np.asarray(image) for image in images], 4 if min(size) >= 4 else 1)
    sheet = written(images, window)
    assert (sheet == (255, 45, 45)).all(axis=2).any(), "the window is marked"
    assert sheet.shape[1] == 2 * 16 + 2 * PANEL + 12
    assert sheet.shape[0] <= TOP + 2 * PANEL + 6 + 2 * 16
    assert strip_png([Panel("", "", image, {(0, 200, 0): window}) for image in images], None)


@pytest.mark.parametrize(("panels", "rows", "columns"), [(1, 1, 1), (4, 1, 4), (5, 2, 3), (12, 3, 4)])
def test_many_panels_wrap_into_even_rows(panels, rows, columns):
    sheet = written([noise(24, 24)] * panels, Box(0, 0, 24, 24))
    tile_height = 46 + PANEL + 6 + PANEL
    assert sheet.shape[1] == 2 * 16 + columns * PANEL + (columns - 1) * 12
    assert sheet.shape[0] == 2 * 16 + rows * tile_height + (rows - 1) * 24


def test_labels_are_drawn_and_cut_to_their_panel():
    png = strip_png(
        [Panel("a very long name of a model that nobody can read", "", noise(24, 24))] * 2,
        Box(0, 0, 24, 24),
    )
    sheet = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert (sheet[16:40, 16 : 16 + PANEL] < 128).any()
    assert (sheet[16:40, 16 + PANEL : 16 + PANEL + 12] == 255).all(), "no label crosses the gap"
    cut = strips._fitting("a very long name of a model that nobody can read", 20, PANEL)
    assert cut.endswith("...")
    assert ImageFont.load_default(20).getlength(cut) <= PANEL


def test_units_have_signs_that_the_font_of_pillow_lacks():
    square, cube = (strip_png([Panel("map", f"grey levels{sign}", noise(24, 24))], None) for sign in "²³")
    assert square != cube, "not the box of a missing sign"


def test_strips_without_a_window_show_whole_images_in_rows():
    sheet = written([noise(40, 40, k) for k in range(5)], None)
    assert sheet.shape == (2 * 16 + 2 * (46 + PANEL) + 24, 2 * 16 + 3 * PANEL + 2 * 12, 3)
    assert (sheet[TOP : TOP + PANEL, 16 : 16 + PANEL] == upscaled(noise(40, 40, 0), 6)).all()
    below = TOP + PANEL + 24 + 46
    assert (sheet[below : below + PANEL, 16 : 16 + PANEL] == upscaled(noise(40, 40, 3), 6)).all()


def test_the_window_lies_where_images_differ_most():
    one = np.full((320, 400, 3), 90, dtype=np.uint8)
    one[:, 200:] = np.asarray(noise(200, 320))  # all have this detail: no difference
    other, third = one.copy(), one.copy()
    other[168:248, 40:120] += 30
    third[0:80, 0:80] += 20
    assert difference_window([one, other, third], step=8) == Box(40, 168, 80, 80)


@pytest.mark.parametrize(("width", "height", "step", "side"), [(400, 300, 3, 78), (64, 40, 8, 40), (4, 4, 4, 4)])
def test_the_window_cuts_no_lr_pixel(width, height, step, side):
    window = difference_window([np.asarray(noise(width, height, k)) for k in range(2)], step)
    assert window.width == window.height == side
    assert window.x % step == window.y % step == 0
    assert window.x + side <= width
    assert window.y + side <= height
